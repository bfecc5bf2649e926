"""A cluster of Redis servers for a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.redis import Cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    found = Cluster()
    try:
        found.start()
        yield found
    finally:
        found.remove()
