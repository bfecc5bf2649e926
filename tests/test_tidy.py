"""The rules of style that a machine can hold, on every file of the project. See `RULES` for the list."""

from __future__ import annotations

import ast
import io
import os
import re
import tokenize
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ramet.errors import ERRORS

ROOT = Path(__file__).parent.parent
LONGEST_FILE = 400
LONGEST_FUNCTION = 60

# What a rule is not held to, as (rule, place) -> reason. A place is `path` or `path::name`.
# An exemption that is no longer needed fails.
EXEMPT: Mapping[tuple[str, str], str] = {
    ("test not run", "tests/process/test_partitions.py"): "networks of one's own take root, which not everybody has",
}

LEFT_OUT = {"__pycache__", "node_modules", "dist", "build", "vendor"}
CODE = {".py", ".js", ".css"}
TEXT = CODE | {"", ".cfg", ".html", ".json", ".lock", ".md", ".sh", ".svg", ".toml", ".txt", ".yaml", ".yml"}
WRITTEN_BY_TOOLS = {".lock", ".svg"}

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
# In brackets, so that this line does not match itself.
PLACES = re.compile(r"(?<![\w.])/(?:[w]ork|[r]oot|[h]ome)/|/[t]mp/venv|[p]ypi\.(?:org|io)|[p]ythonhosted|[n]pmjs")
LEFTOVERS = re.compile(r"\b(?:[T]ODO|[F]IXME|[X]XX|[H]ACK)\b")
IGNORED = re.compile(r"#\s*(?:type:\s*ignore|pyright:\s*ignore|(?:ruff:\s*)?noqa)(?P<rest>.*)", re.DOTALL)
IGNORED_CODES = re.compile(r"^\s*(?:\[[\w, -]*\]|:\s*[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*)?")
NOT_RUN = {"skip", "skipif", "xfail", "importorskip"}
WAITS = re.compile(r"#\s*waits: \S")


class Finding(NamedTuple):
    """A place that breaks a rule: `place` as in EXEMPT, `detail` for the reader."""

    place: str
    detail: str


class File(NamedTuple):
    """One file of the project: `path` from its root with slashes, and its `text`."""

    path: str
    text: str

    @property
    def suffix(self) -> str:
        return Path(self.path).suffix

    @property
    def is_test(self) -> bool:
        return self.path.startswith("tests/") or Path(self.path).name.startswith(("test_", "conftest"))

    @property
    def in_source(self) -> bool:
        return self.path.startswith("src/")


@cache
def files() -> tuple[File, ...]:
    """Every text file of the project, whether git knows it yet or not."""
    found = []
    for folder, inner, names in os.walk(ROOT):
        inner[:] = [n for n in inner if n not in LEFT_OUT and (n[0] != "." or n in {".ci", ".github"})]
        for name in names:
            path = Path(folder, name)
            if path.suffix in TEXT and not name.endswith((".db", "-wal", "-shm")):
                found.append(File(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")))
    return tuple(sorted(found))


@cache
def parsed(file: File) -> ast.Module:
    return ast.parse(file.text, file.path)


def python_files() -> Iterator[File]:
    return (file for file in files() if file.suffix == ".py")


def nodes(file: File) -> Iterator[ast.AST]:
    return ast.walk(parsed(file))


def comments(file: File) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(file.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def named(node: ast.expr) -> str:
    """`a.b.c` for names and attributes, else nothing."""
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def long_files() -> Iterator[Finding]:
    for file in files():
        length = file.text.count("\n")
        if file.suffix in CODE and length > LONGEST_FILE:
            yield Finding(file.path, f"{length} lines")


def long_functions() -> Iterator[Finding]:
    for file in python_files():
        for node in nodes(file):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    yield Finding(f"{file.path}::{node.name}", f"{length} lines")


def vague_names() -> Iterator[Finding]:
    for file in files():
        parts = Path(file.path).with_suffix("").parts
        if vague := VAGUE_NAMES & {part.strip("_") for part in parts}:
            yield Finding(file.path, f"{vague.pop()} says nothing about what is inside")


def machine_places() -> Iterator[Finding]:
    for file in files():
        for match in PLACES.finditer(file.text):
            line = file.text.count("\n", 0, match.start()) + 1
            yield Finding(file.path, f"line {line}: {match.group()} is a path or host of one machine")


def leftovers() -> Iterator[Finding]:
    for file in files():
        if file.suffix not in WRITTEN_BY_TOOLS:
            for match in LEFTOVERS.finditer(file.text):
                yield Finding(file.path, f"line {file.text.count(chr(10), 0, match.start()) + 1}: {match.group()}")


def asserts_in_source() -> Iterator[Finding]:
    for file in python_files():
        if file.in_source:
            for node in nodes(file):
                if isinstance(node, ast.Assert):
                    yield Finding(file.path, f"line {node.lineno}: assert {ast.unparse(node.test)}")


def unrun_tests() -> Iterator[Finding]:
    for file in python_files():
        for node in nodes(file):
            if isinstance(node, ast.Attribute) and node.attr in NOT_RUN and named(node).startswith("pytest."):
                yield Finding(file.path, f"line {node.lineno}: {named(node)}")


def sleeps_in_tests() -> Iterator[Finding]:
    """A wait of fixed length, unless its line or the one above says `# waits: …` and why."""
    for file in python_files():
        if file.is_test:
            lines = file.text.splitlines()
            for node in nodes(file):
                if isinstance(node, ast.Call) and is_fixed_sleep(node):
                    near = lines[max(node.lineno - 2, 0) : node.end_lineno]
                    if not any(WAITS.search(line) for line in near):
                        yield Finding(file.path, f"line {node.lineno}: {ast.unparse(node)}")


def is_fixed_sleep(call: ast.Call) -> bool:
    if named(call.func) not in {"time.sleep", "asyncio.sleep", "anyio.sleep", "sleep"} or not call.args:
        return False
    length = call.args[0]
    if isinstance(length, ast.Constant):
        return length.value != 0
    return named(call.func) == "time.sleep"


def undocumented() -> Iterator[Finding]:
    """Public modules, and the functions and classes that they define at their top, without a docstring."""
    for file in python_files():
        stem = Path(file.path).stem
        if not file.in_source or (stem.startswith("_") and stem not in {"__init__", "__main__"}):
            continue
        tree = parsed(file)
        if not ast.get_docstring(tree):
            yield Finding(file.path, "the module has no docstring")
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                overload = any(named(decorator).endswith("overload") for decorator in node.decorator_list)
                if not node.name.startswith("_") and not overload and not ast.get_docstring(node):
                    yield Finding(f"{file.path}::{node.name}", f"line {node.lineno}: no docstring")


def ignores_without_reason() -> Iterator[Finding]:
    """`# type: ignore[code]  # why`, `# noqa: CODE - why`."""
    for file in python_files():
        for line, comment in comments(file):
            if found := IGNORED.search(comment):
                reason = IGNORED_CODES.sub("", found["rest"], count=1)
                if not re.search(r"\w{2}", reason):
                    yield Finding(file.path, f"line {line}: {comment} gives no reason")


def unknown_problems() -> Iterator[Finding]:
    for file in python_files():
        for node in nodes(file):
            if isinstance(node, ast.Call) and named(node.func).rpartition(".")[2] == "Problem" and node.args:
                code = node.args[0]
                if isinstance(code, ast.Constant) and code.value not in ERRORS:
                    yield Finding(file.path, f"line {node.lineno}: {code.value!r} is not in errors.ERRORS")


def pins(lock: str) -> set[tuple[str, str]]:
    return set(re.findall(r"^([a-z0-9][\w.-]*)==([^\s;]+)", (ROOT / lock).read_text(), re.MULTILINE))


def stale_locks() -> Iterator[Finding]:
    """`make lock` mends all of these."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    run = [*project["project"]["dependencies"], *project["dependency-groups"]["build"]]
    dev = project["project"]["optional-dependencies"]["dev"]
    for lock, requirements in (("requirements-run.lock", run), ("requirements.lock", [*run, *dev])):
        for requirement in map(Requirement, requirements):
            versions = [version for name, version in pins(lock) if name == canonicalize_name(requirement.name)]
            if not versions or not all(version in requirement.specifier for version in versions):
                yield Finding(lock, f"{requirement} is not met by {versions}")
        if "://" in (ROOT / lock).read_text():
            yield Finding(lock, "holds a download address")
    for name, version in pins("requirements-run.lock") - pins("requirements.lock"):
        yield Finding("requirements-run.lock", f"{name}=={version} is not in requirements.lock; they share one .venv")


def second_sqlites() -> Iterator[Finding]:
    """Two copies of SQLite in one process do not see each other's locks.

    The second to open a file cuts short the WAL index that the first has mapped, and the process dies of SIGBUS; see
    "Multiple copies of SQLite linked into the same application" in SQLite's "How To Corrupt An SQLite Database File".
    """
    for file in python_files():
        for node in nodes(file):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if "sqlite3" in names:
                yield Finding(file.path, f"line {node.lineno}: use apsw, whose SQLite is the one the product runs")


RULES: Mapping[str, Callable[[], Iterator[Finding]]] = {
    "file length": long_files,
    "function length": long_functions,
    "vague name": vague_names,
    "machine place": machine_places,
    "leftover": leftovers,
    "assert": asserts_in_source,
    "test not run": unrun_tests,
    "sleep": sleeps_in_tests,
    "docstring": undocumented,
    "reason": ignores_without_reason,
    "problem code": unknown_problems,
    "lock": stale_locks,
    "second sqlite": second_sqlites,
}


@pytest.mark.parametrize("rule", RULES)
def test_rule_holds(rule: str) -> None:
    broken = [f"{f.place}: {f.detail}" for f in RULES[rule]() if (rule, f.place) not in EXEMPT]
    assert broken == [], "\n" + "\n".join(broken)


def test_exemptions_are_still_needed() -> None:
    needed = {(rule, finding.place) for rule, find in RULES.items() for finding in find()}
    assert EXEMPT.keys() - needed == set()


def test_exemptions_have_a_reason() -> None:
    assert [place for place, reason in EXEMPT.items() if len(reason.split()) < 3] == []
