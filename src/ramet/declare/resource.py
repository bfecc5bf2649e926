"""The base of every resource, and the marks for its actions and hooks."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, dataclass_transform, overload

import msgspec

from ramet.declare.rules import Access, owner_only
from ramet.declare.types import Index
from ramet.errors import DeclarationError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Moment = Literal["create", "update", "delete"]
F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


class ResourceType(msgspec.StructMeta):
    """Makes all fields keywords, so that those with and without a default may stand in any order."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **config: Any) -> ResourceType:
        config.setdefault("kw_only", True)
        try:
            made: ResourceType = super().__new__(cls, name, bases, namespace, **config)
        except Exception as error:  # whatever a class may raise that is made
            raise _unmade(name, namespace, error) from None
        return made


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
class Resource(msgspec.Struct, metaclass=ResourceType):
    """One kind of record. A subclass is the declaration, the record's type in hooks and actions, and its encoder.

    Every record has `id` (UUIDv7), `owner` (the id of the user who made it), `created_at`, `updated_at` (UTC) and
    `version` (counts from 1). The class variables below declare the rest.
    """

    id: str = ""
    owner: str | None = None
    created_at: datetime = EPOCH
    updated_at: datetime = EPOCH
    version: int = 0

    access: ClassVar[Access] = owner_only()
    indexes: ClassVar[Sequence[Index]] = ()
    search: ClassVar[Sequence[str]] = ()
    """Text fields that `q=` searches."""
    cache: ClassVar[float] = 0
    """Seconds a list or record may be served from caches, which changes empty at once; 0 means never."""
    path: ClassVar[str] = ""
    """The last part of its address; made from the class name when empty."""
    sort: ClassVar[str] = "-created_at"
    """The order of a list that asks for none."""
    require_match: ClassVar[bool] = False
    """Whether changes must send `If-Match`."""
    operations: ClassVar[Sequence[str]] = ("list", "get", "create", "update", "delete")
    """What the interfaces offer."""


class Action:
    """A declared action: `function` is what runs; the catalog reads its signature."""

    def __init__(
        self,
        function: Any,
        reads: bool,
        transaction: bool,
        path: str,
        public: bool,
        limit: str,
        status: int,
        unknown: Sequence[str] = (),
    ) -> None:
        self.on_collection = isinstance(function, classmethod)
        self.function: Any = function.__func__ if isinstance(function, classmethod) else function
        self.reads = reads
        self.transaction = transaction
        self.path = path
        self.public = public
        self.limit = limit
        self.status = status
        self.unknown = unknown

    def __get__(self, instance: Any, owner: type) -> Any:
        return self.function.__get__(owner if instance is None and self.on_collection else instance, owner)


@overload
def action(function: F, /) -> F: ...
@overload
def action(
    *,
    reads: bool = ...,
    transaction: bool = ...,
    path: str = ...,
    public: bool = ...,
    limit: str = ...,
    status: int = ...,
) -> Callable[[F], F]: ...
def action(
    function: Any = None,
    /,
    *,
    reads: bool = False,
    transaction: bool = True,
    path: str = "",
    public: bool = False,
    limit: str = "general",
    status: int = 200,
    **unknown: Any,
) -> Any:
    """Declares an action: on a record for a method, on the collection for a class method.

    Parameters after `ctx` are its JSON input, the return annotation its output (a resource, a Struct, None or JSON).
    It runs in one write transaction; with `reads=True` in none, by GET; with `transaction=False` by POST in none, for
    slow work that opens short ones with `ctx.atomically`, for which an `Idempotency-Key` therefore does nothing.
    `public` lets strangers in whatever the rules say (on a record: whoever may read it); `path` replaces the address
    below /api/v1 of one on the collection; `limit` names the rate-limit class; `status` is that of success.
    """
    options = (reads, transaction, path, public, limit, status, tuple(unknown))
    return Action(function, *options) if function is not None else lambda inner: Action(inner, *options)


class Hook:
    """A declared hook: `when` is before or after, `moments` the kinds of change."""

    def __init__(self, function: Any, when: Literal["before", "after"], moments: tuple[Moment, ...]) -> None:
        self.function = function
        self.when = when
        self.moments = moments

    def __get__(self, instance: Any, owner: type) -> Any:
        return self.function.__get__(instance, owner)


def before(*moments: Moment) -> Callable[[F], F]:
    """Runs the method in the transaction, before the change is stored; it may change `self` or raise to refuse."""
    _refuse_bare("before", moments)
    return lambda function: Hook(function, "before", moments)  # type: ignore[return-value]  # a descriptor that calls as F does


def after(*moments: Moment) -> Callable[[F], F]:
    """Runs the method after the commit, driven by the change log: at least once, also when the process was killed."""
    _refuse_bare("after", moments)
    return lambda function: Hook(function, "after", moments)  # type: ignore[return-value]  # a descriptor that calls as F does


def _refuse_bare(name: str, moments: tuple[Any, ...]) -> None:
    """`@before` without its brackets would be given the method, and never run."""
    for moment in moments:
        if callable(moment):
            label = getattr(moment, "__qualname__", repr(moment))
            file = Path(getattr(getattr(moment, "__code__", None), "co_filename", "")).name
            raise DeclarationError(f"{file}: {label}: write @{name}('create') or what else it waits for, in brackets.")


def _unmade(name: str, namespace: dict[str, Any], error: Exception) -> DeclarationError:
    """Why a class of a resource cannot be made; there is none yet that could be named by it."""
    module = sys.modules.get(str(namespace.get("__module__")))
    file = Path(str(getattr(module, "__file__", None) or namespace.get("__module__"))).name
    for field, value in namespace.items():
        if field in namespace.get("__annotations__", {}) and isinstance(value, list | dict | set | bytearray) and value:
            factory = f"msgspec.field(default_factory=lambda: {value!r})"
            return DeclarationError(
                f"{file}: {name}.{field}: has a default that all records would share: write {factory}."
            )
    return DeclarationError(f"{file}: {name}: cannot be made ({type(error).__name__}: {error}): mend what it names.")
