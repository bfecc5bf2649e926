"""Metric families as plain data: what a worker counts, sends to the others, and adds up.

A family is a name with a kind, a help text, label names and, for each set of label values, a list of numbers: one
for a counter or a gauge; for a histogram the count of each bucket (not cumulative, the last one without upper bound)
and then the sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

Kind = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "max", "each"]
"""What a gauge means for several workers: they add up, the largest counts, or each is shown by itself."""


class Family(msgspec.Struct):
    """One metric; see the module. `bounds` are a histogram's upper bounds; `merge` concerns gauges."""

    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    series: dict[tuple[str, ...], list[float]] = {}
    bounds: tuple[float, ...] = ()
    merge: Merge = "sum"

    def fits(self, other: Family) -> bool:
        """Whether the two can be added: another release may have declared the metric otherwise."""
        return (self.kind, self.labels, self.bounds) == (other.kind, other.labels, other.bounds)


Families = dict[str, Family]


def of_worker(families: Mapping[str, Family], worker: str) -> Families:
    """The families with a label `worker` on the gauges that each worker shows by itself."""
    return {name: _labelled(family, worker) if family.merge == "each" else family for name, family in families.items()}


def lasting(families: Mapping[str, Family]) -> Families:
    """What stays of a worker that is gone: what it counted, not how it was."""
    return {name: family for name, family in families.items() if family.kind != "gauge"}


def add(total: Families, more: Mapping[str, Family]) -> None:
    """Adds `more` to `total` in place; what no longer fits is left out. `more` is not changed."""
    for name, family in more.items():
        known = total.get(name)
        if known is None:
            series = {key: list(values) for key, values in family.series.items()}
            total[name] = msgspec.structs.replace(family, series=series)
        elif known.fits(family):
            _add_series(known, family)


def exposed(families: Mapping[str, Family]) -> Iterator[Metric]:
    """The families for the exposition formats of prometheus_client."""
    for name, family in families.items():
        if family.kind == "histogram":
            yield _histogram(name, family)
            continue
        of_kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
        metric = of_kind(name, family.help, labels=family.labels)
        for key, (value,) in family.series.items():
            metric.add_metric(key, value)
        yield metric


def taken(metrics: Iterable[Metric]) -> Families:
    """Counters and gauges of prometheus_client's own collectors, which describe this process: each worker its own."""
    families: Families = {}
    for metric in metrics:
        if metric.type not in ("counter", "gauge"):
            continue
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = tuple(metric.samples[0].labels) if metric.samples else ()
        series = {tuple(sample.labels.values()): [float(sample.value)] for sample in metric.samples}
        kind: Kind = "counter" if metric.type == "counter" else "gauge"
        families[name] = Family(kind, metric.documentation, labels, series, merge="each")
    return families


def _labelled(family: Family, worker: str) -> Family:
    if family.kind != "gauge":
        return family
    series = {(*key, worker): values for key, values in family.series.items()}
    return msgspec.structs.replace(family, labels=(*family.labels, "worker"), series=series)


def _add_series(known: Family, family: Family) -> None:
    merge = family.merge if family.kind == "gauge" else "sum"
    for key, values in family.series.items():
        mine = known.series.get(key)
        if mine is None or merge == "each":
            known.series[key] = list(values)
        elif merge == "max":
            mine[0] = max(mine[0], values[0])
        else:
            known.series[key] = [one + other for one, other in zip(mine, values, strict=True)]


def _histogram(name: str, family: Family) -> HistogramMetricFamily:
    metric = HistogramMetricFamily(name, family.help, labels=family.labels)
    names = [*map(str, family.bounds), "+Inf"]
    for key, values in family.series.items():
        running = 0.0
        buckets = []
        for bound, value in zip(names, values[:-1], strict=True):
            running += value
            buckets.append((bound, running))
        metric.add_metric(key, buckets, values[-1])
    return metric
