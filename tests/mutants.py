"""Mutants: each switches one safeguard of the log, of positions or of caches off, and one test must then fail.

`RAMET_TEST_MUTANT` names the one that a run of tests lives with; see `tests/test_mutants.py`, and for the table
`docs/explanation/guarantees.md`. What is patched are seams of the product; nothing of this ships.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any, NamedTuple

SWITCH = "RAMET_TEST_MUTANT"


class Mutant(NamedTuple):
    """`target` is MODULE:NAME or MODULE:CLASS.NAME; `make` gives what takes its place, from what stood there.

    `caught_by` is the test that fails, on the `engine` that it is to be run on.
    """

    name: str
    safeguard: str
    target: str
    make: Callable[[Any], Any]
    caught_by: str
    engine: str = "sqlite"


def _highest_alone(_: Any) -> Any:
    return lambda seen: (str(seen.high), [])


def _told_again(take: Any) -> Any:
    def stays(self: Any, found: Any) -> None:
        before = self._snapshot
        take(self, found)
        self._snapshot = before if before.high else self._snapshot

    return stays


def _deaf(keep_up: Any) -> Any:
    async def hinted(self: Any, interval: float) -> None:
        await keep_up(self, 3_600.0)

    return hinted


def _not_applied(_: Any) -> Any:
    def later(self: Any, xid: int, changes: Any) -> None:
        self._hint = True
        self._wake.set()

    return later


def _as_if_nothing(_: Any) -> Any:
    async def goes_on(self: Any, began: float, found: Any) -> None:
        self._take(found)
        self._timeline = found.timeline
        self._until = began + self._staleness

    return goes_on


def _unguarded(guarded: Any) -> Any:
    def always(sql: str, count: int) -> str:
        row = f"EXISTS (SELECT 1 FROM ramet_changes WHERE xid = ${count + 1}::text::xid8)"
        return str(guarded(sql, count)).replace(row, f"(${count + 1}::text IS NOT NULL)")

    return always


def _however_late(choose: Any) -> Any:
    return lambda self, *, keeps: choose(self, keeps=keeps) if keeps else next(iter(self.all), None)


def _keeping_anything(choose: Any) -> Any:
    return lambda self, *, keeps: choose(self, keeps=False)


def _always(value: object) -> Callable[[Any], Any]:
    return lambda _: lambda *given, **named: value


def _noted_late(put: Any) -> Any:
    def put_now(self: Any, key: Any, entry: Any) -> Any:
        entry.filled_at = self.counter
        return put(self, key, entry)

    return put_now


def _no_floor(apply: Any) -> Any:
    def forgets(self: Any, changes: Any) -> None:
        apply(self, changes)
        self._floor = 0

    return forgets


class _Alone(dict[Any, Any]):
    def get(self, key: Any, default: Any = None) -> Any:
        return default


def _no_flights(init: Any) -> Any:
    def made(self: Any, core: Any) -> None:
        init(self, core)
        self._loads = _Alone()

    return made


def _any_history(holds: Any) -> Any:
    return lambda self, stamp, tags: holds(self, self._follower.stamp._replace(snapshot=stamp.snapshot), tags)


def _unsigned(_: Any) -> Any:
    return lambda self, name, value: bytes(16)


_FOLLOWER = "ramet.changes.follower:Follower"
_FOLLOWING = "tests/unit/changes/test_follower.py::test_"
_REPLICAS = "ramet.data.postgres.replicas:"
_COPIES = "tests/process/test_replicas.py::test_"
_NEAR, _SHARED = "ramet.cache.near:NearCache", "ramet.cache.shared:SharedCache"
_JUDGED = "tests/unit/cache/test_shared.py::test_"
MUTANTS = (
    Mutant(
        "the highest transaction seen stands for all",
        "a follower remembers which transactions were open, not how far it has come",
        "ramet.data.postgres.log:_beyond",
        _highest_alone,
        "tests/contracts/test_store.py::test_a_row_of_a_transaction_that_ends_late_is_told_to_whoever_had_gone_on",
    ),
    Mutant(
        "what was applied is asked for again",
        "each row of the log is applied once",
        f"{_FOLLOWER}._take",
        _told_again,
        f"{_FOLLOWING}confirmed_subscribers_are_given_what_the_log_tells_each_once_own_changes_too",
    ),
    Mutant(
        "only hints wake a follower",
        "the log is looked at every `follow_interval`, hint or no hint",
        f"{_FOLLOWER}.keep_up",
        _deaf,
        f"{_FOLLOWING}without_any_hint_a_look_comes_after_the_interval",
    ),
    Mutant(
        "copies are used however long ago the log was looked at",
        "without a look within `max_staleness` no copy answers",
        f"{_FOLLOWER}.sync",
        _always(True),
        f"{_FOLLOWING}copies_are_used_for_no_longer_than_the_bound_after_a_look_began",
    ),
    Mutant(
        "own changes wait for the follower",
        "the instance that wrote applies its own change before it answers",
        f"{_FOLLOWER}.applied",
        _not_applied,
        f"{_FOLLOWING}a_hint_makes_a_look_come_at_once_and_own_commits_hint_others",
    ),
    Mutant(
        "another timeline is as good",
        "a fail-over, and rows that may have been missed, empty every copy",
        f"{_FOLLOWER}._begin",
        _as_if_nothing,
        f"{_FOLLOWING}every_copy_is_made_anew_when_rows_may_have_been_missed",
    ),
    Mutant(
        "every position is held",
        "a caller with a position is answered from a copy only if that has come to it",
        f"{_FOLLOWER}.holds",
        _always(True),
        "tests/scenarios/test_positions.py::test_a_read_with_the_position_of_a_write_sees_it_on_any_instance",
        "postgresql",
    ),
    Mutant(
        "a replica is not asked how far it is",
        "a read from a replica carries the question for its position in the same statement",
        f"{_REPLICAS}guarded",
        _unguarded,
        f"{_COPIES}while_replay_stands_still_no_caller_with_a_position_reads_what_is_old",
    ),
    Mutant(
        "a replica is read however late it is",
        "a replica that lags more than `max_staleness` is left out",
        f"{_REPLICAS}Replicas.choose",
        _however_late,
        f"{_COPIES}without_a_position_healthy_replicas_answer_and_lagging_ones_are_left_out",
    ),
    Mutant(
        "what a late replica says is kept",
        "an answer is kept only from a replica that holds what this process's copies hold",
        f"{_REPLICAS}Replicas.choose",
        _keeping_anything,
        f"{_COPIES}an_answer_is_kept_only_from_a_replica_that_holds_what_copies_hold",
    ),
    Mutant(
        "commits of other processes are not noticed",
        "on one file the WAL index is compared before anything kept is given",
        "ramet.data.sqlite.wal_index:WalIndex.moved",
        _always(False),
        "tests/scenarios/test_cache.py::test_a_write_in_one_process_is_never_followed_by_a_stale_read_in_another",
    ),
    Mutant(
        "revocations stay where they were made",
        "sessions that end and rights that change reach every process through the log",
        "ramet.identity.following:Revocations.apply",
        _always(None),
        "tests/scenarios/test_identity_processes.py::test_what_one_process_ends_the_other_refuses_at_once",
    ),
    Mutant(
        "nothing touches an answer",
        "a fill that a change has overtaken is refused, and an answer that one has touched not given",
        f"{_NEAR}.touched",
        _always(False),
        "tests/unit/cache/test_near.py::test_a_fill_that_a_change_overtook_is_refused",
    ),
    Mutant(
        "a fill counts from its end",
        "a fill notes the generations before it reads",
        f"{_NEAR}.put",
        _noted_late,
        "tests/scenarios/test_cache.py::test_a_load_that_a_change_overtook_is_neither_joined_nor_kept",
    ),
    Mutant(
        "forgotten generations count as old",
        "to forget a generation makes every answer from before it void",
        f"{_NEAR}.apply",
        _no_floor,
        "tests/unit/cache/test_near.py::test_forgotten_generations_raise_the_floor_so_that_nothing_old_is_believed",
    ),
    Mutant(
        "every load runs",
        "of equal loads at one time one runs",
        "ramet.operations.reading:Reading.__init__",
        _no_flights,
        "tests/scenarios/test_cache.py::test_equal_loads_at_one_time_are_one_and_one_that_was_given_up_takes_nobody_along",
    ),
    Mutant(
        "every stamp will do",
        "an answer of the shared cache is judged by what this process's follower was told of its tags",
        f"{_SHARED}.holds",
        _always(True),
        f"{_JUDGED}an_answer_is_given_until_something_touches_its_tags",
    ),
    Mutant(
        "a stamp is good on any history",
        "a stamp names the timeline, the database and the run of its server",
        f"{_SHARED}.holds",
        _any_history,
        f"{_JUDGED}after_missed_rows_and_on_another_timeline_nothing_from_before_is_given",
    ),
    Mutant(
        "anybody may sign",
        "what others have put into Redis is not given",
        f"{_SHARED}._sign",
        _unsigned,
        f"{_JUDGED}nothing_that_others_have_put_there_is_given",
    ),
)
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}


def switch_off() -> None:
    """Patches this process as the environment says, for good."""
    name = os.environ.get(SWITCH)
    if name is not None:
        mutant = BY_NAME[name]
        module, _, path = mutant.target.partition(":")
        *owners, attribute = path.split(".")
        place: Any = importlib.import_module(module)
        for owner in owners:
            place = getattr(place, owner)
        setattr(place, attribute, mutant.make(getattr(place, attribute)))
