"""What a limit promises, in numbers: COUNT units in any SECONDS.

**The promise.** Whatever the arrivals, no span of SECONDS holds more than COUNT admitted units; all COUNT may come at
once; and a caller that takes whatever is free gets at least 21/22 (95.4 %) of COUNT per SECONDS in the long run.

**Why not plain GCRA.** The generic cell rate algorithm (ITU-T I.371, annex A; described for APIs by Brandur Leach,
"Rate limiting, cells, and GCRA") admits burst + rate * W within a window W. Holding that sum to COUNT while 95 % of the
rate stays usable leaves a burst of 5 % of COUNT: a limit of 20/60 would refuse the second sign-in of a person who
mistyped once. GCRA repays a unit continuously; here a unit is repaid one window after it was used, as in a log of time
stamps, but the log is kept in `CELLS` coarse cells, so that its size does not depend on COUNT.

**The bound.** A window is cut into `CELLS` cells, their length rounded up. Units are counted in the cell in which they
were admitted; a unit is admitted when the current cell and the `CELLS` cells before it hold less than COUNT. Those
reach back at least one whole window from any moment of the current cell, hence the promise. A unit comes back when its
cell leaves, at most (CELLS + 1) / CELLS windows after it was used, hence the 21/22.
"""

from __future__ import annotations

import msgspec

from ramet.errors import SettingsError

CELLS = 21
LARGEST_QUOTA = 65_535
_LONGEST_WINDOW = 31 * 86_400
_LARGEST_COUNT = 1_000_000_000
_NS = 1_000_000_000


class Policy(msgspec.Struct, frozen=True):
    """A named limit: at most `count` units in any `window` seconds.

    Derived: `quota` units are enforced for each window of `CELLS` × `cell_ns`. These equal count and window unless
    count is over 65,535, which a counter cannot hold; then both are divided by the same whole number, which is
    stricter and never looser. `advertised` is the value of the header `RateLimit-Policy`, `header` is all of it, and
    `prefix` begins the value of `RateLimit`.
    """

    name: str
    count: int
    window: int
    quota: int = 0
    cell_ns: int = 0
    prefix: str = ""
    advertised: str = ""
    header: tuple[str, str] = ("", "")

    def __post_init__(self) -> None:
        parts = -(-self.count // LARGEST_QUOTA)
        advertised = f'"{self.name}";q={self.count};w={self.window}'
        derived: dict[str, int | str | tuple[str, str]] = {
            "quota": self.count // parts,
            "cell_ns": -(-self.window * _NS // (parts * CELLS)),
            "prefix": f'"{self.name}";r=',
            "advertised": advertised,
            "header": ("ratelimit-policy", advertised),
        }
        for field, value in derived.items():
            msgspec.structs.force_setattr(self, field, value)

    @classmethod
    def parse(cls, name: str, text: str) -> Policy:
        """A policy from the text of a setting, COUNT/SECONDS. Raises SettingsError, saying what it takes."""
        count, _, window = text.partition("/")
        try:
            numbers = int(count), int(window)
        except ValueError:
            numbers = 0, 0
        if not (1 <= numbers[0] <= _LARGEST_COUNT and 1 <= numbers[1] <= _LONGEST_WINDOW):
            raise SettingsError(
                f"RAMET_LIMIT_{name.upper()}: {text!r} is not COUNT/SECONDS, such as 600/60: "
                f"whole numbers, at most {_LARGEST_COUNT} in at most {_LONGEST_WINDOW} seconds."
            )
        return cls(name, *numbers)


class Decision(msgspec.Struct, gc=False):
    """What a counter says: `remaining` units are free now.

    `reset_ns` is how long no more than that will be free; after a refusal, how long until the refused cost would fit.
    """

    admitted: bool
    remaining: int
    reset_ns: int


class Allowance(msgspec.Struct, gc=False):
    """What a request was granted, for the headers of its answer. Without a policy there is nothing to tell."""

    policy: Policy | None
    decision: Decision | None

    def headers(self) -> tuple[tuple[str, str], ...]:
        """`RateLimit` and `RateLimit-Policy` as in draft-ietf-httpapi-ratelimit-headers-11; empty without a policy.

        `r` is what is free, `t` the whole seconds, rounded up, within which no more than that can be used.
        """
        policy, decision = self.policy, self.decision
        if policy is None or decision is None:
            return ()
        return (
            ("ratelimit", f"{policy.prefix}{decision.remaining};t={-(-decision.reset_ns // _NS)}"),
            policy.header,
        )


def whole_seconds(nanoseconds: int) -> int:
    """Seconds rounded up, so that who waits as long as told is not refused again."""
    return -(-nanoseconds // _NS)
