"""What `from ramet import ...` gives, and that asking for it takes in no more than it needs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ramet

STUB = Path(ramet.__file__).with_suffix(".pyi")
HEAVY = {"alembic", "granian", "pydantic", "ramet.app", "sqlalchemy", "typer"}


def test_type_checkers_and_python_see_the_same_names_from_the_same_places() -> None:
    stub = {
        name.asname: node.module
        for node in ast.parse(STUB.read_text()).body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert set(stub) == set(ramet.__all__)
    for name, module in stub.items():
        assert getattr(ramet, name) is getattr(sys.modules[str(module)], str(name))


def test_what_is_not_public_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Engine'"):
        _ = ramet.Engine  # type: ignore[attr-defined]  # what the test is about
    assert "Engine" not in dir(ramet)
    assert {"App", "Resource"} <= set(dir(ramet))


@pytest.mark.parametrize(
    ("module", "free_of"),
    [
        ("ramet", HEAVY),
        ("ramet.cli.main", HEAVY - {"typer", "pydantic"}),
        ("ramet.cli.process", HEAVY),
        ("ramet.topology.single.supervisor", HEAVY),
        ("ramet.topology.single.alone", HEAVY - {"granian"}),
        ("ramet.app", {"alembic", "typer", "pydantic"}),
    ],
)
def test_a_process_holds_only_what_it_needs(module: str, free_of: set[str]) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )
    assert module in loaded
    assert not loaded & free_of
