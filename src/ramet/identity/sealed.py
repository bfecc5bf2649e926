"""The signing keys as they are stored, so that all processes sign and verify with the same ones."""

from __future__ import annotations

from typing import Annotated

from ramet.declare.resource import Resource
from ramet.declare.rules import Access, nobody
from ramet.declare.types import Hidden, Length, Unique
from ramet.identity.keys import Algorithm, KeyRow
from ramet.identity.ports import Context

MOST = 50


class SealedKey(Resource):
    """A signing key, encrypted with the root secret. No interface offers it; its changes in the log carry no key."""

    kid: Annotated[str, Length(1, 40), Unique]
    algorithm: Algorithm
    signs_from: float
    retires_at: float | None = None
    made_at: float = 0.0
    sealed: Annotated[str, Length(max=4_000), Hidden] = ""

    path = "ramet-keys"
    operations = ()
    access = Access(read=nobody, create=nobody, update=nobody, delete=nobody)

    @property
    def row(self) -> KeyRow:
        """It as the key ring takes it."""
        return KeyRow(
            kid=self.kid,
            algorithm=self.algorithm,
            sealed=self.sealed,
            created_at=self.made_at,
            signs_from=self.signs_from,
            retires_at=self.retires_at,
        )


async def stored_keys(ctx: Context) -> list[SealedKey]:
    """All keys; `ctx` is the system's."""
    return await ctx.list(SealedKey, sort="created_at", limit=MOST)


async def store_key(ctx: Context, row: KeyRow) -> None:
    """Stores a new or changed key; `ctx` is the system's, in a transaction."""
    known = await ctx.list(SealedKey, kid=row.kid, limit=1)
    if known:
        await ctx.update(known[0], retires_at=row.retires_at)
        return
    await ctx.create(
        SealedKey(
            kid=row.kid,
            algorithm=row.algorithm,
            signs_from=row.signs_from,
            retires_at=row.retires_at,
            made_at=row.created_at,
            sealed=row.sealed,
        )
    )
