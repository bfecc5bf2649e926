"""Refresh tokens against stored sessions: which session one belongs to, and its rotation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ramet.identity.issuing import Issuer
from ramet.identity.ports import Context, Exchange
from ramet.identity.rotation import Decision, decide, with_rotation
from ramet.identity.sessions import Session, end, make_room
from ramet.identity.tokens import hash_refresh, new_family, new_refresh_token, read_refresh_token
from ramet.settings import Settings

AGENT_LENGTH = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


async def open_session(ctx: Context, user: str) -> tuple[Session, str]:
    """A new session of a user and its first refresh token; `ctx` is the system's, in a transaction."""
    issuer = ctx.part(Issuer)
    family = new_family()
    token = new_refresh_token(issuer.refresh_secret, family)
    await make_room(ctx, user)
    session = await ctx.create(
        Session(
            user=user,
            agent=client(ctx.exchange),
            address=ctx.exchange.address,
            last_used_at=ctx.now,
            expires_at=ctx.now + timedelta(seconds=issuer.refresh_ttl),
            family=family,
            refresh_hash=hash_refresh(token),
        )
    )
    return session, token


async def session_of(ctx: Context, token: str | None) -> Session | None:
    """The session whose family a refresh token names, which is not yet to believe it."""
    claim = None if token is None else read_refresh_token(token)
    if claim is None:
        return None
    found = await ctx.list(Session, family=claim.family, limit=1)
    return found[0] if found else None


def judge(ctx: Context, session: Session, token: str) -> Decision:
    """What a refresh token is worth to its session now."""
    grace = ctx.part(Settings).refresh_grace
    return decide(session, token, ctx.part(Issuer).refresh_secret, microseconds(ctx.now), grace)


async def advance(ctx: Context, session: Session, token: str) -> Decision:
    """Carries out what `judge` says: a rotation, or for a replay the session's end. `ctx` as for `open_session`."""
    decision = judge(ctx, session, token)
    now = ctx.now
    if decision.kind == "rotate":
        await ctx.update(
            session,
            refresh_hash=hash_refresh(decision.token),
            generation=session.generation + 1,
            rotated=with_rotation(session.rotated, microseconds(now), ctx.part(Settings).refresh_grace),
            agent=client(ctx.exchange),
            address=ctx.exchange.address,
            last_used_at=now,
            expires_at=now + timedelta(seconds=ctx.part(Issuer).refresh_ttl),
        )
    elif decision.kind == "replay":
        await end(ctx, session, "replay")
    return decision


def client(exchange: Exchange) -> str:
    """The client's name for itself, as far as it can be kept."""
    return "".join(character for character in exchange.agent[:AGENT_LENGTH] if character.isprintable())


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (moment - _EPOCH) // _MICROSECOND
