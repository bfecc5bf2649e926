"""The revisions of an application: numbered, readable files in a folder, which Alembic puts in order and runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from alembic.autogenerate import render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations, ops
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from ramet.data.fingerprint import REVISIONS
from ramet.data.migrations.differences import Step, as_operations
from ramet.data.migrations.failures import MigrationError

_INDENT = "    "


class Later:
    """Indexes that are not made where a migration says so, but after it: `may` are their names, `agreed` those it said.

    Alembic's implementation for an engine that wants this finds it as the option `later` of its context.
    """

    def __init__(self, may: Iterable[str], agreed: Iterable[str]) -> None:
        self.may = frozenset(may)
        self.agreed = set(agreed)
        self._taken: set[str] = set()

    def takes(self, name: str | None) -> bool:
        """Whether the index is left for later, which is noted."""
        if name is None or name not in self.may:
            return False
        self.agreed.add(str(name))
        self._taken.add(str(name))
        return True

    def gives_up(self, name: str | None) -> bool:
        """Whether the index was left for later by this migration, which is then taken back."""
        if name not in self._taken:
            return False
        self._taken.discard(name)
        self.agreed.discard(name)
        return True


class Revisions:
    """The folder's revisions. Raises MigrationError when one cannot be read or they do not form one line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._scripts = ScriptDirectory(str(folder.parent), version_locations=[str(folder)] if folder.is_dir() else [])
        try:
            self.heads = self._scripts.get_heads()
        except CommandError as error:
            raise MigrationError(f"{folder}: {error}") from error
        except Exception as error:
            raise MigrationError(f"{folder}: a revision cannot be read: {type(error).__name__}: {error}") from error
        if len(self.heads) > 1:
            raise MigrationError(
                f"{folder}: the revisions {' and '.join(self.heads)} follow the same one. "
                "Set `down_revision` of one of them to the number of the other."
            )
        self.head = self.heads[0] if self.heads else ""

    def after(self, current: str) -> list[Script]:
        """What a database at `current` (empty for none) lacks, in order. Raises MigrationError if it is unknown."""
        if not self.head:
            if current:
                raise MigrationError(f"The database has the revision {current}, which is not in {self.folder}.")
            return []
        try:
            found = list(self._scripts.iterate_revisions(self.head, current or "base"))
        except CommandError as error:
            raise MigrationError(f"The database has the revision {current}: {error}") from error
        return found[::-1]

    def run(self, connection: Connection, revision: str, later: Later) -> None:
        """Run what a database lacks up to a revision. What that raises passes through."""
        context = new_context(
            connection, fn=lambda current, _: self._scripts._upgrade_revs(revision, current), later=later
        )
        with Operations.context(context):
            context.run_migrations()

    def write(self, steps: Sequence[Step], renames: Sequence[Any], message: str, kinds: Mapping[str, str]) -> Path:
        """A new revision with these steps; its file."""
        number = f"{int(self.head or 0) + 1:04d}" if (self.head or "0").isdigit() else f"{datetime.now():%Y%m%d%H%M}"
        words = re.sub(r"\W+", "_", message.lower()).strip("_")[:50] or "change"
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{number}_{words}.py"
        path.write_text(_text(number, self.head, message, list(steps), renames, kinds), encoding="utf-8")
        return path


def new_context(connection: Connection, **options: Any) -> MigrationContext:
    """Alembic's view of a database, inside the transaction of `connection`."""
    return MigrationContext.configure(
        connection, opts={"version_table": REVISIONS, "compare_type": True, "transactional_ddl": True, **options}
    )


def becomes(script: Script) -> dict[str, str]:
    """The kinds that a revision gives to columns whose SQL type stays."""
    return dict(getattr(script.module, "becomes", {}))


def _text(
    number: str, before: str, message: str, steps: list[Step], renames: Sequence[Any], kinds: Mapping[str, str]
) -> str:
    body = render_python_code(
        ops.UpgradeOps([*renames, *as_operations(steps).ops]), render_as_batch=True, alembic_module_prefix="op."
    )
    modules = sorted(set(re.findall(r"\b(ramet(?:\.[a-z_]+)+)\.[A-Z]", body)))
    lines = [line for line in body.splitlines() if "Alembic" not in line and line.strip() != "pass"]
    warnings = [f"{_INDENT}# {step.text}: {step.danger}." for step in steps if step.danger]
    questions = [f'{_INDENT}raise NotImplementedError("{question}")' for question in map(_question, steps) if question]
    return "\n".join(
        [
            f'"""{message.strip().rstrip(".") or "Change the schema"}.',
            "",
            "Read it, change what needs changing, then run `ramet migrate apply`. It happens as a whole or not at all.",
            '"""',
            "",
            "import sqlalchemy as sa",
            "from alembic import op",
            *([""] if modules else []),
            *(f"import {module}" for module in modules),
            "",
            f'revision = "{number}"',
            f"down_revision = {msgspec.json.encode(before).decode() if before else None}",
            *_becomes(kinds),
            "",
            "",
            "def upgrade() -> None:",
            *warnings,
            *questions,
            *(line.replace("'", '"') if '"' not in line else line for line in lines),
            *([] if lines or questions else [f"{_INDENT}pass"]),
            "",
        ]
    )


def _becomes(kinds: Mapping[str, str]) -> list[str]:
    if not kinds:
        return []
    rows = [f'{_INDENT}"{column}": "{kind}",' for column, kind in kinds.items()]
    return ["", "# What the values of these columns are from here on.", "becomes = {", *rows, "}"]


def _question(step: Step) -> str:
    """What only the team can know before the step can run."""
    if isinstance(step.operation, ops.AddColumnOp) and step.danger:
        name = step.operation.column.name
        return f"Give the column {step.table}.{name} below a server_default for existing rows, then remove this line."
    if step.operation is None:
        return f"Convert here, with op.execute: {step.text}. Then remove this line."
    return ""
