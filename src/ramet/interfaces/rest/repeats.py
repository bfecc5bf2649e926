"""Requests that were sent before in the same words, answered with nothing done twice that cannot have changed."""

from __future__ import annotations

from time import perf_counter

from ramet.errors import Problem
from ramet.interfaces.rest.account import Accounts
from ramet.interfaces.rest.answers import Answers
from ramet.interfaces.rest.routes import PREFIX
from ramet.interfaces.transport.request import Request, Response
from ramet.limits.overload import InFlight
from ramet.operations.operation import Operation, Result
from ramet.operations.recall import CreateMeaning, Recall, Words


class Repeats:
    """Knows requests by their words, and what they mean by `recall`."""

    def __init__(
        self, recall: Recall, answers: Answers, accounts: Accounts, in_flight: InFlight, body_limit: int
    ) -> None:
        self._recall = recall
        self._answers = answers
        self._accounts = accounts
        self._in_flight = in_flight
        self._body_limit = body_limit

    def learn(self, request: Request, operation: Operation, result: Result) -> None:
        """Remembers what the words of a request meant, which has just been answered."""
        if operation.kind in ("list", "get"):
            words = _read_words(request)
            if words is not None:
                self._recall.learn(words, operation, result)
        elif operation.kind == "create":
            words = _create_words(request)
            if words is not None:
                self._recall.learn_create(words, operation)

    def at_once(self, request: Request) -> Response | None:
        """The answer to a read that was asked before in the same words, if that takes no waiting; else None.

        Never raises for what a caller sent. What it leaves unanswered has left no trace.
        """
        started = perf_counter()
        words = _read_words(request)
        if words is None:
            return None
        meaning = self._recall.meaning(words)
        if meaning is None or self._in_flight.full:
            return None
        position = request.header("ramet-position")
        if position is not None and not self._recall.reached(position):
            return None
        done, address = self._accounts.open(
            request, meaning.name, meaning.caller.id, "near" if meaning.bound is None else "bypass"
        )
        try:
            found = self._recall.find(words, meaning, address.group)
            if found is None:
                return None
            response = self._answers.recalled(found, request.header("accept-encoding"), started)
        except Exception as error:
            response = self._accounts.refuse(error, done)
        return self._accounts.close(request, response, done, started)

    def known_create(self, request: Request) -> tuple[Words, CreateMeaning] | None:
        """What a request to create a record means, when it was sent before in the same words, its body aside."""
        words = _create_words(request)
        meaning = None if words is None else self._recall.create_meaning(words)
        return None if words is None or meaning is None or self._in_flight.full else (words, meaning)

    async def create(self, request: Request, words: Words, meaning: CreateMeaning) -> Response:
        """The answer to such a request. Never raises for what a caller sent."""
        started = perf_counter()
        done, address = self._accounts.open(request, meaning.name, meaning.caller.id, "bypass")
        allowance = None
        try:
            try:
                body = await request.body(self._body_limit)  # on its way it takes no place: see `Rest`
            except Problem:
                self._recall.charge(address.group)
                raise
            try:
                self._in_flight.enter(address.address)
            except Problem:
                self._recall.charge(address.group)
                raise
            try:
                allowance = self._recall.admit(words, meaning, address.group)
                record_id, record, place = meaning.creation.begin(body)
                position = await place
            finally:
                self._in_flight.leave()
            response = self._answers.created(
                record, str(position), request.header("accept-encoding"), started, allowance
            )
            response.headers.append(("location", f"{PREFIX}/{meaning.path}/{record_id}"))
        except Exception as error:
            response = self._accounts.refuse(error, done)
            if allowance is not None:
                self._answers.complete(response, started, allowance)
        return self._accounts.close(request, response, done, started)


def _read_words(request: Request) -> Words | None:
    """All of a read that its answer depends on; None for requests that are no plain reads."""
    if request.method != "GET":
        return None
    header = request.header
    authorization = header("authorization")
    if (
        request.flaw is not None
        or header("if-none-match") is not None
        or (authorization is None and header("cookie") is not None)
    ):
        return None
    return (request.path, request.query, authorization, header("accept"), header("accept-encoding"))


def _create_words(request: Request) -> Words | None:
    """All of a create that what it means depends on; None for requests that are no plain creates by a bearer."""
    header = request.header
    authorization = header("authorization")
    if (
        request.method != "POST"
        or request.query
        or request.flaw is not None
        or authorization is None
        or header("idempotency-key") is not None
        or header("if-match") is not None
        or header("content-encoding") is not None
    ):
        return None
    return ("POST", request.path, authorization, header("accept"), header("accept-encoding"), header("content-type"))
