"""Sessions: one for each sign-in, kept alive by refreshing, ended by its owner or an administrator."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from ramet.declare.resource import Resource, before
from ramet.declare.rules import OWNER, Access, nobody, role
from ramet.declare.types import Help, Hidden, Index, Items, Length, ReadOnly, Ref, Unique
from ramet.identity.ports import Context
from ramet.identity.rotation import MOST_KEPT
from ramet.observe import Observer, SessionRevoked

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
MOST = 100
"""Sessions of one user that are kept, ended ones too; a further sign-in takes the place of one, an ended one if any."""
PAGE = 100

EndReason = Literal["sign_out", "everywhere", "replay", "password", "administrator"]


class Session(Resource):
    """A sign-in of a user in one client. `DELETE` ends it and removes it from the list.

    Sessions that ended otherwise stay, with the reason, until they would have expired; each of their tokens is
    refused. A session is the family of its refresh tokens: only the hash of the newest one is stored.
    """

    user: Annotated[str, Ref("User", on_delete="cascade"), ReadOnly] = ""
    agent: Annotated[str, Length(max=200), ReadOnly, Help("The client's User-Agent at its last use.")] = ""
    address: Annotated[str, Length(max=64), ReadOnly, Help("The client's address at its last use.")] = ""
    last_used_at: Annotated[datetime, ReadOnly, Help("When tokens were last got by signing in or refreshing.")] = NEVER
    expires_at: Annotated[datetime, ReadOnly, Help("When it ends if it is not refreshed before.")] = NEVER
    ended_at: Annotated[datetime | None, ReadOnly] = None
    end_reason: Annotated[EndReason | None, ReadOnly] = None
    family: Annotated[str, Length(max=32), Unique, Hidden] = ""
    refresh_hash: Annotated[str, Length(max=64), Hidden] = ""
    generation: Annotated[int, Hidden] = 0
    rotated: Annotated[list[int], Items(MOST_KEPT), Hidden] = []

    path = "sessions"
    operations = ("list", "get", "delete")
    access = Access(read=OWNER | role("admin"), create=nobody, update=nobody, delete=OWNER | role("admin"))
    indexes = [Index("user", "ended_at"), Index("expires_at")]

    def live(self, now: datetime) -> bool:
        """Whether its tokens are accepted at `now`."""
        return self.ended_at is None and self.expires_at > now

    @before("create")
    async def belong_to_user(self, ctx: Context) -> None:
        """A session is its user's own record, though the system makes it."""
        self.owner = self.user

    @before("delete")
    async def tell(self, ctx: Context) -> None:
        """A deletion ends the session too."""
        if self.live(ctx.now):
            _emit(ctx, self, "sign_out" if ctx.caller.id == self.user else "administrator")


async def end(ctx: Context, session: Session, reason: EndReason) -> None:
    """Ends a session of any user, if it has not ended yet; `ctx` is the system's, in a transaction."""
    if session.ended_at is None:
        await ctx.update(session, ended_at=ctx.now, end_reason=reason)
        _emit(ctx, session, reason)


async def end_all(ctx: Context, user: str, reason: EndReason, keep: str | None = None) -> None:
    """Ends all sessions of a user but `keep`; `ctx` is the system's, in a transaction."""
    while True:
        found = [it for it in await ctx.list(Session, user=user, ended_at=None, limit=PAGE) if it.id != keep]
        for session in found:
            await end(ctx, session, reason)
        if len(found) < PAGE - 1:
            return


async def make_room(ctx: Context, user: str) -> None:
    """Removes a session of a user when there are as many as one may have.

    That is one that has ended, or else the one that was not used for longest.
    """
    if await ctx.count(Session, user=user) >= MOST:
        ended = await ctx.list(Session, user=user, ended_at__lte=ctx.now, sort="ended_at", limit=1)
        for session in ended or await ctx.list(Session, user=user, sort="last_used_at", limit=1):
            await ctx.delete(session)


async def forget_expired(ctx: Context) -> int:
    """Deletes some sessions that have expired, ended ones too; how many. `ctx` is the system's."""
    found = await ctx.list(Session, expires_at__lt=ctx.now, sort="expires_at", limit=PAGE)

    async def work(ctx: Context) -> int:
        for session in found:
            current = await ctx.find(Session, session.id)
            if current is not None and current.expires_at == session.expires_at:  # not refreshed since it was found
                await ctx.delete(current)
        return len(found)

    return await ctx.atomically(work) if found else 0


def _emit(ctx: Context, session: Session, reason: EndReason) -> None:
    ctx.part(Observer).emit(SessionRevoked(session.id, session.user, reason))
