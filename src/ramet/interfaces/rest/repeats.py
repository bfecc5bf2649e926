"""Requests that were sent before in the same words, answered with nothing done twice that cannot have changed."""

from __future__ import annotations

from time import perf_counter

from ramet.interfaces.rest.account import Accounts
from ramet.interfaces.rest.answers import Answers
from ramet.interfaces.rest.posted import Creates, create_words
from ramet.interfaces.transport.request import Request, Response
from ramet.limits.overload import InFlight
from ramet.operations.operation import Operation, Result
from ramet.operations.recall import Recall, Words


class Repeats:
    """Knows requests by their words, and what they mean by `recall`. `create` gives those that create a record."""

    def __init__(self, recall: Recall, answers: Answers, accounts: Accounts, in_flight: InFlight, limit: int) -> None:
        self._recall = recall
        self._answers = answers
        self._accounts = accounts
        self._in_flight = in_flight
        self.create = Creates(recall, answers, accounts, in_flight, limit).begin

    def learn(self, request: Request, operation: Operation, result: Result) -> None:
        """Remembers what the words of a request meant, which has just been answered."""
        if operation.kind in ("list", "get"):
            words = _read_words(request)
            if words is not None:
                self._recall.learn(words, operation, result)
        elif operation.kind == "create":
            words = create_words(request)
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
