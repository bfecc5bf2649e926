"""The follower: every change once and in order to each copy, a gap makes copies anew, and doubt is said."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from ramet.changes.change import Change, Position, parse_position
from ramet.changes.ordered import BATCH, OrderedFeed


class Log:
    """A log in memory that can be trimmed and can fail."""

    def __init__(self) -> None:
        self.rows: list[Change] = []
        self.newest = 0
        self.failing = False
        self.late = 0  # changes that are committed after a look, before the next
        self._seen = 0
        self.looks = 0

    def add(self, count: int = 1) -> None:
        for _ in range(count):
            self.newest += 1
            self.rows.append(Change(self.newest, 0, "Task", str(self.newest), "created", 1, None, None))

    def trim(self, to: int) -> None:
        self.rows = [row for row in self.rows if row.seq > to]

    def moved(self) -> bool:
        self.looks += 1
        if self.failing:
            raise OSError("no")
        moved = self._seen != self.newest
        self._seen = self.newest
        return moved or self.late > 0

    def after(self, seq: int, limit: int) -> Sequence[Change]:
        if self.failing:
            raise OSError("no")
        return [row for row in self.rows if row.seq > seq][:limit]

    def head(self) -> int:
        self.add(self.late)
        self.late = 0
        return self.newest

    def mark(self, seq: int) -> str:
        return str(seq)

    def since(self, at: int, resources: Sequence[str]) -> Iterator[Change]:
        return iter(())


class Copy:
    """A follower: what it was given, with 0 for a reset."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def apply(self, changes: Sequence[Change]) -> None:
        self.seen += [change.seq for change in changes]

    def reset(self) -> None:
        self.seen.append(0)


async def following(log: Log) -> tuple[OrderedFeed, Copy, Copy]:
    feed = OrderedFeed(log)
    await feed.start()
    one, two = Copy(), Copy()
    feed.subscribe(one.apply, one.reset)
    feed.subscribe(two.apply, two.reset)
    return feed, one, two


async def test_every_follower_gets_each_change_once_in_order_and_nothing_from_before_the_start() -> None:
    log = Log()
    log.add(3)
    feed, one, two = await following(log)
    assert feed.sync()
    log.add(2)
    assert feed.sync()
    assert feed.sync()
    assert one.seen == two.seen == [4, 5]
    assert feed.seq == 5


async def test_many_changes_come_in_batches_without_loss() -> None:
    log = Log()
    feed, one, _ = await following(log)
    log.add(2 * BATCH + 1)
    assert feed.sync()
    assert one.seen == list(range(1, 2 * BATCH + 2))
    log.add(BATCH)
    assert feed.sync()
    assert one.seen[-1] == 3 * BATCH + 1
    assert 0 not in one.seen


async def test_a_gap_makes_every_copy_anew_and_then_goes_on() -> None:
    log = Log()
    feed, one, two = await following(log)
    log.add(5)
    log.trim(2)
    assert feed.sync()
    assert one.seen == two.seen == [0, 3, 4, 5]
    log.add()
    assert feed.sync()
    assert one.seen == [0, 3, 4, 5, 6]


async def test_a_log_that_was_trimmed_to_nothing_is_a_gap_too() -> None:
    log = Log()
    feed, one, _ = await following(log)
    log.add(5)
    log.trim(5)
    assert feed.sync()
    assert one.seen == [0]
    assert feed.seq == 5
    log.add()
    assert feed.sync()
    assert one.seen == [0, 6]


async def test_what_is_committed_between_two_looks_is_no_gap() -> None:
    log = Log()
    feed, one, _ = await following(log)
    log.late = 2
    assert feed.sync()
    assert one.seen == [1, 2]
    assert feed.sync()
    assert one.seen == [1, 2]


async def test_while_the_log_cannot_be_read_copies_are_not_to_be_used_and_nothing_is_lost() -> None:
    log = Log()
    feed, one, _ = await following(log)
    log.add()
    log.failing = True
    assert not feed.sync()
    assert not feed.sync()
    assert one.seen == []
    log.failing = False
    assert feed.sync()
    assert one.seen == [1]


async def test_a_failure_after_the_log_was_seen_to_move_is_not_forgotten() -> None:
    log = Log()
    feed, one, _ = await following(log)
    log.add(2)
    broken = log.after
    log.after = lambda seq, limit: (_ for _ in ()).throw(OSError("no"))
    assert not feed.sync()
    log.after = broken
    assert feed.sync()
    assert one.seen == [1, 2]


async def test_following_looks_by_itself_until_it_is_stopped() -> None:
    log = Log()
    feed, one, _ = await following(log)
    arrived = asyncio.Event()
    feed.subscribe(lambda changes: arrived.set())
    feed.follow(0.001)
    log.add()
    async with asyncio.timeout(10):
        await arrived.wait()
    await feed.stop()
    assert one.seen == [1]
    looks = log.looks
    await asyncio.sleep(0)
    assert log.looks == looks
    await feed.stop()


def test_positions_read_back_as_written_and_nothing_else_is_one() -> None:
    position = Position("0a1b2c3d", 42)
    assert parse_position(str(position)) == position
    for text in ("", "0a1b2c3d", "0a1b2c3d-", "0a1b2c3d-x", "0A1B2C3D-1", "0a1b2c3d-1-2", "0a1b2c3d-" + "9" * 19, "-1"):
        assert parse_position(text) is None


async def test_own_changes_are_applied_without_reading_unless_others_came_in_between() -> None:
    log, copy = Log(), Copy()
    feed = OrderedFeed(log)
    await feed.start()
    feed.subscribe(copy.apply, copy.reset)
    log.add(2)
    log.failing = True  # nothing can be read: what is applied is what was given
    feed.committed(log.rows)
    assert copy.seen == [1, 2]
    log.failing = False
    assert feed.sync()
    assert copy.seen == [1, 2]
    log.add(2)
    feed.committed(log.rows[3:])  # the third row is another process's
    assert copy.seen == [1, 2, 3, 4]
    feed.committed(())
    assert copy.seen == [1, 2, 3, 4]
    assert feed.seq == 4
