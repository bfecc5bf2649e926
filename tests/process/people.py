"""Users of a server under test."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.process.client import Client

AUTH = "/api/v1/auth"
PASSWORD = "a long and unusual sentence"
CHEAP: dict[str, Any] = {"password_memory": 64}
"""Settings under which many people can sign in without heating the processor."""


class SignIn(NamedTuple):
    """One session: its tokens, and its id."""

    access: str
    refresh: str
    session: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.access}"}


async def register(client: Client, name: str) -> str:
    """Makes a user; gives its address."""
    email = f"{name}@example.org"
    answer = await client.ask("POST", f"{AUTH}/register", {"email": email, "password": PASSWORD})
    assert answer.status == 202, answer
    return email


async def sign_in(client: Client, email: str) -> SignIn:
    answer = await client.ask("POST", f"{AUTH}/sign-in", {"email": email, "password": PASSWORD})
    assert answer.status == 200, answer
    given = answer.json()
    return SignIn(given["access_token"], given["refresh_token"], given["session"])
