"""The name of a primary's history: who has seen what is not there any more finds out by it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ramet.data.engines import engine_part
from tests.postgres import Server

NAMED = f"SELECT {engine_part('postgresql://h/d', 'connection').TIMELINE}"


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    try:
        found.create()
        found.start()
        yield found
    finally:
        found.remove()


def test_it_is_the_same_after_a_restart_and_another_after_a_crash(server: Server) -> None:
    """A crash forgets transactions that came to nothing, and gives their numbers to others."""
    first = server.sql(NAMED)
    assert len(first) == 8
    assert int(first, 16)
    server.stop()
    server.start()
    assert server.sql(NAMED) == first
    server.stop("immediate")
    server.start()
    assert server.sql(NAMED) != first
