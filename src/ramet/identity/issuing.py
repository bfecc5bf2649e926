"""What a sign-in or a refresh answers: tokens in the body, or in cookies for a browser."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple, NoReturn, Protocol

import msgspec

from ramet.errors import Problem
from ramet.identity import cookies
from ramet.identity.ports import Exchange
from ramet.identity.tokens import AccessTokens


class SignedInUser(msgspec.Struct, frozen=True):
    """The user who signed in."""

    id: str
    email: str
    name: str
    roles: list[str]


class SignedIn(msgspec.Struct, frozen=True, omit_defaults=True):
    """A session and the right to use it: `expires_in` is the access token's life in seconds.

    Without the two tokens where they are in cookies.
    """

    token_type: Literal["Bearer", "Cookie"]
    expires_in: int
    session: str
    user: SignedInUser
    access_token: str | msgspec.UnsetType = msgspec.UNSET
    refresh_token: str | msgspec.UnsetType = msgspec.UNSET


class Registered(msgspec.Struct, frozen=True):
    """The address that can now sign in, if it was free."""

    email: str


class Holder(Protocol):
    """The user as tokens need it; `access_changed_at` is when the rights in earlier tokens ended."""

    id: str
    email: str
    name: str
    roles: list[str]
    access_changed_at: datetime | None


class Opened(NamedTuple):
    """A session that may go on: its user as read at `now` within a write transaction, and its refresh token."""

    user: Holder
    session: str
    refresh: str
    now: datetime


class Issuer:
    """Hands out tokens. `refresh_secret` is derived from the root for refresh tokens; their life is in seconds."""

    def __init__(self, tokens: AccessTokens, refresh_secret: bytes, refresh_ttl: float) -> None:
        self._tokens = tokens
        self.refresh_secret = refresh_secret
        self.refresh_ttl = refresh_ttl

    def answer(self, exchange: Exchange, opened: Opened, *, in_cookies: bool) -> SignedIn:
        """The tokens of a session, once its transaction is committed.

        The moment at which the user was read stands in the token, so that a later change of its roles is sure to
        refuse it, and an earlier one is sure not to.
        """
        user, session, refresh, now = opened
        changed = user.access_changed_at
        at = now if changed is None or changed < now else changed
        access = self._tokens.mint(user=user.id, session=session, roles=user.roles, now=at.timestamp())
        who = SignedInUser(user.id, user.email, user.name, user.roles)
        life = int(self._tokens.ttl)
        if not in_cookies:
            return SignedIn("Bearer", life, session, who, access, refresh)
        exchange.headers.append(("set-cookie", cookies.access_cookie(access, self._tokens.ttl)))
        exchange.headers.append(("set-cookie", cookies.refresh_cookie(refresh, self.refresh_ttl)))
        return SignedIn("Cookie", life, session, who)


def require_own_page(exchange: Exchange) -> None:
    """Refuses to set or believe cookies for a request that another site may have made a browser send."""
    if not exchange.same_origin:
        raise Problem("cross_site", "Cookies are for the pages of this site; send no `cookies` to get bearer tokens.")


def presented(exchange: Exchange, token: str | None) -> tuple[str | None, bool]:
    """The refresh token in the input, else in the cookie; and whether it was the cookie. Raises Problem cross_site."""
    if token is not None:
        return token, False
    found = cookies.read(exchange.cookies)[1] if exchange.cookies else None
    if found is not None:
        require_own_page(exchange)
    return found, found is not None


def clear_cookies(exchange: Exchange) -> None:
    """Signs the browser out."""
    exchange.headers.extend(("set-cookie", value) for value in cookies.cleared())


def refuse_session(in_cookies: bool) -> NoReturn:
    """Answers a refresh token that is worth nothing any more; a browser forgets it."""
    raise Problem("session_ended", headers=[("set-cookie", value) for value in cookies.cleared()] if in_cookies else ())
