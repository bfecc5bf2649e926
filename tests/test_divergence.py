"""Every difference that is allowed between databases and topologies: the same scenarios hold but for what is said here.

`RAMET_TEST_DATABASE=postgresql` runs the scenarios on PostgreSQL. `RAMET_TEST_TOPOLOGY` runs them on several instances
behind nginx: `instances`, with a replica and Redis; `pgbouncer`, the same behind PgBouncer; and `without-redis`. What
cannot hold there is left out with its reason, or has one instance. With `RAMET_TEST_NEEDED=1` those that have one get
all: each must fail then, or it needs no exception.
"""

from __future__ import annotations

import ast
import os
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn

from ramet.app import App
from ramet.changes.follower import Follower
from tests import databases, instances
from tests.databases import CHOSEN, TOPOLOGY, WITHOUT_REDIS

ROOT = Path(__file__).parent.parent
SCENARIOS = "tests/scenarios/"
NEEDED = bool(os.environ.get("RAMET_TEST_NEEDED"))
"""Whether the exceptions of `OF_ONE_INSTANCE` are tried."""

CREATION = ["INSERT", "INSERT"] if CHOSEN == "sqlite" else ["WITH"]
"""The statements of a simple creation: a database server is asked once for the record and its row of the log."""
UPDATE = ["UPDATE", "INSERT"] if CHOSEN == "sqlite" else ["WITH"]
"""Those of a simple update."""

ONLY_EMBEDDED: Mapping[str, str] = {
    "test_identity_processes.py::test_the_log_is_read_from_a_moment_on_without_an_index_on_time": (
        "a database server has a small index on time"
    ),
    "test_realtime_log.py::test_a_place_without_a_row_is_one_reload": (
        "rows of a server are not numbered without gaps"
    ),
    "test_attacks.py::test_nobody_else_on_the_machine_reads_the_database": "a server has no file here",
}
"""Scenarios that are about the embedded database itself."""

OF_ONE_INSTANCE: Mapping[str, str] = {
    "test_attacks.py::test_what_cannot_be_understood_counts_against_the_limit_too": (
        "what is refused before it could wait counts against an instance's own share"
    ),
    "test_cache.py::test_a_list_is_kept_until_a_change_that_concerns_it": ("it sees what one instance keeps"),
    "test_cache.py::test_everybody_shares_what_is_the_same_for_everybody": ("it sees what one instance keeps"),
    "test_cache.py::test_a_load_that_a_change_overtook_is_neither_joined_nor_kept": (
        "it holds up the reads of one instance"
    ),
    "test_cache.py::test_while_the_log_cannot_be_read_nothing_kept_is_served": ("it sees what one instance keeps"),
    "test_identity_accounts.py::test_registering_a_taken_address_looks_and_costs_the_same_and_changes_nothing": (
        "it counts what one instance does"
    ),
    "test_identity_accounts.py::test_a_refused_sign_in_looks_and_costs_the_same_whatever_the_reason": (
        "it counts what one instance does"
    ),
    "test_positions.py::test_a_read_with_the_position_of_a_write_sees_it_on_any_instance": (
        "it looks into the one that was asked"
    ),
    "test_realtime.py::test_a_stream_that_is_refused_takes_no_place": (
        "places for streams are counted in each instance"
    ),
    "test_realtime.py::test_places_are_bounded_for_an_address_and_for_the_process": (
        "places for streams are counted in each instance"
    ),
    "test_realtime.py::test_the_database_is_asked_once_for_all_callers": (
        "each instance asks the database for its own subscribers"
    ),
}
"""Scenarios that look at what one instance keeps, counts or holds. With several they run with one of them."""

OF_ONE_BY_CHANCE: Mapping[str, str] = {
    "test_cache.py::test_coded_forms_are_kept_beside_the_answer": "it sees what one instance keeps",
    "test_positions.py::test_a_position_that_nobody_gave_out_is_answered_from_the_database": (
        "it sees what one instance keeps"
    ),
    "test_positions.py::test_a_browser_carries_the_position_of_its_last_change_as_a_cookie": (
        "it looks into the one that was asked"
    ),
    "test_realtime.py::test_those_who_see_the_same_share_a_view": (
        "each has views of its own, and marks an event by what it had seen before"
    ),
}
"""The same, where it takes chance who answers for several to be told from one: whether they are needed is not tried."""

OF_ONE_SHARE: Mapping[str, str] = {
    "test_identity_accounts.py::test_guesses_at_one_account_are_bounded_whether_it_exists": (
        "so few units are no three shares"
    ),
    "test_identity_accounts.py::test_sign_ins_from_one_address_are_bounded": "so few units are no three shares",
}
"""The same where there is no Redis, and limits are divided among instances."""

ONLY_IN_PROCESS: Mapping[str, str] = {
    "test_cache.py::test_equal_loads_at_one_time_are_one_and_one_that_was_given_up_takes_nobody_along": (
        "a server notices only when it answers that a client has gone"
    ),
    "test_bad_input_requests.py::test_addresses_and_headers_that_are_too_long": (
        "the server below the application answers these itself, without a document"
    ),
    "test_rest_changes.py::test_refusals_tell_of_limits_and_of_time_and_a_stale_cookie_counts_once": (
        "what is refused before it could wait is counted elsewhere a moment later"
    ),
}
"""Scenarios that several instances cannot hold, nor one behind sockets and Redis."""

OF_NGINX = {"TRACE", "/metrics"} if TOPOLOGY else set[str]()
"""A method and an address that nginx answers itself."""


async def caught_up(*apps: App) -> None:
    """Lets instances learn what others have committed: on a database server they do within a follow interval.

    An embedded database tells every process before it answers; there is nothing to wait for.
    """
    for one in [one for app in apps for one in instances.each(app)]:
        if isinstance(one.feed, Follower):
            await one.feed.poll()
    for app in apps:
        await instances.replayed(app)


async def missed(app: App) -> None:
    """Rows of the log were trimmed before an application read them."""
    for one in instances.each(app):
        await _missed(one.feed)


async def _missed(feed: Any) -> None:
    if not isinstance(feed, Follower):
        feed._restart(feed.seq)
        return
    log, told = feed._log, feed._log.expired
    log.expired = lambda: True
    await feed.poll()
    log.expired = told


@contextmanager
def unreadable_log(app: App) -> Iterator[None]:
    """The log cannot be read, for longer than an instance may answer from its caches without having read it."""
    with ExitStack() as stack:
        for one in instances.each(app):
            stack.enter_context(_unreadable_log(one))
        yield


@contextmanager
def _unreadable_log(app: App) -> Iterator[None]:
    source: Any = app.store.changes
    name = "moved" if CHOSEN == "sqlite" else "poll"
    works = getattr(source, name)

    def fails(*_: object) -> NoReturn:
        raise OSError("no")

    setattr(source, name, fails)
    if isinstance(app.feed, Follower):
        app.feed.doubt()
    try:
        yield
    finally:
        setattr(source, name, works)


SAME_FOLDED = {"i": {"i", "\N{LATIN SMALL LETTER DOTLESS I}"}}
"""Letters that filters tell apart in an embedded database and not on a server."""


def alone(node: str) -> bool:
    """Whether a test, by the name pytest gives it, is about one instance."""
    name = _named(node)
    if name in OF_ONE_BY_CHANCE:
        return not NEEDED
    return name in OF_ONE_INSTANCE or (TOPOLOGY == WITHOUT_REDIS and name in OF_ONE_SHARE)


def left_out(node: str) -> bool:
    """Whether a test, by the name pytest gives it, is not for the chosen database."""
    name = _named(node)
    return (CHOSEN != "sqlite" and name in ONLY_EMBEDDED) or (bool(TOPOLOGY) and name in ONLY_IN_PROCESS)


def _named(node: str) -> str:
    return node.partition("[")[0].removeprefix(SCENARIOS)


def test_filters_that_ignore_case_ignore_the_same_on_each_database() -> None:
    url = databases.fresh("folding", App(resources=[]))
    name = url.rpartition("/")[2]
    lines = databases.server().sql(
        "SELECT i || ' ' || encode(convert_to(ramet_fold(chr(i)), 'UTF8'), 'hex')"
        " FROM generate_series(1, 65535) AS i WHERE i NOT BETWEEN 55296 AND 57343",
        name,
    )
    merged: dict[str, set[str]] = {}
    split: dict[str, set[str]] = {}
    for line in lines.splitlines():
        number, _, content = line.partition(" ")
        if unicodedata.category(letter := chr(int(number))) != "Cn":
            there, here = bytes.fromhex(content).decode(), letter.casefold()
            merged.setdefault(there, set()).add(here)
            split.setdefault(here, set()).add(there)
    assert {text: folded for text, folded in merged.items() if len(folded) > 1} == SAME_FOLDED
    assert [text for text, folded in split.items() if len(folded) > 1] == []


def test_every_test_that_is_left_out_exists_and_says_why() -> None:
    for name, reason in {
        **ONLY_EMBEDDED,
        **OF_ONE_INSTANCE,
        **OF_ONE_BY_CHANCE,
        **OF_ONE_SHARE,
        **ONLY_IN_PROCESS,
    }.items():
        path, _, function = name.partition("::")
        names = {
            node.name for node in ast.walk(ast.parse((ROOT / SCENARIOS / path).read_text())) if hasattr(node, "name")
        }
        assert function in names, name
        assert len(reason.split()) > 2, name
