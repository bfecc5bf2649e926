"""Users, and the actions by which they register, sign in and out, refresh, and change their password."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from ramet.declare.resource import Resource, action, before
from ramet.declare.rules import OWNER, Access, nobody, role
from ramet.declare.types import Email, Help, Hidden, Items, Length, Pattern, ReadOnly, Unique
from ramet.errors import Fault, Problem
from ramet.identity.issuing import (
    Issuer,
    Opened,
    Registered,
    SignedIn,
    clear_cookies,
    presented,
    refuse_session,
    require_own_page,
)
from ramet.identity.passwords import Passwords, check_new
from ramet.identity.ports import Context, Guesses
from ramet.identity.refreshing import advance, judge, open_session, session_of
from ramet.identity.sessions import Session, end, end_all
from ramet.observe import Observer, SignInFailed
from ramet.settings import Settings

Name = Annotated[str, Length(max=100)]
# 20 of 40 characters keep an access token far below 4 KiB.
Roles = Annotated[list[Annotated[str, Length(1, 40), Pattern("[a-z][a-z0-9_-]*")]], Items(20)]
Secret = Annotated[str, Length(1, 512)]
"""A password as it is sent; `passwords` says which are accepted."""
RefreshText = Annotated[str, Length(1, 200)]


class User(Resource):
    """Somebody who signs in; `/users/me` is the caller. The record's owner is the user.

    A user sees and renames itself. Administrators (role `admin`) see all, change roles, addresses and names, disable
    and delete. Deleting a user deletes its sessions too, and its access tokens are refused from then on; records it
    owns stay until somebody who may deletes them. Disabling ends its sessions.
    """

    email: Annotated[Email, Unique, Help("Kept in lower case.")]
    name: Name = ""
    roles: Annotated[Roles, Help("What rules ask for with role(...).")] = []
    disabled: Annotated[bool, Help("A disabled user cannot sign in.")] = False
    access_changed_at: Annotated[
        datetime | None, ReadOnly, Help("Access tokens from before this are refused: roles have changed since.")
    ] = None
    password_hash: Annotated[str, Length(max=200), Hidden] = ""
    registered_at: Annotated[datetime | None, Hidden, Help("When somebody last registered with this address.")] = None

    path = "users"
    operations = ("list", "get", "update", "delete")
    access = Access(
        read=OWNER | role("admin"),
        create=nobody,
        update=OWNER | role("admin"),
        delete=role("admin"),
        write_fields={"email": role("admin"), "roles": role("admin"), "disabled": role("admin")},
    )

    @before("create")
    async def own_itself(self, ctx: Context) -> None:
        """A user's record is its own, and addresses are compared in lower case."""
        self.owner = self.id
        self.email = normalise(self.email)
        self.roles = sorted(set(self.roles))

    @before("update")
    async def change_access(self, ctx: Context) -> None:
        """Access tokens with other rights than the user now has are refused; a disabled user has no session."""
        previous: User = ctx.previous
        self.email = normalise(self.email)
        self.roles = sorted(set(self.roles))
        if self.roles != previous.roles or self.disabled != previous.disabled:
            latest = ctx.now if previous.access_changed_at is None else max(ctx.now, previous.access_changed_at)
            self.access_changed_at = latest + timedelta(microseconds=1)
        if self.disabled and not previous.disabled:
            await end_all(ctx.as_system(), self.id, "administrator")

    @action(path="/auth/register", public=True, limit="register", transaction=False, status=202)
    @classmethod
    async def register(cls, ctx: Context, email: Email, password: Secret, name: Name = "") -> Registered:
        """Makes an account, with which one then signs in.

        The answer, the work and the durable write are the same whether the address was free, so asking does not tell
        who has an account; whoever registers learns it by signing in. What is left is to take a free address and sign
        in to it, which limits on both bound and which uses the address up.
        """
        if not ctx.part(Settings).registration:
            raise Problem("forbidden", "Registration is closed.")
        address = normalise(email)
        faults = check_new(password, email=address)
        if faults:
            raise Problem("invalid_input", faults=faults)
        hashed = await ctx.part(Passwords).hash(password)

        async def store(ctx: Context) -> bool:
            known = await find_user(ctx, cls, address)
            if known is None:
                await ctx.create(cls(email=address, name=name, password_hash=hashed, registered_at=ctx.now))
            else:
                await ctx.update(known, registered_at=ctx.now)
            return known is None

        if not await ctx.as_system().atomically(store):
            _tell(ctx, "address_taken")
        return Registered(address)

    @action(path="/auth/sign-in", public=True, limit="sign_in", transaction=False)
    @classmethod
    async def sign_in(cls, ctx: Context, email: Email, password: Secret, cookies: bool = False) -> SignedIn:
        """Opens a session. With `cookies` a browser gets its tokens in cookies that no script can read.

        The answer and the work of a refusal are the same whether the account exists, is disabled, or the password
        is wrong.
        """
        if cookies:
            require_own_page(ctx.exchange)
        address, sender = normalise(email), ctx.exchange.group
        await ctx.part(Guesses).check(address, sender)
        known = await find_user(ctx.as_system(), cls, address)
        right = await ctx.part(Passwords).verify(None if known is None else known.password_hash or None, password)
        if known is None or not right or known.disabled:
            _tell(ctx, "unknown_account" if known is None else "disabled" if right else "wrong_password")
            raise Problem("invalid_credentials")
        ctx.part(Guesses).succeeded(address, sender)
        checked = known.password_hash
        renewed = await ctx.part(Passwords).hash(password) if ctx.part(Passwords).needs_rehash(checked) else checked

        async def store(ctx: Context) -> Opened:
            user = await ctx.find(cls, known.id)
            if user is None or user.disabled or user.password_hash != checked:
                raise Problem("invalid_credentials")
            if renewed != checked:
                user = await ctx.update(user, password_hash=renewed)
            session, token = await open_session(ctx, user.id)
            return Opened(user, session.id, token, ctx.now)

        opened = await ctx.as_system().atomically(store)
        return ctx.part(Issuer).answer(ctx.exchange, opened, in_cookies=cookies)

    @action(path="/auth/refresh", public=True, limit="refresh", transaction=False)
    @classmethod
    async def refresh(cls, ctx: Context, refresh_token: RefreshText | None = None) -> SignedIn:
        """New tokens for a refresh token, from the input or else from the browser's cookie, where new ones then go.

        Each refresh token is for one use. For some seconds after it (`refresh_grace`) everybody who presents it gets
        the same new one; after that, presenting it ends the session, for somebody must have stolen it.
        """
        token, in_cookies = presented(ctx.exchange, refresh_token)
        if token is None:
            raise Problem("unauthenticated", "Send `refresh_token`, or the cookie of a sign-in with cookies.")
        system = ctx.as_system()
        known = await session_of(system, token)
        if known is None or judge(system, known, token).kind == "unknown":
            _tell(ctx, "unknown_refresh_token")
            refuse_session(in_cookies)

        async def store(ctx: Context) -> Opened | str:
            session = await ctx.find(Session, known.id)
            user = None if session is None else await ctx.find(cls, session.user)
            if session is None or user is None or user.disabled or not session.live(ctx.now):
                return "session_ended"
            decision = await advance(ctx, session, token)
            if decision.kind in ("replay", "unknown"):
                return "replay" if decision.kind == "replay" else "unknown_refresh_token"
            return Opened(user, session.id, decision.token, ctx.now)

        opened = await system.atomically(store)
        if isinstance(opened, str):
            _tell(ctx, opened)
            refuse_session(in_cookies)
        return ctx.part(Issuer).answer(ctx.exchange, opened, in_cookies=in_cookies)

    @action(path="/auth/sign-out", public=True, transaction=False)
    @classmethod
    async def sign_out(cls, ctx: Context, refresh_token: RefreshText | None = None) -> None:
        """Ends the session of the access token, or else of the refresh token, and clears the browser's cookies.

        Nothing else is told: signing out of what has ended is fine.
        """
        token, _ = presented(ctx.exchange, refresh_token)
        system = ctx.as_system()
        if ctx.caller.session is not None:
            session = await system.find(Session, ctx.caller.session)
        else:
            session = await session_of(system, token)
            if session is not None and token is not None and judge(system, session, token).kind == "unknown":
                session = None
        if session is not None:
            leaving = session.id

            async def store(ctx: Context) -> None:
                current = await ctx.find(Session, leaving)
                if current is not None and current.live(ctx.now):
                    await end(ctx, current, "sign_out")

            await system.atomically(store)
        if ctx.exchange.cookies is not None:
            clear_cookies(ctx.exchange)

    @action(path="/auth/sign-out-everywhere", transaction=False)
    @classmethod
    async def sign_out_everywhere(cls, ctx: Context) -> None:
        """Ends all sessions of the caller, this one too."""
        caller = _own_id(ctx)

        async def store(ctx: Context) -> None:
            await end_all(ctx, caller, "everywhere")

        await ctx.as_system().atomically(store)
        if ctx.exchange.cookies is not None:
            clear_cookies(ctx.exchange)

    @action(path="/auth/change-password", limit="sign_in", transaction=False)
    @classmethod
    async def change_password(cls, ctx: Context, current_password: Secret, new_password: Secret) -> None:
        """Changes the caller's password and ends all its other sessions."""
        caller = _own_id(ctx)
        known = await ctx.as_system().find(cls, caller)
        if known is None:
            raise Problem("session_ended")
        faults = check_new(new_password, email=known.email, pointer="/new_password")
        if faults:
            raise Problem("invalid_input", faults=faults)
        checked, keep = known.password_hash, ctx.caller.session
        await ctx.part(Guesses).check(known.email, ctx.exchange.group)
        if not await ctx.part(Passwords).verify(checked or None, current_password, pointer="/current_password"):
            _tell(ctx, "wrong_password")
            fault = Fault("/current_password", "wrong_password", "This is not the current password.")
            raise Problem("invalid_input", faults=[fault])
        ctx.part(Guesses).succeeded(known.email, ctx.exchange.group)
        hashed = await ctx.part(Passwords).hash(new_password)

        async def store(ctx: Context) -> None:
            user = await ctx.find(cls, caller)
            if user is None or user.password_hash != checked:
                raise Problem("conflict", "The password was changed by another request.")
            await ctx.update(user, password_hash=hashed)
            await end_all(ctx, caller, "password", keep=keep)

        await ctx.as_system().atomically(store)


def normalise(email: str) -> str:
    """The form in which addresses are stored and compared."""
    return email.strip().lower()


async def find_user(ctx: Context, users: type[User], email: str) -> User | None:
    """The user of a normalised address; `ctx` is the system's."""
    found = await ctx.list(users, email=email, limit=1)
    return found[0] if found else None


def _own_id(ctx: Context) -> str:
    if ctx.caller.id is None:
        raise Problem("unauthenticated")
    return ctx.caller.id


def _tell(ctx: Context, reason: str) -> None:
    ctx.part(Observer).emit(SignInFailed(reason, ctx.exchange.address))
