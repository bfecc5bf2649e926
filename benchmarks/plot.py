"""A plot of throughput against instances, as SVG: points, what would be linear, and the budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

WIDTH, HEIGHT, LEFT, BELOW, MARGIN = 640, 400, 70, 50, 20
_STYLE = (
    "text{font:13px sans-serif;fill:#444}.axis{stroke:#888}.grid{stroke:#ddd}"
    ".linear{stroke:#999;stroke-dasharray:5 4}.least{stroke:#c60;stroke-dasharray:2 3}"
    ".found{stroke:#06c;stroke-width:2;fill:none}circle{fill:#06c}"
)


def plot(rates: Mapping[int, float], least: float, title: str) -> str:
    """`rates` are requests a second by the number of instances, the smallest first; `least` is a share of linear."""
    counts = list(rates)
    most, each = counts[-1], rates[counts[0]] / counts[0]
    top = max(*rates.values(), each * most) * 1.05

    def x(count: float) -> float:
        return LEFT + count / most * (WIDTH - LEFT - MARGIN)

    def y(rate: float) -> float:
        return HEIGHT - BELOW - rate / top * (HEIGHT - BELOW - 2 * MARGIN)

    def line(kind: str, slope: float) -> str:
        return f'<line class="{kind}" x1="{x(0):.1f}" y1="{y(0):.1f}" x2="{x(most):.1f}" y2="{y(slope * most):.1f}"/>'

    points = [(x(count), y(rate)) for count, rate in rates.items()]
    path = " ".join(f"{across:.1f},{down:.1f}" for across, down in points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="{MARGIN}">{title}</text>',
        *_grid(top, x(0), x(most), y),
        line("linear", each),
        line("least", each * least),
        f'<polyline class="found" points="{path}"/>',
        *(f'<circle cx="{across:.1f}" cy="{down:.1f}" r="4"/>' for across, down in points),
        *(
            f'<text x="{x(count):.1f}" y="{HEIGHT - BELOW + 20}" text-anchor="middle">{count}</text>'
            for count in counts
        ),
        f'<line class="axis" x1="{x(0):.1f}" y1="{y(0):.1f}" x2="{x(most):.1f}" y2="{y(0):.1f}"/>',
        f'<text x="{(x(0) + x(most)) / 2:.1f}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"instances; dashed: linear; dotted: {least:g} of linear</text>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _grid(top: float, left: float, right: float, y: Callable[[float], float]) -> list[str]:
    """A line and a number for each of four to eight round rates."""
    unit = 10 ** math.floor(math.log10(top))
    step = next(size for size in (unit * 0.2, unit * 0.5, unit, unit * 2) if top / size <= 8)
    marks = [step * number for number in range(1, int(top / step) + 1)]
    return [
        f'<line class="grid" x1="{left:.1f}" y1="{y(mark):.1f}" x2="{right:.1f}" y2="{y(mark):.1f}"/>'
        f'<text x="{left - 8:.1f}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark:,.0f}/s</text>'
        for mark in marks
    ]
