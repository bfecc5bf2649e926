"""Where a request enters: who sent it, which operation it means, and the answer to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter

from ramet.errors import Problem
from ramet.interfaces.http.conditional import ANY, parse_etags
from ramet.interfaces.http.cors import Cors
from ramet.interfaces.http.credentials import Credentials
from ramet.interfaces.http.negotiation import choose_encoding, choose_media, require_json
from ramet.interfaces.rest.account import Accounts
from ramet.interfaces.rest.answers import Answers
from ramet.interfaces.rest.batch import Batch, Part, misplaced, read_batch, split_path
from ramet.interfaces.rest.query import Queries, read_inputs
from ramet.interfaces.rest.repeats import Repeats
from ramet.interfaces.rest.routes import BATCH, PREFIX, Routes, Target
from ramet.interfaces.transport.request import Request, Response
from ramet.limits.addresses import ClientAddress
from ramet.limits.overload import InFlight
from ramet.observe import RequestDone
from ramet.operations.batching import Batching
from ramet.operations.operation import Exchange, Operation
from ramet.operations.pipeline import Pipeline
from ramet.settings import Settings

Plain = Callable[[Request], Awaitable[Response]]
MAX_KEY = 255


class Rest:
    """The handler of all HTTP requests. `plain` are addresses that are no operations: pages, health, metrics.

    `vital` ones among them are answered whatever the load.
    """

    def __init__(
        self,
        *,
        routes: Routes,
        pipeline: Pipeline,
        batching: Batching,
        queries: Queries,
        answers: Answers,
        cors: Cors,
        credentials: Credentials,
        accounts: Accounts,
        repeats: Repeats,
        in_flight: InFlight,
        settings: Settings,
        plain: dict[str, Plain],
        vital: frozenset[str],
    ) -> None:
        self._routes = routes
        self._pipeline = pipeline
        self._batching = batching
        self._queries = queries
        self._answers = answers
        self._cors = cors
        self._in_flight = in_flight
        self._settings = settings
        self._accounts = accounts
        self._repeats = repeats
        self.at_once = repeats.at_once
        self.receive = repeats.create
        self._plain = plain
        self._vital = vital
        self._credentials = credentials

    async def __call__(self, request: Request) -> Response:
        """Answers one request and tells what became of it. Never raises for what a caller sent."""
        if request.method == "POST" and (posted := self.receive(request)) is not None:
            return await posted.whole()
        started = perf_counter()
        done, address = self._accounts.open(request)
        try:
            self._in_flight.enter(address.address, vital=request.path in self._vital)
            try:
                response = await self._answer(request, address, done)
            finally:
                self._in_flight.leave()
        except Exception as error:
            response = self._accounts.refuse(error, done)
        return self._accounts.close(request, response, done, started)

    async def _answer(self, request: Request, address: ClientAddress, done: RequestDone) -> Response:
        if request.flaw is not None:
            raise request.flaw
        path = request.path
        match = self._routes.match(path)
        if match is None:
            return await self._answer_other(request, address, done)
        method = "GET" if request.method == "HEAD" else request.method
        target = match.route.targets.get(method)
        if target is None:
            return self._answer_options(request, match.route.allow, done)
        done.operation = target.name
        choose_media(request.header("accept"))
        try:
            operation = await self._operation(request, target, match.record_id, address)
        except Problem:
            self._charge(address)
            raise
        try:
            result = await self._pipeline.run(operation)
        except Problem as problem:
            response = self._accounts.refuse(problem, done)
            self._answers.refused(response, operation)
            return response
        finally:
            done.caller = operation.caller.id
        done.cache = result.cache
        response = self._answers.respond(request, operation, result)
        self._repeats.learn(request, operation, result)
        if result.location:
            response.headers.append(("location", f"{PREFIX}/{target.info.path}/{result.location}"))
        return response

    async def _operation(self, request: Request, target: Target, record_id: str, address: ClientAddress) -> Operation:
        header = request.header
        operation = Operation(kind=target.kind, name=target.name, info=target.info, action=target.action, id=record_id)
        operation.exchange = exchange = Exchange(address.address, address.group)
        self._credentials.identify(request, operation, request.method)
        kind = target.kind
        if kind == "list" or kind == "get":
            operation.query = self._queries.read(target.info, request.query, kind == "get")
            return operation
        action = target.action
        if action is not None and action.reads:
            operation.input = read_inputs(action, request.query)
        elif request.query:
            raise Problem("invalid_query", "This operation takes no parameters in its address.")
        choose_encoding(header("accept-encoding"))
        exchange.cookies = header("cookie")
        exchange.agent = header("user-agent") or ""
        if kind == "action":
            exchange.same_origin = not self._credentials.cross_site(request, request.method)
        if_match = header("if-match")
        if if_match is not None:
            _match(operation, if_match)
        operation.idempotency_key = _idempotency_key(header("idempotency-key"))
        if request.method in ("POST", "PATCH", "PUT"):
            body = await self._body(request, address)
            if body or kind != "action":
                require_json(header("content-type"), header("content-encoding"))
            operation.input = body
        return operation

    async def _body(self, request: Request, address: ClientAddress) -> bytes:
        """The body. While it is on its way it takes no place: a client that sends slowly keeps nobody else out."""
        self._in_flight.leave()
        try:
            body = await request.body(self._settings.body_limit)
        except BaseException:
            self._in_flight.enter(vital=True)
            raise
        self._in_flight.resume(address.address)
        return body

    async def _answer_other(self, request: Request, address: ClientAddress, done: RequestDone) -> Response:
        plain = self._plain.get(request.path)
        if plain is not None:
            if request.method not in ("GET", "HEAD"):
                return self._answer_options(request, "GET, HEAD, OPTIONS", done)
            done.operation = request.path
            return await plain(request)
        if request.path == BATCH:
            if request.method != "POST":
                return self._answer_options(request, "OPTIONS, POST", done)
            done.operation = "batch"
            return await self._answer_batch(request, address)
        self._charge(address)
        raise Problem("not_found")

    def _answer_options(self, request: Request, allow: str, done: RequestDone) -> Response:
        """OPTIONS and preflights; any other method is not allowed here."""
        done.operation = "options"
        preflight = self._cors.preflight(request, allow)
        if preflight is not None:
            return preflight
        if request.method == "OPTIONS":
            return Response(204, [("allow", allow)])
        raise Problem("method_not_allowed", headers=[("allow", allow)])

    async def _answer_batch(self, request: Request, address: ClientAddress) -> Response:
        try:
            batch, carrier, operations = await self._read_batch(request, address)
        except Problem:
            self._charge(address)
            raise
        result = await (self._batching.together if batch.atomic else self._batching.each)(operations)
        return self._answers.respond(request, carrier, result)

    async def _read_batch(
        self, request: Request, address: ClientAddress
    ) -> tuple[Batch, Operation, list[Operation | Problem]]:
        """The batch, the operation that stands for it as a whole, and those in it, or why they cannot be understood."""
        choose_media(request.header("accept"))
        choose_encoding(request.header("accept-encoding"))
        if request.query:
            raise Problem("invalid_query", "A batch takes no parameters in its address.")
        require_json(request.header("content-type"), request.header("content-encoding"))
        batch = read_batch(await self._body(request, address), self._settings.batch_limit)
        carrier = Operation(kind="action", name="batch", info=next(iter(self._routes)).info)
        carrier.exchange = Exchange(address.address, address.group)
        self._credentials.identify(request, carrier, request.method)
        operations: list[Operation | Problem] = []
        for number, part in enumerate(batch.operations):
            try:
                operations.append(self._part(part, carrier))
            except Problem as problem:
                if batch.atomic:
                    raise misplaced(problem, number) from None
                self._charge(address)
                operations.append(problem)
        return batch, carrier, operations

    def _part(self, part: Part, carrier: Operation) -> Operation:
        path, query = split_path(part.path)
        match = self._routes.match(path)
        if match is None:
            raise Problem("not_found", f"There is no {path[:200]!r} here.")
        target = match.route.targets.get(part.method)
        if target is None:
            raise Problem("method_not_allowed", f"{path[:200]} takes {match.route.allow}.")
        if part.body is not None and target.kind in ("list", "get", "delete"):
            raise Problem("bad_request", f"A {target.kind} takes no body.")
        if target.action is not None and target.action.reads:
            if part.body is not None:
                raise Problem("bad_request", "What only reads takes its input in its address.")
            part.body = dict(read_inputs(target.action, query))
        elif query and target.kind not in ("list", "get"):
            raise Problem("invalid_query", "This operation takes no parameters in its address.")
        operation = Operation(
            kind=target.kind, name=target.name, info=target.info, action=target.action, id=match.record_id
        )
        operation.exchange = Exchange(carrier.exchange.address, carrier.exchange.group)
        operation.token, operation.via, operation.after = carrier.token, carrier.via, carrier.after
        if target.kind in ("list", "get"):
            operation.query = self._queries.read(target.info, query, target.kind == "get")
        else:
            operation.input = part.body
            if part.if_match:
                _match(operation, part.if_match)
            operation.idempotency_key = _idempotency_key(part.idempotency_key or None)
        return operation

    def _charge(self, address: ClientAddress) -> None:
        """Counts a request that cannot be understood for its sender. Raises Problem `rate_limited`."""
        self._pipeline.limiter.charge(None, address.group)


def _match(operation: Operation, header: str) -> None:
    """Takes an `If-Match` over into the operation: its strong tags, or `*`."""
    tags = parse_etags(header, "if-match")
    operation.any_match = any(tag == ANY for _, tag in tags)
    if not operation.any_match:
        operation.match = tuple(tag for weak, tag in tags if not weak)


def _idempotency_key(header: str | None) -> str:
    if header is None:
        return ""
    if not (1 <= len(header) <= MAX_KEY and header.isascii() and header.isprintable()):
        raise Problem("invalid_header", f"`idempotency-key` takes 1 to {MAX_KEY} printable ASCII characters.")
    return header
