"""The account of a request: who sent it, which ids it goes by, and what became of it, for logs and metrics."""

from __future__ import annotations

from time import perf_counter

from ramet.errors import Problem
from ramet.interfaces.http.cors import Cors
from ramet.interfaces.http.problems import render
from ramet.interfaces.http.tracing import new_trace, request_id, trace
from ramet.interfaces.transport.request import Disconnected, Request, Response
from ramet.limits.addresses import Addresses, ClientAddress
from ramet.observe import Crashed, Observer, RequestDone


class Accounts:
    """Opens an account of each request, and closes it with the headers that every answer has."""

    def __init__(self, addresses: Addresses, cors: Cors, observer: Observer) -> None:
        self._addresses = addresses
        self._cors = cors
        self._observer = observer

    def open(
        self, request: Request, operation: str = "unknown", caller: str | None = None, cache: str = ""
    ) -> tuple[RequestDone, ClientAddress]:
        header = request.header
        address = self._addresses.client(request.peer, header("x-forwarded-for") or "", header("forwarded") or "")
        traced = header("traceparent")
        done = RequestDone(
            operation,
            request.method,
            request.path,
            0,
            0.0,
            0,
            cache,
            caller,
            address.address,
            request_id(header("x-request-id")),
            new_trace() if traced is None else trace(traced)[0],
            "",
        )
        return done, address

    def close(self, request: Request, response: Response, done: RequestDone, started: float) -> Response:
        """Tells what became of the request that came in at `started`."""
        response.headers.append(("x-request-id", done.request_id))
        if self._cors.enabled:
            self._cors.complete(response.headers, request.header("origin"))
        done.status = response.status
        done.size = len(response.body)
        done.seconds = perf_counter() - started
        self._observer.emit(done)
        return response

    def refuse(self, error: Exception, done: RequestDone) -> Response:
        """The answer to what a caller got wrong, or to what went wrong with us, which is told besides."""
        if isinstance(error, Disconnected):
            error = Problem("bad_request", "The body broke off.")
        if not isinstance(error, Problem):
            self._observer.emit(Crashed(done.operation, done.request_id, error))
            error = Problem("internal")
        done.code = error.kind.code
        return render(error)
