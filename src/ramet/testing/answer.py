"""What a test sees of an answer."""

from __future__ import annotations

from typing import Any

import msgspec


class Answer(msgspec.Struct, frozen=True):
    """One answer: header names in lower case. Of several headers of one name the last is kept."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body; None when there is none."""
        return msgspec.json.decode(self.body) if self.body else None

    @property
    def items(self) -> list[dict[str, Any]]:
        """The records of a list. Raises AssertionError when it was refused."""
        found: list[dict[str, Any]] = self.ok()["items"]
        return found

    @property
    def code(self) -> str:
        """The code of the problem; empty for a success."""
        return str(self.json["code"]) if self.status >= 400 else ""

    @property
    def faults(self) -> dict[str, str]:
        """What was wrong with the input: codes by JSON pointer."""
        return {fault["pointer"]: fault["code"] for fault in self.json.get("errors", ())}

    def ok(self) -> Any:
        """The decoded body of a success. Raises AssertionError, with what the answer says, when it was refused."""
        if not 200 <= self.status < 300:
            raise AssertionError(f"{self.status}: {self.body.decode(errors='replace')}")
        return self.json
