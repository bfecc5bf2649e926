"""What identity's actions need of the operation they run in: the caller, the request, and records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol, TypeVar

from ramet.declare.resource import Resource
from ramet.identity.caller import Caller

R = TypeVar("R", bound=Resource)
T = TypeVar("T")


class Exchange(Protocol):
    """The request that carries an operation, and the headers its answer gets."""

    @property
    def address(self) -> str: ...

    @property
    def group(self) -> str:
        """What limits count as one sender: the address, or its /64."""

    @property
    def agent(self) -> str: ...

    @property
    def cookies(self) -> str | None: ...

    @property
    def same_origin(self) -> bool:
        """Whether a page of ours sent it, so that cookies may be believed and set."""

    @property
    def headers(self) -> list[tuple[str, str]]: ...


class Context(Protocol):
    """The context that actions and hooks are given; see `ramet.operations.context`."""

    @property
    def caller(self) -> Caller: ...

    @property
    def exchange(self) -> Exchange: ...

    @property
    def now(self) -> datetime: ...

    @property
    def previous(self) -> Any: ...

    def part(self, kind: type[T]) -> T: ...
    def as_system(self) -> Context: ...
    async def atomically(self, work: Callable[[Context], Awaitable[T]]) -> T: ...
    async def find(self, resource: type[R], record_id: str) -> R | None: ...
    async def list(self, resource: type[R], *, sort: str = "", limit: int = 100, **filters: Any) -> list[R]: ...
    async def count(self, resource: type[Resource], **filters: Any) -> int: ...
    async def create(self, record: R) -> R: ...
    async def update(self, record: R, **changes: Any) -> R: ...
    async def delete(self, record: Resource) -> None: ...


class AccountLimits(Protocol):
    """Bounds guesses at one account's password, from wherever; see `ramet.limits.limiter`."""

    async def check_account(self, account: str, address: str) -> None: ...
    def succeeded(self, account: str, address: str) -> None: ...


class Guesses:
    """The part by which actions bound guesses at a password."""

    def __init__(self, limits: AccountLimits) -> None:
        self.check = limits.check_account
        self.succeeded = limits.succeeded
