"""Imports point inward only, and each rule of the house about modules holds for every module under src/ramet."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).parent.parent / "src" / "ramet"

# Which parts may import which. `observe` imports nothing and may be imported by all, so it is not repeated.
# An edge is here because the part cannot do its work without it; add one only with its reason.
FOUNDATION = frozenset({"errors", "settings"})
DECLARE = FOUNDATION | {"declare"}
MIDDLE = frozenset({"identity", "access", "cache", "changes", "limits", "data"})
ALLOWED: Mapping[str, frozenset[str]] = {
    "observe": frozenset(),
    "errors": frozenset(),
    "settings": frozenset({"errors"}),
    "declare": FOUNDATION,
    "redis": FOUNDATION,  # a way to a server, which knows nothing of what is kept there
    # The middle: siblings meet only where one is the language of the other.
    "limits": DECLARE,
    "access": DECLARE,
    "changes": DECLARE,
    "cache": DECLARE | {"changes"},  # a change bumps the generations of its tags
    "data": DECLARE | {"access", "changes"},  # a rule becomes a part of the WHERE; a write returns its position
    "identity": DECLARE | {"changes"},  # a revocation arrives through the log
    # The heart joins them; what stands around it speaks to the heart.
    "operations": DECLARE | MIDDLE,  # it joins Redis to those who keep something there, who do not import it
    # who calls and from where is read from headers and cookies; a query string becomes a Query; coded bodies are kept
    "interfaces": DECLARE | {"operations", "identity", "limits", "data", "cache"},
    "operate": DECLARE | {"operations", "changes", "cache", "data", "limits"},  # health and figures look at the parts
    "console": FOUNDATION,
    "app": DECLARE | MIDDLE | {"operations", "interfaces", "operate", "console"},
    "topology": DECLARE | {"app", "operate"},
    "cli": DECLARE | MIDDLE | {"app", "operations", "interfaces", "operate", "topology"},  # it prints the routes
    "testing": DECLARE | {"app", "operations", "operate", "topology"},  # a test may start from the demo data
    # The public names, nothing else. Nobody inside imports them from here.
    "": DECLARE | {"app", "operations", "identity"},  # User and Session are resources that rules and Ref may name
}

# A driver or dialect by the module that carries it, and the only folder that may import it.
DRIVERS: Mapping[str, str] = {
    "aiosqlite": "data/sqlite",
    "apsw": "data/sqlite",
    "sqlite3": "data/sqlite",
    "sqlalchemy.dialects.sqlite": "data/sqlite",
    "ramet.data.sqlite": "data",
    "asyncpg": "data/postgres",
    "redis": "redis",
    "psycopg": "data/postgres",
    "sqlalchemy.dialects.postgresql": "data/postgres",
    "ramet.data.postgres": "data",
}

# Files that only one engine has, each with its reason.
ONE_ENGINE: Mapping[str, str] = {
    "building.py": "an embedded database has one writer, for whom an index would have to wait anyway",
    "beat.py": "an embedded database has no replicas that could be behind",
    "committer.py": "a database server has its own write-ahead log, and moves it by itself",
    "hosts.py": "an embedded database has no address on a network",
    "outage.py": "an embedded database is down with its process",
    "pool.py": "an embedded database has no connections to share out",
    "replicas.py": "an embedded database has none",
    "units.py": "processes of an embedded database count limits in the memory of their machine",
    "wal_index.py": "a database server tells of commits itself",
}

LONGEST: Mapping[str, int] = {"operations/pipeline.py": 70, "app.py": 200}


class Import(NamedTuple):
    """One imported module, by its absolute name, and the line that imports it."""

    module: str
    line: int


class Module(NamedTuple):
    """One file of src/ramet: `name` as Python imports it, `path` below src/ramet."""

    name: str
    path: str
    tree: ast.Module

    @property
    def part(self) -> str:
        """The package or module directly below `ramet`; "" for `ramet` itself."""
        return part_of(self.name)


def part_of(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


@cache
def modules() -> dict[str, Module]:
    found = {}
    for file in sorted(SOURCE.rglob("*.py")):
        path = file.relative_to(SOURCE)
        parts = path.parts[:-1] if path.name == "__init__.py" else path.with_suffix("").parts
        name = ".".join(("ramet", *parts))
        found[name] = Module(name, path.as_posix(), ast.parse(file.read_text(), file.name))
    return found


def imports(module: Module) -> Iterator[Import]:
    """Every import of a module, those inside functions too. `from a import b` is `a.b` where that is a module."""
    known = modules()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(module, node)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                outside = not base.startswith("ramet")
                yield Import(inner if inner in known or outside else base, node.lineno)


def absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    up = node.level - module.path.endswith("__init__.py")
    package = module.name.rsplit(".", up)[0] if up else module.name
    return f"{package}.{node.module}" if node.module else package


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def test_every_part_stands_in_the_table() -> None:
    parts = {module.part for module in modules().values()}
    assert parts - ALLOWED.keys() == set()


def test_imports_follow_the_table() -> None:
    wrong = [
        f"{module.path}:{line}: {module.part or 'ramet'} must not import {name}"
        for module in modules().values()
        for name, line in imports(module)
        if inside(name, "ramet")
        and part_of(name) != module.part
        and part_of(name) not in ALLOWED.get(module.part, frozenset()) | {"observe"}
    ]
    assert wrong == [], "\n" + "\n".join(wrong)


def test_the_table_has_no_cycle() -> None:
    list(TopologicalSorter(ALLOWED).static_order())


def test_modules_have_no_cycle() -> None:
    graph = {
        module.name: {name for name, _ in imports(module) if name in modules() and name != module.name}
        for module in modules().values()
    }
    cycle: list[str] = []
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = error.args[1]
    assert cycle == [], "\n" + "\n".join(cycle)


def test_no_import_stands_inside_a_function() -> None:
    wrong = [
        f"{module.path}:{inner.lineno}"
        for module in modules().values()
        for outer in ast.walk(module.tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(outer)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert wrong == [], "\n" + "\n".join(wrong)


def test_no_import_hides_behind_type_checking() -> None:
    wrong = [
        f"{module.path}:{node.lineno}"
        for module in modules().values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Name | ast.Attribute)
        and (node.id if isinstance(node, ast.Name) else node.attr) == "TYPE_CHECKING"
    ]
    assert wrong == [], "\n" + "\n".join(wrong)


def test_only_settings_reads_the_environment() -> None:
    names = {"environ", "environb", "getenv", "getenvb"}
    wrong = [
        f"{module.path}:{node.lineno}"
        for module in modules().values()
        if module.name != "ramet.settings"
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == "os")
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and names & {a.name for a in node.names})
    ]
    assert wrong == [], "\n" + "\n".join(wrong)


def test_drivers_and_dialects_stay_in_their_folders() -> None:
    wrong = [
        f"{module.path}:{line}: {driver} belongs in {folder}/"
        for module in modules().values()
        for name, line in imports(module)
        for driver, folder in DRIVERS.items()
        if inside(name, driver) and not module.path.startswith(folder + "/")
    ]
    assert wrong == [], "\n" + "\n".join(wrong)


def test_engines_have_the_same_files_but_for_what_only_one_needs() -> None:
    engines = [folder for folder in (SOURCE / "data" / "sqlite", SOURCE / "data" / "postgres") if folder.is_dir()]
    files = [{file.name for file in folder.glob("*.py")} for folder in engines]
    assert engines
    different = set.union(*files) - set.intersection(*files)
    assert different == ONE_ENGINE.keys()


def test_the_first_files_to_read_stay_short() -> None:
    lengths = {path: len((SOURCE / path).read_text().splitlines()) for path in LONGEST}
    assert {path: length for path, length in lengths.items() if length >= LONGEST[path]} == {}
