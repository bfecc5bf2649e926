"""Demo data: the function that makes it, and the sign-in that goes with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec


class SignIn(msgspec.Struct, frozen=True):
    """The ready sign-in of demo data, for the terminal and the first page. `note` says more, such as other users."""

    email: str
    password: str
    note: str = ""

    def __str__(self) -> str:
        text = f"Sign in as {self.email} with the password {self.password}"
        return f"{text}\n{self.note}" if self.note else text


Demo = Callable[[Any], Awaitable[SignIn | str | None]]
"""Fills an empty database. It is given a `Context` of the system, and returns what to tell whoever started it."""
