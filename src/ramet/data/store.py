"""The port to a database: reads of compiled statements, and writes in a transaction with the change log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from ramet.changes.change import Kind, Position
from ramet.changes.feed import Feed
from ramet.changes.source import ChangeSource
from ramet.data.statement import Statement

T = TypeVar("T")
Row = Sequence[Any]
Rows = Sequence[Row]


class Entry(NamedTuple):
    """What the change log tells of one change, but for its time and place."""

    resource: str
    record_id: str
    kind: Kind
    version: int
    owner: str | None
    record: bytes | None


Settle = Callable[[Position | Exception], object]
"""Is told once, in the event loop, the place in the log of what is durable now, or why it is not. Never raises."""


class Awaited(Generic[T]):
    """Something that is told later, for one who waits for it, and who may go away meanwhile."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    @property
    def left(self) -> bool:
        """Whether nobody waits any more."""
        return self._future.done()

    def settle(self, result: T | Exception) -> None:
        if self._future.done():
            return
        if isinstance(result, Exception):
            self._future.set_exception(result)
        else:
            self._future.set_result(result)

    def __await__(self) -> Generator[Any, None, T]:
        return self._future.__await__()


class Transaction(Protocol):
    """One unit of work. Its statements see each other; nobody else sees them before the commit."""

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> Rows:
        """The rows of a statement, whether it reads or changes."""

    async def search(self, statement: Statement, values: Mapping[str, Any]) -> Rows:
        """The rows of a statement that reads any number of records, or the one row of one that counts them."""

    async def run(self, statement: Statement, arguments: Row) -> None:
        """Runs a statement that returns nothing, with its parameters in order."""

    async def log(
        self, resource: str, record_id: str, kind: Kind, version: int, owner: str | None, record: bytes | None
    ) -> None:
        """Adds a row to the change log, committed with the data or not at all."""

    async def part(self, work: Callable[[], Awaitable[T]]) -> T:
        """Runs `work`; what it raises undoes all that it did, and nothing else of the transaction."""

    @property
    def position(self) -> Position | None:
        """The place of the newest row this transaction has logged; None when it logged nothing."""


class Counted(NamedTuple):
    """What a counter of `Units` says: the units granted and those free after that, the microseconds until its cell ends
    and until more may be free, and the cell's number."""

    granted: int
    free: int
    left: int
    reset: int
    cell: int


class Units(Protocol):
    """Counters in a database that all instances share, each of a window of `cells` of so many microseconds.

    All raise Problem when the database does not answer.
    """

    async def take(self, name: str, quota: int, length: int, cells: int, cost: int, owed: int, used: int) -> Counted:
        """Counts `owed` units in any case, and `cost` more if they are free within `quota`.

        `used` is all that the asker has used, which counts where nothing is known.
        """

    async def give(self, name: str, cell: int, count: int) -> None:
        """Takes back units that were counted in a cell."""

    async def tidy(self) -> None:
        """Forgets what no window holds any more."""


class Store(Protocol):
    """One database. `changes` is where its log is read."""

    @property
    def incarnation(self) -> str:
        """The name of this database's log: positions of another database mean nothing here."""

    @property
    def inline(self) -> bool:
        """Whether `fetch_now` answers at all: the data is in this process."""

    @property
    def changes(self) -> ChangeSource: ...

    @property
    def feed(self) -> Feed:
        """What follows the log in this process. Whoever opened the store starts and stops it."""

    @property
    def one_at_a_time(self) -> bool:
        """Whether works of this process run one after the other; else works of all processes run side by side.

        Either way their results are those of works that ran one after the other.
        """

    async def fetch(self, statement: Statement, values: Mapping[str, Any]) -> Rows:
        """The rows of a reading statement. Raises Problem when it is too costly or the database cannot answer."""

    async def read(
        self, statement: Statement, values: Mapping[str, Any], after: str = "", *, keeps: bool = False
    ) -> Rows:
        """As `fetch`, maybe from a copy of the database, which holds what was written at the position `after`.

        With `keeps` the answer will be kept: it then holds all that this process's copies hold.
        """

    async def copy(self, statement: Statement, values: Mapping[str, Any], after: str = "") -> Rows | None:
        """For when `fetch` and `read` are unavailable: from a copy within the bound of staleness; None without one.

        It holds what was written at the position `after`. The answer is not to be kept.
        """

    def fetch_now(self, statement: Statement, arguments: Row) -> Rows | None:
        """The same, with the parameters in order, where it needs no waiting; None when `fetch` has to be asked."""

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Runs `work` in a transaction and returns its result once that is durable.

        What `work` raises undoes it. It may run again, when others that ran beside it were in its way.
        Raises Problem when the queue is full, the time is over or the disk refuses.
        """

    def insert(self, statement: Statement, arguments: Row, entry: Entry, settle: Settle) -> None:
        """Runs one inserting statement and logs `entry`, in a transaction of their own; tells the entry's place.

        Does what `write` would do with such a work, at less cost. Raises Problem when the queue is full.
        """

    @property
    def change(self) -> Callable[[Statement, Mapping[str, Any]], Awaitable[tuple[Row, Position] | None]] | None:
        """Runs a statement made by `Engine.logged`: the changed row and its place in the log; None when it met none.

        None where the engine makes no such statements.
        """

    @property
    def waiting(self) -> int:
        """Writes that wait for their turn."""

    def copies(self) -> Mapping[str, str]:
        """What is wrong with each copy of the database that reads may use, by its name; empty text when nothing is."""

    def spared(self) -> str:
        """What to tell of the database while nothing can be changed but reads go on; empty text when that is not so."""

    async def ping(self) -> None:
        """Reads a little. Raises when the database does not answer."""

    async def fact(self, name: str, make: Callable[[], str]) -> str:
        """What all processes on this database agree on under a name; kept from `make` by the first that asks."""

    @property
    def units(self) -> Units | None:
        """Counters that instances share; None where there is only one."""

    async def present(self, name: str) -> int:
        """Gives a sign of life of an instance, and tells how many have given one lately, itself among them."""

    async def lead(self, name: str) -> bool:
        """Whether this process is, or now becomes, the one among all that does the work called `name`."""

    async def start(self) -> None:
        """Raises Unready when the database does not answer, or has another schema than the declared one."""

    async def stop(self) -> None:
        """Finishes the writes that were accepted, then closes."""
