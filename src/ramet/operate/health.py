"""Whether the process lives, and whether its parts are ready for work.

The documents are public: they say what is wrong and what to do, but no secret, no file name and no exception's text.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ramet.observe import Crashed, Observer
from ramet.operate.masking import mask_paths, mask_text

FRESH = 0.25  # seconds for which an answer is given again: asking often must not cause work
PATIENCE = 1.0  # seconds a check may take


class Part(msgspec.Struct, frozen=True):
    """What a check found. `detail` is a sentence for people: what is wrong, and what to do about it.

    `bearable`: the process does enough without a part that is otherwise required, and others are no better off.
    """

    ok: bool
    detail: str = ""
    bearable: bool = False


Check = Callable[[], Part | Awaitable[Part]]
Document = dict[str, Any]


class Health:
    """The parts of this process and how they are. `observer` hears of checks that raise; `clock` is monotonic."""

    def __init__(
        self,
        observer: Observer | None = None,
        *,
        fresh: float = FRESH,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._observer = observer
        self._fresh = fresh
        self._patience = patience
        self._clock = clock
        self._checks: dict[str, tuple[Check, bool]] = {}
        self._draining = False
        self._answer: tuple[float, int, Document] | None = None
        self._asked: asyncio.Task[tuple[int, Document]] | None = None
        self._broken: dict[str, str] = {}

    def register(self, name: str, check: Check, *, required: bool = True) -> None:
        """Adds a part. A check that is not async must answer at once; an async one within the patience.

        Without a part that is not `required` the process is ready but degraded. Raises ValueError for a taken name.
        """
        if name in self._checks:
            raise ValueError(f"there is a health check {name!r} already")
        self._checks[name] = (check, required)
        self._answer = None

    def drain(self) -> None:
        """From now on not ready: whoever sends work should send it elsewhere."""
        self._draining = True

    def live(self) -> tuple[int, Document]:
        """(200, document) for as long as the process can answer at all."""
        return 200, {"status": "alive"}

    async def ready(self) -> tuple[int, Document]:
        """(200 or 503, document with `status` and each part: name, ok, required, detail, milliseconds).

        `status` is ready, degraded (200), not_ready or draining (503). Whoever asks while the parts are being
        checked gets the same answer; so does whoever asks within 250 ms.
        """
        if self._draining:
            return _draining()
        if self._answer is not None and self._clock() - self._answer[0] < self._fresh:
            return self._answer[1:]
        if self._asked is None:
            self._asked = asyncio.create_task(self._ask(), name="readiness")
            self._asked.add_done_callback(self._forget)
        return await asyncio.shield(self._asked)

    def _forget(self, _: asyncio.Task[tuple[int, Document]]) -> None:
        self._asked = None

    async def _ask(self) -> tuple[int, Document]:
        at = self._clock()
        checks = [self._part(name, check, required) for name, (check, required) in self._checks.items()]
        parts = await asyncio.gather(*checks)
        if self._draining:  # since then
            return _draining()
        failed = [part for part in parts if not part["ok"]]
        refused = any(part["required"] for part in failed)
        status = "not_ready" if refused else "degraded" if failed else "ready"
        code, document = 503 if refused else 200, {"status": status, "parts": parts}
        self._answer = (at, code, document)
        return code, document

    async def _part(self, name: str, check: Check, required: bool) -> Document:
        begun = self._clock()
        try:
            found = check()
            if inspect.isawaitable(found):
                async with asyncio.timeout(self._patience):
                    found = await found
            ok, detail, required = found.ok, found.detail, required and not found.bearable
            self._broken.pop(name, None)
        except TimeoutError:
            ok, detail = False, f"No answer within {self._patience:g} s: it is overloaded, or hangs."
        except Exception as error:
            self._report(name, error)
            ok, detail = False, "The check itself failed; the log says why."
        return {
            "name": name,
            "ok": ok,
            "required": required,
            "detail": mask_paths(mask_text(detail)),
            "milliseconds": round((self._clock() - begun) * 1000, 3),
        }

    def _report(self, name: str, error: Exception) -> None:
        """Once for each new kind of failure, not each time somebody asks."""
        kind = f"{type(error).__name__}: {error}"
        if self._broken.get(name) != kind:
            self._broken[name] = kind
            if self._observer is not None:
                self._observer.emit(Crashed(f"health.{name}", "", error))


def _draining() -> tuple[int, Document]:
    return 503, {"status": "draining", "detail": "This process is stopping; use another.", "parts": []}
