"""How many streams one process holds: for each caller, for each address, and altogether."""

from __future__ import annotations

from collections import Counter

from ramet.errors import Problem
from ramet.observe import LimitRefused, Observer
from ramet.settings import Settings


class StreamPlaces:
    """The places for streams of one process. Each `enter` that returns is followed by one `leave`."""

    def __init__(self, settings: Settings, observer: Observer) -> None:
        self._all = settings.stream_limit
        self._caller = settings.stream_limit_caller
        self._address = settings.stream_limit_address
        self._observer = observer
        self._taken: Counter[str] = Counter()
        self.current = 0

    def enter(self, caller: str | None, address: str) -> None:
        """Takes a place. Raises Problem `overloaded` when the process has none, else `rate_limited`."""
        if self.current >= self._all:
            self._refuse("overloaded", f"This process holds {self._all} streams.", address)
        if caller is not None and self._taken["caller " + caller] >= self._caller:
            self._refuse("rate_limited", f"A caller may have {self._caller} streams here; close one of them.", address)
        if self._taken["address " + address] >= self._address:
            self._refuse("rate_limited", f"An address may have {self._address} streams here.", address)
        self.current += 1
        self._add(caller, address, 1)

    def leave(self, caller: str | None, address: str) -> None:
        """Gives the place back."""
        self.current -= 1
        self._add(caller, address, -1)

    def _add(self, caller: str | None, address: str, number: int) -> None:
        for name in (None if caller is None else "caller " + caller, "address " + address):
            if name is not None:
                self._taken[name] += number
                if not self._taken[name]:
                    del self._taken[name]

    def _refuse(self, code: str, detail: str, address: str) -> None:
        if self._observer.wants(LimitRefused):
            self._observer.emit(LimitRefused("streams", address))
        raise Problem(code, detail, retry_after=5)
