"""Identity as one part of an application: its resources, its keys, and its work beside requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Annotated, Any

import msgspec

from ramet.changes.feed import Feed, Recent
from ramet.declare.fields.email import PATTERN
from ramet.declare.resource import Resource
from ramet.errors import Fault, Problem, SettingsError
from ramet.identity.following import REVOKING, Revocations
from ramet.identity.issuing import Issuer
from ramet.identity.keys import KeyRing, KeyRow, derive
from ramet.identity.passwords import Passwords, check_new
from ramet.identity.ports import AccountLimits, Context, Guesses
from ramet.identity.sealed import SealedKey, store_key, stored_keys
from ramet.identity.sessions import Session, forget_expired
from ramet.identity.tokens import SKEW, AccessTokens
from ramet.identity.users import User, find_user, normalise
from ramet.identity.verifier import Verifier
from ramet.observe import Lifecycle, Observer
from ramet.settings import Settings

RESOURCES: tuple[type[Resource], ...] = (User, Session, SealedKey)
CHORES = 60.0
"""Seconds between two looks at what is to do: rotating keys and forgetting sessions."""
ROUNDS = 20
"""Pages of expired sessions that are forgotten at one look."""

Leads = Callable[[str], Awaitable[bool]]


class _Declared(msgspec.Struct, kw_only=True):
    email: Annotated[str, msgspec.Meta(pattern=rf"^{PATTERN}$(?!\n)", max_length=254)]
    roles: Annotated[
        list[Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]*$(?!\n)", max_length=40)]],
        msgspec.Meta(max_length=20),
    ]


def check_user(email: str, roles: Sequence[str]) -> None:
    """Whether an address, in its normal form, and roles are as they are declared. Raises Problem `invalid_input`.

    What comes from a command line reaches the record without the decoder that checks a request.
    """
    try:
        msgspec.convert({"email": email, "roles": list(roles)}, _Declared)
    except msgspec.ValidationError as error:
        sentence, _, place = str(error).partition(" - at `$.")
        pointer = "/" + place.partition("`")[0].partition("[")[0]
        raise Problem("invalid_input", faults=[Fault(pointer, "invalid_value", sentence + ".")]) from None


def check_retention(settings: Settings) -> None:
    """Raises SettingsError when the log is not kept long enough to know every revocation after a start."""
    if settings.changes_retention < settings.access_token_ttl + SKEW:
        raise SettingsError(f"RAMET_CHANGES_RETENTION: takes at least the life of an access token and {SKEW:g} s.")


class Identity:
    """`root` is the root secret, `now` gives microseconds since 1970.

    Raises SettingsError when the log is not kept long enough to know every revocation after a start.
    """

    def __init__(
        self, settings: Settings, root: bytes, limits: AccountLimits, observer: Observer, now: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._root = root
        self._observer = observer
        self._now = now
        self._window = settings.access_token_ttl + SKEW
        check_retention(settings)
        self.keys = self._ring(())
        self.tokens = AccessTokens(self.keys, issuer="ramet", audience="ramet", ttl=settings.access_token_ttl)
        self.verifier = Verifier(self.tokens, self._seconds)
        self.passwords = Passwords(threads=settings.password_threads, memory=settings.password_memory)
        issuer = Issuer(self.tokens, derive(root, "refresh tokens"), settings.refresh_token_ttl)
        self.parts: tuple[Any, ...] = (self.passwords, issuer, Guesses(limits), observer, settings)
        self._stale = asyncio.Event()
        self.revocations = Revocations(self.verifier, self.keys_changed)
        self._tasks: list[asyncio.Task[None]] = []

    def follow(self, feed: Feed) -> None:
        """Learns from the log what is revoked, and what was while tokens of that time may still be about."""
        recent = Recent(lambda: self._now() - int(self._window * 1e6), REVOKING)
        feed.subscribe(self.revocations.apply, self.keys_changed, recent)

    async def start(self, ctx: Context, lead: Leads) -> None:
        """Loads keys, making the first. `ctx` is the system's; `lead` says whether this process does a chore."""
        self._ctx = ctx
        await self.rotate_keys()
        self._tasks = [
            asyncio.create_task(self._load_keys(), name="load signing keys"),
            asyncio.create_task(self._do_chores(lead), name="chores of identity"),
        ]

    async def stop(self) -> None:
        """Ends the work beside requests."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.passwords.close()

    def keys_changed(self) -> None:
        """Has the stored keys loaded soon: they are known for some seconds before they sign."""
        self._stale.set()

    async def create_user(self, email: str, password: str, roles: Sequence[str] = (), name: str = "") -> User:
        """Makes a user as a command line does. Raises Problem invalid_input or not_unique."""
        address = normalise(email)
        check_user(address, roles)
        faults = check_new(password, email=address)
        if faults:
            raise Problem("invalid_input", faults=faults)
        hashed = await self.passwords.hash(password)

        async def store(ctx: Context) -> User:
            if await find_user(ctx, User, address) is not None:
                raise Problem("not_unique", "There is a user with this e-mail address.")
            return await ctx.create(User(email=address, name=name, roles=list(roles), password_hash=hashed))

        return await self._ctx.atomically(store)

    async def rotate_keys(self) -> None:
        """Makes a new signing key if it is time, and forgets those that have retired."""
        ring = self._ring(())

        async def work(ctx: Context) -> None:
            stored = await stored_keys(ctx)
            ring.load(key.row for key in stored)
            now = self._seconds()
            if ring.due(now, self._settings.signing_key_period):
                for row in ring.rotate(now):
                    await store_key(ctx, row)
            retired = ring.prune(now)
            for key in stored:
                if key.kid in retired:
                    await ctx.delete(key)

        await self._ctx.atomically(work)
        self.keys.load(ring.rows)

    async def tidy(self) -> None:
        """Does what is due: a new signing key, and forgetting sessions that have expired."""
        await self.rotate_keys()
        for _ in range(ROUNDS):
            if not await forget_expired(self._ctx):
                break

    def _ring(self, rows: Iterable[KeyRow]) -> KeyRing:
        # Another process may be ahead of ours by as much as its tokens are forgiven.
        return KeyRing(self._root, rows, overlap=self._window)

    def _seconds(self) -> float:
        return self._now() / 1e6

    async def _load_keys(self) -> None:
        """Loads keys whenever the log tells of changes."""
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                self.keys.load([key.row for key in await stored_keys(self._ctx)])
            except Exception as error:
                self._observer.emit(Lifecycle("keys", f"could not be loaded and will be: {error!r}"))
                await asyncio.sleep(1.0)
                self._stale.set()

    async def _do_chores(self, lead: Leads) -> None:
        while True:
            await asyncio.sleep(CHORES)
            try:
                if await lead("identity"):
                    await self.tidy()
            except Exception as error:
                self._observer.emit(Lifecycle("identity", f"chores failed and will be tried again: {error!r}"))
