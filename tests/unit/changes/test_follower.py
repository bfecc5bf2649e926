"""Following by transactions: none skipped that ends late, none told twice, and no copy used beyond its bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramet.changes.change import Change, Position
from ramet.changes.feed import Recent
from ramet.changes.follower import Follower, Poll
from ramet.changes.snapshot import Snapshot, parse_snapshot
from ramet.observe import Observer

HOUR = 3_600_000_000


class Server:
    """Transactions that begin, log a row each, and end in any order."""

    def __init__(self) -> None:
        self.next = 1
        self.running: set[int] = set()
        self.rows: list[Change] = []
        self.timeline = "00000001"
        self.failing = False
        self.overfull = False
        self.unread = False
        self.trimmed = False
        self.hints = 0
        self.asked: list[int] = []
        self.wake: Callable[[], None] = lambda: None

    def begin(self) -> int:
        self.running.add(self.next)
        self.next += 1
        return self.next - 1

    def commit(self, xid: int) -> list[Change]:
        """A row numbered when its transaction began: not in the order of commits."""
        self.running.discard(xid)
        change = Change(xid, xid * HOUR, "Task", str(xid), "created", 1, None, None, xid)
        self.rows.append(change)
        return [change]

    def snapshot(self) -> Snapshot:
        return Snapshot(min(self.running, default=self.next), self.next, frozenset(self.running))

    async def poll(self, seen: Snapshot | None) -> Poll:
        if self.failing:
            raise OSError("no")
        new = [] if seen is None else [row for row in self.rows if not seen.shows(row.xid)]
        found = None if self.overfull else sorted(new, key=lambda row: row.seq)
        return Poll(self.snapshot(), self.timeline, found, 0)

    async def copied(self, seen: Snapshot, least: int, resources: Sequence[str]) -> Sequence[Change]:
        high = max(seen.high, least)
        self.asked.append(high)
        return [row for row in self.rows if row.resource in resources and (row.xid >= high or row.xid in seen.open)]

    async def recent(self, at: int, resources: Sequence[str]) -> AsyncIterator[Change]:
        for row in self.rows:
            if self.unread and row.at > at:
                raise OSError("no connection")
            if row.at >= at and row.resource in resources:
                yield row

    async def hint(self) -> None:
        self.hints += 1

    def listen(self, wake: Callable[[], None]) -> None:
        self.wake = wake

    def expired(self) -> bool:
        return self.trimmed


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Copy:
    """What a subscriber was given; 0 for a reset."""

    def __init__(self, feed: Follower, recent: Recent | None = None) -> None:
        self.seen: list[int] = []
        feed.subscribe(lambda changes: self.seen.extend(it.xid for it in changes), lambda: self.seen.append(0), recent)


async def following(server: Server) -> tuple[Follower, Copy, Clock]:
    clock = Clock()
    feed = Follower(server, "0a1b2c3d", Observer(), 1.0, clock)
    copy = Copy(feed)
    await feed.start()
    copy.seen.clear()
    return feed, copy, clock


async def test_a_transaction_that_ends_late_is_not_skipped_and_a_long_one_blocks_nothing() -> None:
    server = Server()
    feed, copy, _ = await following(server)
    long, late, early = server.begin(), server.begin(), server.begin()
    server.commit(early)
    await feed.poll()
    assert copy.seen == [early]
    server.commit(late)
    await feed.poll()
    await feed.poll()
    assert copy.seen == [early, late]
    assert feed.seq == long, "the low-water mark is the oldest that runs"
    server.commit(long)
    await feed.poll()
    assert copy.seen == [early, late, long]
    assert feed.seq == server.next


@given(st.lists(st.sampled_from(["begin", "commit", "own", "poll", "abort"]), max_size=60), st.randoms())
def test_whatever_the_order_each_commit_is_told_once(steps: list[str], random: object) -> None:
    async def run() -> None:
        server = Server()
        feed, copy, _ = await following(server)
        committed = []
        for step in steps:
            running = sorted(server.running)
            if step == "begin":
                server.begin()
            elif step == "poll":
                await feed.poll()
            elif running:
                xid = running[random.randrange(len(running))]  # type: ignore[attr-defined]  # it is random.Random
                if step == "abort":
                    server.running.discard(xid)
                    continue
                committed.append(xid)
                rows = server.commit(xid)
                if step == "own":
                    feed.applied(xid, rows)
                    assert feed.reached(str(Position("0a1b2c3d", xid)))
        await feed.poll()
        assert sorted(copy.seen) == sorted(committed)
        assert all(feed.reached(str(Position("0a1b2c3d", xid))) for xid in committed)
        assert not any(feed.reached(str(Position("0a1b2c3d", xid))) for xid in server.running)

    asyncio.run(run())


async def test_copies_are_used_for_no_longer_than_the_bound_after_a_look_began() -> None:
    server = Server()
    feed, _, clock = await following(server)
    assert feed.sync()
    clock.now += 0.999
    assert feed.sync()
    clock.now += 0.001
    assert not feed.sync()
    server.failing = True
    with pytest.raises(OSError):
        await feed.poll()
    assert not feed.sync()
    server.failing = False
    await feed.poll()
    assert feed.sync()


async def test_doubt_ends_with_a_look_that_began_after_it() -> None:
    server = Server()
    feed, _, _ = await following(server)
    looks = server.poll

    async def doubted_meanwhile(seen: Snapshot | None) -> Poll:
        feed.doubt()
        return await looks(seen)

    server.poll = doubted_meanwhile  # type: ignore[method-assign]  # for one look
    await feed.poll()
    assert not feed.sync()
    server.poll = looks  # type: ignore[method-assign]  # as it was
    await feed.poll()
    assert feed.sync()


@pytest.mark.parametrize("missed", ["timeline", "overfull", "trimmed"])
async def test_every_copy_is_made_anew_when_rows_may_have_been_missed(missed: str) -> None:
    server = Server()
    feed, copy, _ = await following(server)
    since = [5 * HOUR]
    anew = Copy(feed, Recent(lambda: since[0], ["Task"]))
    for _ in range(7):
        server.commit(server.begin())
    setattr(server, missed, "00000002" if missed == "timeline" else True)
    await feed.poll()
    assert copy.seen == [0]
    assert anew.seen == [0, 5, 6, 7]
    assert feed.sync()
    server.overfull = server.trimmed = False
    server.commit(server.begin())
    await feed.poll()
    assert copy.seen == [0, 8]


@pytest.mark.parametrize("missed", ["timeline", "overfull", "trimmed"])
async def test_what_a_beginning_could_not_read_is_due_until_it_is_read(missed: str) -> None:
    server = Server()
    feed, copy, _ = await following(server)
    anew = Copy(feed, Recent(lambda: 5 * HOUR, ["Task"]))
    for _ in range(7):
        server.commit(server.begin())
    setattr(server, missed, "00000002" if missed == "timeline" else True)
    server.unread = True
    with pytest.raises(OSError, match="no connection"):
        await feed.poll()
    assert not feed.sync()
    server.overfull = server.trimmed = False
    server.commit(server.begin())
    with pytest.raises(OSError, match="no connection"):
        await feed.poll()
    assert not feed.sync()
    assert (anew.seen, copy.seen) == ([0, 5, 8, 5], [0, 8]), "subscribers are told of a gap once, and go on"
    server.unread = False
    await feed.poll()
    assert feed.sync()
    assert (anew.seen[4:], copy.seen) == ([5, 6, 7, 8], [0, 8])
    await feed.poll()
    assert len(anew.seen) == 8


async def test_a_doubt_while_a_beginning_reads_holds_until_the_next_look() -> None:
    server = Server()
    feed, _, _ = await following(server)
    Copy(feed, Recent(lambda: (feed.doubt(), 0)[1], ["Task"]))
    server.timeline = "00000002"
    await feed.poll()
    assert not feed.sync()
    await feed.poll()
    assert feed.sync()


async def test_confirmed_subscribers_are_given_what_the_log_tells_each_once_own_changes_too() -> None:
    server = Server()
    feed, copy, _ = await following(server)
    told: list[tuple[int, str]] = []

    def apply(changes: Sequence[Change]) -> None:
        told.extend((change.xid, feed.place.mark(change.seq)) for change in changes)

    feed.subscribe(apply, confirmed=True)
    before = feed.mark
    other, own = server.begin(), server.begin()
    feed.applied(own, server.commit(own))
    assert (copy.seen, told) == ([own], []), "its own change waits for those that ended before it"
    server.commit(other)
    await feed.catch_up()
    await feed.catch_up()
    assert copy.seen == [own, other]
    assert [xid for xid, _ in told] == [other, own]
    assert len({before, feed.mark, *(mark for _, mark in told)}) == 4


async def test_a_hint_makes_a_look_come_at_once_and_own_commits_hint_others() -> None:
    server = Server()
    feed, copy, _ = await following(server)
    feed.follow(3_600.0)
    server.commit(server.begin())
    server.wake()
    await until(lambda: copy.seen == [1])
    assert server.hints == 0
    xid = server.begin()
    feed.applied(xid, server.commit(xid))
    assert copy.seen == [1, 2]
    await until(lambda: server.hints == 1)
    await feed.stop()


async def test_without_any_hint_a_look_comes_after_the_interval() -> None:
    """Whoever should have hinted may have been killed, or the hint may have been lost."""
    server = Server()
    feed, copy, _ = await following(server)
    feed.follow(0.001)
    server.commit(server.begin())
    await until(lambda: copy.seen == [1])
    await feed.stop()


async def test_a_log_that_cannot_be_read_is_tried_again_and_told_of_once() -> None:
    server = Server()
    feed, copy, _ = await following(server)
    told: list[object] = []
    feed._observer.emit = told.append  # type: ignore[method-assign,assignment]  # what is told
    server.failing = True
    feed.follow(0.001)
    await until(lambda: len(told) == 1)
    server.failing = False
    server.commit(server.begin())
    await until(lambda: copy.seen == [1])
    await feed.stop()
    assert len(told) == 1


def test_snapshots_read_back_as_written() -> None:
    for text in ("1:1:", "5:9:5,7", "18446744073709551614:18446744073709551615:18446744073709551614"):
        assert str(parse_snapshot(text)) == text
    seen = parse_snapshot("5:9:5,7")
    assert [xid for xid in range(1, 12) if seen.shows(xid)] == [1, 2, 3, 4, 6, 8]


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1_000_000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("It did not happen.")


async def test_while_the_log_cannot_be_read_who_may_not_come_in_is_learned_from_a_copy() -> None:
    server = Server()
    clock = Clock()
    feed = Follower(server, "0a1b2c3d", Observer(), 1.0, clock)
    plain, learning = Copy(feed), Copy(feed, Recent(lambda: 0, ["Task"]))
    await feed.start()
    server.commit(late := server.begin())
    await feed.poll()
    assert (plain.seen, learning.seen) == ([0, late], [0, late])
    plain.seen.clear()
    learning.seen.clear()
    server.failing = True

    async def rounds(count: int) -> None:
        before, task = len(server.asked), asyncio.create_task(feed.keep_up(0.001))
        for _ in range(5_000):
            if len(server.asked) >= before + count:
                break
            await asyncio.sleep(0.001)  # waits: for the follower's next rounds
        task.cancel()
        await asyncio.wait([task])
        assert (len(server.asked) >= before + count) == (count > 0)

    task = asyncio.create_task(feed.keep_up(0.001))
    await asyncio.sleep(0.02)  # waits: for some rounds in which there is nothing to do
    task.cancel()
    await asyncio.wait([task])
    assert server.asked == [], "the log was read within the bound"
    clock.now += 1.5
    server.commit(new := server.begin())
    await rounds(2)
    assert set(learning.seen) == {new}
    assert plain.seen == []
    assert not feed.sync(), "copies of data are not used all the same"
    server.next += 20_000
    server.commit(newest := server.begin())
    await rounds(2)
    assert newest in learning.seen
    assert server.asked[-1] == newest - 10_000, "not all is asked for again, for ever"
