"""Logs on standard output: one access line for each request, and a line for whatever else operators should know.

Access lines stand on every request's path, so they are only kept here and written together, at most `DELAY` later
or when there are `BATCH` of them. Nothing here waits for the reader of the log (see `sink`), and nothing that looks
like a secret is written (see `masking`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger

from ramet.errors import SettingsError
from ramet.observe import (
    Crashed,
    HookFailed,
    Lifecycle,
    Observer,
    RequestDone,
    SessionRevoked,
    SignInFailed,
    StatementRun,
    StreamEnded,
)
from ramet.operate.lines import Entry, JsonLines, TextLines, visible
from ramet.operate.masking import mask_items
from ramet.operate.sink import BOUND, Sink
from ramet.settings import Settings

DELAY = 0.05
BATCH = 160  # entries; about 64 KiB of JSON
PATIENCE = 1.0  # how long a stopping process, or one without an event loop, waits for the reader

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
FORMATS = ("json", "text")


def check_form(settings: Settings) -> None:
    """Raises SettingsError for a level or a format that there is not."""
    if settings.log_level not in LEVELS:
        raise SettingsError(f"RAMET_LOG_LEVEL: {settings.log_level!r} is not one of {', '.join(LEVELS)}.")
    if settings.log_format not in FORMATS:
        raise SettingsError(f"RAMET_LOG_FORMAT: {settings.log_format!r} is not one of {', '.join(FORMATS)}.")


class Logs:
    """The log of one process. `log` is for ordinary lines (structlog); events arrive through `subscribe`.

    Lines may come from any thread, requests only from the thread of the event loop. Before `start` and after `stop`
    lines are written at once. `fd` is the descriptor to write to, `clock` gives seconds since the epoch.
    """

    def __init__(
        self, settings: Settings, *, fd: int = 1, clock: Callable[[], float] = time.time, bound: int = BOUND
    ) -> None:
        check_form(settings)
        self.level = LEVELS[settings.log_level]
        self._requests = settings.access_log and self.level <= logging.INFO
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._entries: list[Entry] = []
        self._lock = threading.Lock()
        colours = settings.log_format == "text" and _is_terminal(fd)
        self._lines = JsonLines() if settings.log_format == "json" else TextLines(colours=colours)
        self._finish = _json_line if settings.log_format == "json" else _text_line(colours)
        self._bridge = _Bridge(self)
        self.log: FilteringBoundLogger = structlog.wrap_logger(
            _Lines(self._line),
            processors=[self._begin, structlog.processors.format_exc_info, _masked, self._finish],
            wrapper_class=structlog.make_filtering_bound_logger(self.level),
            context_class=dict,
        )
        self._sink = Sink(fd, self._notice, bound=bound)

    @property
    def dropped(self) -> int:
        """Lines lost because the reader of the log was too slow, or gone."""
        return self._sink.dropped

    @property
    def waiting(self) -> int:
        """Bytes that the reader of the log has not taken yet."""
        return self._sink.waiting

    def subscribe(self, observer: Observer) -> None:
        if self._requests:
            observer.subscribe(RequestDone, self.request)
            observer.subscribe(StreamEnded, self._stream_ended)
        observer.subscribe(StatementRun, self._statement)
        observer.subscribe(Crashed, self._crashed)
        observer.subscribe(HookFailed, self._hook_failed)
        observer.subscribe(SignInFailed, self._sign_in_failed)
        observer.subscribe(SessionRevoked, self._session_revoked)
        observer.subscribe(Lifecycle, self._lifecycle)

    def start(self) -> None:
        """Batches from now on, on the running event loop; lines of the `logging` module come here too."""
        self._loop = asyncio.get_running_loop()
        logging.getLogger().addHandler(self._bridge)

    def stop(self) -> None:
        """Writes what is waiting, in at most `PATIENCE` seconds. Later lines are written at once."""
        logging.getLogger().removeHandler(self._bridge)
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.flush(PATIENCE)

    def close(self) -> None:
        """Stops, and gives the descriptor back. Nothing may be logged afterwards."""
        self.stop()
        self._sink.close()

    def request(self, done: RequestDone) -> None:
        """Keeps one access line (hot path: an addition to a list)."""
        entries = self._entries
        entries.append((self._clock(), done))
        if self._timer is None:
            self._arm()
        elif len(entries) >= BATCH:
            self.flush()

    def flush(self, wait: float = 0.0) -> None:
        """Hands what is kept to the reader, who may be slow: see `Sink.flush`."""
        with self._lock:
            entries = self._entries
            count = len(entries)
            if count:  # another thread may add one meanwhile, so the list is never exchanged
                batch = entries[:count]
                del entries[:count]
                self._sink.put(self._lines(batch))
            self._sink.flush(wait)

    def _arm(self) -> None:
        if self._timer is not None:
            return
        if self._loop is None:
            self.flush(PATIENCE)
        else:
            self._timer = self._loop.call_later(DELAY, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.flush()
        if self._sink.waiting:
            self._arm()

    def _line(self, line: bytes) -> None:
        self._entries.append(line)
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._arm)
                return
            except RuntimeError:  # the loop was closed without a stop
                self._loop = None
        self.flush(PATIENCE)

    def _begin(self, _: Any, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        stamp = self._lines.stamp(self._clock())
        return {"time": stamp, "level": level, "event": event.pop("event", ""), **event}

    def _notice(self, lost: int) -> bytes:
        now = self._lines.stamp(self._clock())
        event = {"time": now, "level": "warning", "event": "log lines dropped", "dropped": lost}
        return self._finish(None, "warning", event) + b"\n"

    def _statement(self, run: StatementRun) -> None:
        if run.plan:
            self.log.warning("slow statement", seconds=run.seconds, rows=run.rows, sql=run.sql, plan=run.plan)

    def _crashed(self, crash: Crashed) -> None:
        self.log.error("crashed", operation=crash.operation, request_id=crash.request_id, exc_info=crash.error)

    def _hook_failed(self, failure: HookFailed) -> None:
        self.log.warning(
            "hook failed", hook=failure.hook, change=failure.change, attempt=failure.attempt, error=failure.error
        )

    def _stream_ended(self, end: StreamEnded) -> None:
        self.log.info("stream ended", **msgspec.structs.asdict(end))

    def _sign_in_failed(self, failure: SignInFailed) -> None:
        self.log.info("sign-in refused", reason=failure.reason, address=failure.address)

    def _session_revoked(self, end: SessionRevoked) -> None:
        report = self.log.warning if end.reason == "replay" else self.log.info
        report("session revoked", session=end.session, user=end.user, reason=end.reason)

    def _lifecycle(self, change: Lifecycle) -> None:
        self.log.info(change.step, detail=change.detail)


class _Lines:
    """What structlog writes to: every level is one method, given a finished line."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = put


class _Bridge(logging.Handler):
    """Lines of libraries that use `logging`."""

    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # a wrong format in somebody's call is no reason to lose the line
            text = str(record.msg)
        level = min((known for known in LEVELS.values() if known >= record.levelno), default=logging.ERROR)
        self._logs.log.log(level, text, logger=record.name, exc_info=record.exc_info)


def _masked(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return mask_items(event)


_encoder = msgspec.json.Encoder()


def _json_line(_: Any, __: str, event: MutableMapping[str, Any]) -> bytes:
    try:
        return _encoder.encode(event)
    except (UnicodeEncodeError, OverflowError, ValueError):  # lone surrogates, or an integer beyond 64 bits
        return _encoder.encode({key: str(value).encode("utf-8", "replace").decode() for key, value in event.items()})


def _text_line(colours: bool) -> Callable[[Any, str, MutableMapping[str, Any]], bytes]:
    console = structlog.dev.ConsoleRenderer(
        colors=colours, exception_formatter=structlog.dev.plain_traceback, timestamp_key="time", pad_event_to=0
    )

    def finish(logger: Any, level: str, event: MutableMapping[str, Any]) -> bytes:
        safe = {
            key: visible(value, "\n" if key == "exception" else "") if isinstance(value, str) else value
            for key, value in event.items()
        }
        return console(logger, level, safe).encode("utf-8", "backslashreplace")

    return finish


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
