"""Every safeguard is one that some test needs: with it switched off, that test fails. See `tests/mutants.py`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.mutants import MUTANTS, SWITCH, Mutant

ROOT = Path(__file__).parents[1]
GUARANTEES = ROOT / "docs" / "explanation" / "guarantees.md"
DEADLINE = 240


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> dict[str, Future[subprocess.CompletedProcess[str]]]:
    """The test of each chosen mutant, run with it; as many at one time as there are cores."""
    items = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    chosen = [item.callspec.params["mutant"] for item in items]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return {mutant.name: pool.submit(run, mutant) for mutant in chosen}


def run(mutant: Mutant) -> subprocess.CompletedProcess[str]:
    """The one test that is to fail."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("RAMET_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=line", mutant.caught_by],
        cwd=ROOT,
        env={**plain, SWITCH: mutant.name, "RAMET_TEST_DATABASE": mutant.engine},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name.replace(" ", "-") for mutant in MUTANTS])
def test_a_safeguard_that_is_switched_off_is_missed(
    mutant: Mutant, runs: dict[str, Future[subprocess.CompletedProcess[str]]]
) -> None:
    done = runs[mutant.name].result()
    assert (done.returncode, "1 failed" in done.stdout, "error" in done.stdout.splitlines()[-1]) == (1, True, False), (
        f"{mutant.name}: {mutant.caught_by} does not need this safeguard:\n{done.stdout[-2_000:]}{done.stderr[-2_000:]}"
    )


def test_the_documented_safeguards_are_those_that_have_a_mutant() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| `([^`]+)` \|$", GUARANTEES.read_text(), re.MULTILINE)
    told = {(safeguard, name, test) for safeguard, name, test in rows}
    assert told == {(one.safeguard, one.name, one.caught_by.partition("::")[0]) for one in MUTANTS}


def test_each_mutant_has_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
