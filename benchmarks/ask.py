"""Asks a server single questions: to fill it, to sign in, and to see that everything is on before it is measured."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.load import Request


class WrongAnswer(Exception):
    """A server answered something else than what is to be measured."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str:
        return self.headers.get(name, "")


class Asker:
    """One kept connection to a port of this machine."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, request: Request, status: int = 0) -> Answer:
        """The answer. Raises WrongAnswer when its status is not `status` (0: any success)."""
        headers = {"Accept": "application/json"}
        if request.token:
            headers["Authorization"] = f"Bearer {request.token}"
        if request.body:
            headers["Content-Type"] = "application/json"
        self._connection.request(request.method, request.path, request.body or None, headers)
        response = self._connection.getresponse()
        body = response.read()
        answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)
        if answer.status != status if status else not 200 <= answer.status < 300:
            raise WrongAnswer(f"{request.method} {request.path}: {answer.status} {body[:500].decode(errors='replace')}")
        return answer

    def close(self) -> None:
        self._connection.close()


def post(path: str, document: object, token: str = "") -> Request:
    return Request("POST", path, token, json.dumps(document, separators=(",", ":")).encode())
