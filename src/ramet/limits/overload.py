"""Refusing early what could not be answered in time: too much work in flight, or an event loop that lags."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

from ramet.errors import Problem
from ramet.observe import LimitRefused, Observer


class LoopLag:
    """How late the event loop runs what is due: `latest`, in seconds, and whether it `stands`.

    A single late turn is a burst or one slow step and passes by itself. Lag *stands* when every sample of half a
    second was above `bound`: then there is a queue that does not drain, and each request taken on waits in it. One
    sample below ends it. The lowest delay of an interval as the sign of a standing queue is CoDel's (Nichols and
    Jacobson, "Controlling queue delay", 2012).
    """

    def __init__(
        self, bound: float = 0.25, interval: float = 0.1, samples: int = 5, clock: Callable[[], float] = monotonic
    ) -> None:
        self.latest = 0.0
        self.stands = False
        self._bound = bound
        self._interval = interval
        self._recent: deque[float] = deque(maxlen=samples)
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to sample on `loop`, once every interval."""
        due = self._clock() + self._interval
        self._timer = loop.call_later(self._interval, self._tick, loop, due)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def record(self, lag: float) -> None:
        """Take one sample, in seconds."""
        self.latest = max(0.0, lag)
        self._recent.append(self.latest)
        self.stands = len(self._recent) == self._recent.maxlen and min(self._recent) > self._bound

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self.record(self._clock() - due)
        self.start(loop)


class InFlight:
    """Counts the requests being worked on and refuses those beyond `limit`, or any while the loop's lag stands.

    What must always be answered, such as health, is entered as `vital`: counted, never refused. Each `enter` that
    returns is followed by one `leave`. `refused` counts the refusals. For the event loop's thread.
    """

    def __init__(self, limit: int, observer: Observer, lag: LoopLag | None = None) -> None:
        self.current = 0
        self.refused = 0
        self._limit = limit
        self._observer = observer
        self._lag = lag if lag is not None else LoopLag()

    @property
    def full(self) -> bool:
        """Whether `enter` would refuse a request that is not vital."""
        return self.current >= self._limit or self._lag.stands

    def enter(self, address: str = "", vital: bool = False) -> None:
        """Take on one request, or raise Problem `overloaded`."""
        if self.full and not vital:
            self._refuse(address)
        self.current += 1

    def leave(self) -> None:
        """The request is answered, or given up."""
        self.current -= 1

    def resume(self, address: str = "") -> None:
        """Count a request again that has left for a while, or raise Problem `overloaded` when there is no place now.

        It is counted either way: its last `leave` is still to come.
        """
        self.current += 1
        if self.current > self._limit:
            self._refuse(address)

    def _refuse(self, address: str) -> None:
        self.refused += 1
        if self._observer.wants(LimitRefused):
            self._observer.emit(LimitRefused("overload", address))
        # In turn 1, 2 and 3 s, so that those refused together do not come back together.
        raise Problem("overloaded", retry_after=1 + self.refused % 3)
