"""A request to create a record, sent before in the same words: its head has come, its body comes, its record is stored.

Each of the three is a call, so that no task has to wait between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

from ramet.errors import Problem
from ramet.interfaces.rest.account import Accounts
from ramet.interfaces.rest.answers import Answers
from ramet.interfaces.rest.routes import PREFIX
from ramet.interfaces.transport.request import Request, Response
from ramet.limits.leases import Unleased
from ramet.limits.limiter import ATTEMPTS
from ramet.limits.overload import InFlight
from ramet.limits.policy import Allowance
from ramet.operations.recall import CreateMeaning, Recall, Words


class Creates:
    """Takes such requests. Bodies may have `limit` bytes."""

    def __init__(self, recall: Recall, answers: Answers, accounts: Accounts, in_flight: InFlight, limit: int) -> None:
        self.recall = recall
        self.answers = answers
        self.accounts = accounts
        self.in_flight = in_flight
        self.limit = limit

    def begin(self, request: Request) -> Posted | None:
        """The request, if it is one; it has left no trace if not."""
        words = create_words(request)
        meaning = None if words is None else self.recall.create_meaning(words)
        if words is None or meaning is None or self.in_flight.full:
            return None
        return Posted(self, request, words, meaning)


class Posted:
    """One of them. `answer` is called once, with its response, after `take` or `fail`; neither ever raises."""

    __slots__ = (
        "_address",
        "_allowance",
        "_attempts",
        "_creates",
        "_done",
        "_meaning",
        "_record",
        "_record_id",
        "_request",
        "_started",
        "_words",
        "answer",
        "limit",
    )
    answer: Callable[[Response], Any]

    def __init__(self, creates: Creates, request: Request, words: Words, meaning: CreateMeaning) -> None:
        self._started = perf_counter()
        self._creates = creates
        self._request = request
        self._words = words
        self._meaning = meaning
        self._allowance: Allowance | None = None
        self._attempts = 0
        self._done, self._address = creates.accounts.open(request, meaning.name, meaning.caller.id, "bypass")
        self.limit = creates.limit

    async def whole(self) -> Response:
        """The answer, where the body has to be awaited."""
        answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

        def answer(response: Response) -> None:
            if not answered.done():
                answered.set_result(response)

        self.answer = answer
        try:
            body = await self._request.body(self.limit)  # on its way it takes no place: see `Rest`
        except Exception as error:
            self.fail(error)
        else:
            self.take(body)
        return await answered

    def fail(self, error: Exception) -> None:
        """The body has not come, or not as it should."""
        if isinstance(error, Problem):
            try:
                self._creates.recall.charge(self._address.group)
            except Problem as problem:
                error = problem
        self._refuse(error)

    def take(self, body: bytes) -> None:
        """The body has come."""
        creates = self._creates
        try:
            creates.in_flight.enter(self._address.address)
        except Problem as problem:
            self.fail(problem)
            return
        try:
            self._allowance = creates.recall.admit(self._words, self._meaning, self._address.group)
            self._record_id, self._record = self._meaning.creation.begin(body, self._stored)
        except Unleased as need:
            creates.in_flight.leave()
            self._obtain(need, body)
        except Exception as error:
            creates.in_flight.leave()
            self._refuse(error)

    def _obtain(self, need: Unleased, body: bytes) -> None:
        """Begins anew once there are units of the limit; not for ever, for others may take them first."""
        self._attempts += 1
        if self._attempts < ATTEMPTS:
            asyncio.ensure_future(need.obtain()).add_done_callback(lambda _: self.take(body))
        else:
            self._refuse(Problem("overloaded", "Too many requests at once for one limit.", retry_after=1))

    def _stored(self, place: object) -> None:
        creates, allowance = self._creates, self._allowance
        creates.in_flight.leave()
        if allowance is None or isinstance(place, Exception):
            self._refuse(place if isinstance(place, Exception) else ValueError("It was stored without being admitted."))
            return
        accepted = self._request.header("accept-encoding")
        response = creates.answers.created(self._record, str(place), accepted, self._started, allowance)
        response.headers.append(("location", f"{PREFIX}/{self._meaning.path}/{self._record_id}"))
        self.answer(creates.accounts.close(self._request, response, self._done, self._started))

    def _refuse(self, error: Exception) -> None:
        creates = self._creates
        response = creates.accounts.refuse(error, self._done)
        if self._allowance is not None:
            creates.answers.complete(response, self._started, self._allowance)
        self.answer(creates.accounts.close(self._request, response, self._done, self._started))


def create_words(request: Request) -> Words | None:
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
