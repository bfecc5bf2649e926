"""From a finished answer to a response: validators, caching, coding, timing and limits as headers."""

from __future__ import annotations

from itertools import pairwise
from time import perf_counter

from ramet.cache.near import NearCache
from ramet.identity.cookies import position_cookie
from ramet.interfaces.http.compression import MIN_SIZE, compress
from ramet.interfaces.http.conditional import not_modified, with_encoding
from ramet.interfaces.http.negotiation import choose_encoding
from ramet.interfaces.transport.request import Request, Response
from ramet.limits.policy import Allowance
from ramet.operations.operation import Operation, Result
from ramet.operations.pipeline import STAGES
from ramet.operations.recall import Recalled

PRIVATE = ("cache-control", "private, no-cache")
PUBLIC = ("cache-control", "public, max-age=0, s-maxage=1, stale-while-revalidate=30")
NO_STORE = ("cache-control", "no-store")
JSON = ("content-type", "application/json")
NEAR = ("ramet-cache", "near")
BYPASS = ("ramet-cache", "bypass")
NO_SNIFF = ("x-content-type-options", "nosniff")
VARY = ("vary", "accept-encoding, authorization, cookie")
CREATED = (NO_SNIFF, VARY, JSON, NO_STORE, BYPASS, ("etag", '"1"'))
# Most stages take less than a millisecond, and formatting numbers costs more than the stages themselves.
_SHORT = [f"0.{microseconds:03}" for microseconds in range(1_000)]
_TIMINGS = ["", *(", ".join(f"{stage};dur=%s" for stage in STAGES[:passed]) for passed in range(len(STAGES) + 1))]


class Answers:
    """Renders results. Coded forms of cached bodies are kept beside them.

    `trailing`: copies may be behind a change, so browsers are given its position to present with their next requests.
    """

    def __init__(self, near: NearCache, *, trailing: bool = False) -> None:
        self._near = near
        self._trailing = trailing

    def respond(self, request: Request, operation: Operation, result: Result) -> Response:
        reading = request.method in ("GET", "HEAD")
        body = result.body
        encoding = choose_encoding(request.header("accept-encoding"), small=len(body) < MIN_SIZE)
        headers = self._headers(result, encoding, reading)
        headers.append(("ramet-cache", result.cache))
        if operation.marks:
            headers.append(("server-timing", timing(operation.marks)))
        if operation.allowance is not None:
            headers += operation.allowance.headers()
        if result.position:
            headers.append(("ramet-position", result.position))
            if self._trailing and operation.exchange.browser and not operation.exchange.headers:
                headers.append(("set-cookie", position_cookie(result.position)))
        headers += operation.exchange.headers
        if reading and result.etag and not_modified(request.header("if-none-match"), result.etag):
            return Response(304, headers)
        if encoding:
            body = self._coded(result, encoding)
        return Response(result.status, headers, body)

    def recalled(self, found: Recalled, accept_encoding: str | None, began: float) -> Response:
        """The response of an answer that was found by the words of its request, which came in at `began`."""
        entry, result = found.entry, found.result
        if result is not None:
            encoding = choose_encoding(accept_encoding, small=len(result.body) < MIN_SIZE)
            headers = _make_headers(result, encoding, True)
            body = compress(result.body, encoding) if encoding else result.body
            timing = stage_timing("execute", perf_counter() - began)
            return Response(200, [*headers, BYPASS, ("server-timing", timing), *found.allowance.headers()], body)
        if entry is None:
            raise ValueError("nothing was recalled")
        encoding = choose_encoding(accept_encoding, small=len(entry.body) < MIN_SIZE)
        kept = entry.headers.get(encoding)
        coded = entry.variants.get(encoding) if encoding else entry.body
        if kept is None or coded is None:
            meaning = found.meaning
            whole = Result(entry.body, etag=entry.etag, entry=entry, key=meaning.key, public=meaning.public)
            kept = self._headers(whole, encoding, True)
            coded = self._coded(whole, encoding) if encoding else entry.body
        timing = stage_timing("cache", perf_counter() - began)
        return Response(200, [*kept, NEAR, ("server-timing", timing), *found.allowance.headers()], coded)

    def created(
        self, record: bytes, position: str, accept_encoding: str | None, began: float, allowance: Allowance
    ) -> Response:
        """The response of a create that came in at `began` and is on disk."""
        encoding = choose_encoding(accept_encoding, small=len(record) < MIN_SIZE)
        timing = ("server-timing", stage_timing("execute", perf_counter() - began))
        told = (timing, ("ramet-position", position), *allowance.headers())
        if not encoding:
            return Response(201, [*CREATED, *told], record)
        coded = (("etag", with_encoding('"1"', encoding)), ("content-encoding", encoding))
        return Response(201, [*CREATED[:-1], *coded, *told], compress(record, encoding))

    def refused(self, response: Response, operation: Operation) -> None:
        """Adds to a refusal what the caller may know of the time it took and of the limits it counted against."""
        if operation.marks:
            response.headers.append(("server-timing", timing(operation.marks)))
        if operation.allowance is not None:
            _add_limits(response, operation.allowance)

    def complete(self, response: Response, began: float, allowance: Allowance) -> None:
        """The same, for a request that came in at `began`."""
        response.headers.append(("server-timing", stage_timing("execute", perf_counter() - began)))
        _add_limits(response, allowance)

    def _headers(self, result: Result, encoding: str, reading: bool) -> list[tuple[str, str]]:
        entry = result.entry
        if entry is None:
            return _make_headers(result, encoding, reading)
        headers = entry.headers.get(encoding)
        if headers is None:
            headers = entry.headers[encoding] = _make_headers(result, encoding, reading)
        return headers.copy()

    def _coded(self, result: Result, encoding: str) -> bytes:
        entry = result.entry
        if entry is None:
            return compress(result.body, encoding)
        coded = entry.variants.get(encoding)
        if coded is None:
            coded = entry.variants[encoding] = compress(result.body, encoding, cached=True)
            self._near.grew(result.key, entry, len(coded))
        return coded


def _add_limits(response: Response, allowance: Allowance) -> None:
    own = {name for name, _ in response.headers}
    response.headers += [header for header in allowance.headers() if header[0] not in own]


def _make_headers(result: Result, encoding: str, reading: bool) -> list[tuple[str, str]]:
    headers = [NO_SNIFF, VARY]
    if result.body:
        headers.append(JSON)
    if result.etag:
        headers.append(("etag", with_encoding(result.etag, encoding)))
    if encoding:
        headers.append(("content-encoding", encoding))
    headers.append((PUBLIC if result.public else PRIVATE) if reading else NO_STORE)
    if result.replayed:
        headers.append(("idempotency-replayed", "true"))
    return headers


def stage_timing(stage: str, seconds: float) -> str:
    """`Server-Timing` of one stage alone."""
    took = int(seconds * 1e6)
    return f"{stage};dur={_SHORT[took] if took < 1_000 else took / 1e3}"


def timing(marks: list[float]) -> str:
    """`Server-Timing`: milliseconds of each stage that was passed."""
    spent = [int((end - start) * 1e6) for start, end in pairwise(marks)]
    return _TIMINGS[len(marks)] % tuple([_SHORT[took] if took < 1_000 else f"{took / 1e3:.3f}" for took in spent])
