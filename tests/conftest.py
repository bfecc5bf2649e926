"""What every test shares: the scale of counts and hypothesis without wall-time limits."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from typing import Protocol

import hypothesis
import pytest

from tests import instances, mutants
from tests.redis import Server
from tests.test_divergence import NEEDED, alone, left_out

hypothesis.settings.register_profile("ramet", deadline=None, print_blob=True)
hypothesis.settings.load_profile("ramet")


class Scale(Protocol):
    """Chooses a count: `short` in `make test`, `full` in `make soak`."""

    def __call__(self, *, short: int, full: int) -> int: ...


def pytest_configure() -> None:
    """Switches a safeguard off, where a test of the tests says so."""
    mutants.switch_off()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the long tests with their full counts")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is not for the chosen database or topology; `tests/test_divergence.py` says what and why."""
    out = [item for item in items if left_out(item.nodeid) or (NEEDED and not alone(item.nodeid))]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where exceptions are tried, those fail that pass without."""
    report = yield
    if NEEDED and report.when == "call":
        report.outcome = "failed" if report.passed else "passed"
    return report


@pytest.fixture(autouse=True)
def several(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives a scenario one instance where `tests/test_divergence.py` says so."""
    if instances.TOPOLOGY and alone(request.node.nodeid) and not NEEDED:
        monkeypatch.setattr(instances, "count", 1)


@pytest.fixture(autouse=True, scope="module")
def collected() -> Iterator[None]:
    """What a module has left open is its own failure, not that of whichever test runs at the next collection.

    What remains is looked at no more: going through everything that thousands of tests have imported and kept would
    hold up the event loop of a test for seconds.
    """
    yield
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Shows what the long tests counted: what their documentation quotes."""
    if config.getoption("--soak"):
        for report in terminalreporter.getreports("passed"):
            for name, value in report.user_properties:
                terminalreporter.write_line(f"{report.nodeid}: {name} {value}")


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    """A Redis of the module's own."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def scale(request: pytest.FixtureRequest) -> Scale:
    soak = bool(request.config.getoption("--soak"))

    def choose(*, short: int, full: int) -> int:
        return full if soak else short

    return choose
