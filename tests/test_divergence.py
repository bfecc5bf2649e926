"""Every difference that is allowed between the databases: the same scenarios hold on each, but for what is said here.

`RAMET_TEST_DATABASE=postgresql` runs the scenarios on PostgreSQL. What cannot hold there is left out with its reason.
"""

from __future__ import annotations

import ast
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from ramet.app import App
from ramet.changes.follower import Follower
from tests import databases
from tests.databases import CHOSEN

ROOT = Path(__file__).parent.parent

CREATION = ["INSERT", "INSERT"] if CHOSEN == "sqlite" else ["WITH"]
"""The statements of a simple creation: a database server is asked once for the record and its row of the log."""
UPDATE = ["UPDATE", "INSERT"] if CHOSEN == "sqlite" else ["WITH"]
"""Those of a simple update."""

ONLY_EMBEDDED: Mapping[str, str] = {
    "tests/scenarios/test_identity_processes.py::test_the_log_is_read_from_a_moment_on_without_an_index_on_time": (
        "a database server has a small index on time"
    ),
    "tests/scenarios/test_realtime_log.py::test_a_place_without_a_row_is_one_reload": (
        "rows of a server are not numbered without gaps"
    ),
    "tests/scenarios/test_attacks.py::test_nobody_else_on_the_machine_reads_the_database": "a server has no file here",
}
"""Scenarios that are about the embedded database itself."""


async def caught_up(*apps: App) -> None:
    """Lets instances learn what others have committed: on a database server they do within a follow interval.

    An embedded database tells every process before it answers; there is nothing to wait for.
    """
    for app in apps:
        if isinstance(app.feed, Follower):
            await app.feed.poll()


async def missed(app: App) -> None:
    """Rows of the log were trimmed before this process read them."""
    feed: Any = app.feed
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


def left_out(node: str) -> bool:
    """Whether a test, by the name pytest gives it, is not for the chosen database."""
    return CHOSEN != "sqlite" and node.partition("[")[0] in ONLY_EMBEDDED


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
    for name, reason in ONLY_EMBEDDED.items():
        path, _, function = name.partition("::")
        names = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if hasattr(node, "name")}
        assert function in names, name
        assert len(reason.split()) > 2, name
