"""Carrying migrations out: one process at a time, in one transaction, as a whole or not at all.

An engine whose others go on writing meanwhile makes the indexes of tables in use afterwards, one by one: until the last
of them the database is `UNFINISHED`, and whoever applies next goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from alembic.migration import MigrationContext
from alembic.operations import Operations, ops
from alembic.script import Script
from sqlalchemy import Connection
from sqlalchemy.exc import NoSuchTableError

from ramet.data.engine import Engine
from ramet.data.engines import engine_part
from ramet.data.fingerprint import AWAITED, FINGERPRINT, KINDS, UNFINISHED, fingerprint
from ramet.data.migrations import renames as renaming
from ramet.data.migrations.differences import Declared, Step, carry_out, find_steps
from ramet.data.migrations.failures import MigrationError
from ramet.data.migrations.revisions import Later, Revisions, becomes, new_context
from ramet.data.schema import Schema
from ramet.declare.catalog import Catalog


class Plan(NamedTuple):
    """Where a database stands."""

    revision: str
    """The newest revision it has; empty for none."""
    pending: list[Path]
    """The revisions it lacks, in order."""
    steps: list[Step]
    """From what it is now to the declaration."""
    derived: bool
    """Whether indexes would be made or dropped."""


class Migrator:
    """Migrations of the database at `url`, which is not empty, with the revisions in `folder`."""

    def __init__(self, url: str, folder: Path, catalog: Catalog, schema: Schema, engine: Engine) -> None:
        self._url = url
        self._bootstrap, self._driver = engine_part(url, "bootstrap"), engine_part(url, "dbapi")
        self._derived = engine_part(url, "derived")
        self._folder = folder
        self._catalog = catalog
        self._statements = list(self._bootstrap.schema_statements(schema, catalog))
        self._fingerprint = fingerprint(self._statements, catalog)
        self._declared = Declared(catalog, schema, engine)

    def plan(self) -> Plan:
        """Where the database stands, read without holding up anybody."""
        with self._open(lock=False, keep=False) as work:
            steps = self._steps(work, work.kinds)
            pending = [Path(one.path) for one in work.pending]
            return Plan(work.revision, pending, steps, self._derived.differs(work.driver, self._statements))

    def make(self, message: str, renames: Sequence[renaming.Rename] = ()) -> Path:
        """Writes a revision with every step to the declaration; its file.

        Raises MigrationError when there is nothing to write, when earlier revisions wait, or a rename does not fit.
        """
        with self._driver.alone(self._url):
            path: Path = self._driver.patiently(self._url, lambda: self._make(message, renames))
            return path

    def _make(self, message: str, renames: Sequence[renaming.Rename]) -> Path:
        with self._open(lock=True, keep=False) as work:
            if work.pending:
                raise MigrationError(f"{_names(work.pending)} is not applied yet. Run `ramet migrate apply` first.")
            self._derived.drop_triggers(work.driver)
            with self._refusing("The rename does not fit the database"):
                renaming.carry_out(Operations(work.context()), renames)
            kinds = renaming.renamed(work.kinds, renames)
            steps = self._steps(work, kinds)
            if not steps and not renames:
                same = self._bootstrap.read_fact(work.driver, FINGERPRINT) == self._fingerprint
                rest = "" if same else " Run `ramet migrate apply` for what else is declared anew, as indexes."
                raise MigrationError(f"No table differs from the declaration: there is nothing to write.{rest}")
            becoming = {
                column: kind
                for column, kind in self._declared.kinds.items()
                if column in kinds and work.kinds.get(column) != kind
            }
            return work.revisions.write(steps, [renaming.as_operation(one) for one in renames], message, becoming)

    def apply(
        self, *, reviewed: bool, keep: bool = True, tell: Callable[[str], object] = lambda text: None
    ) -> list[str]:
        """Brings the database to the declaration; a sentence for each thing done, told when it is certain.

        Waiting revisions are run if `reviewed`; what is left is done if it is safe. Raises MigrationError otherwise,
        and when a step fails. Without `keep` everything is undone again.
        """
        with self._driver.alone(self._url) as held:
            changed: _Changed = self._driver.patiently(self._url, lambda: self._change(reviewed=reviewed, keep=keep))
            told = changed.told
            for text in told:
                tell(text)
            if changed.unfinished:
                for text in self._derived.build(self._url, self._statements, held):
                    told.append(text)
                    tell(text)
                held()
                self._driver.patiently(self._url, self._finish, "What was done until then stands.")
        return told

    def _change(self, *, reviewed: bool, keep: bool) -> _Changed:
        """All in one transaction, but for what an engine leaves for later."""
        told: list[str] = []
        with self._open(lock=True, keep=keep) as work:
            pending, kinds, later = work.pending, work.kinds, work.later
            if not pending and self._bootstrap.read_fact(work.driver, FINGERPRINT) == self._fingerprint:
                return _Changed([], False)  # nothing to do, or another process was first
            if pending and not reviewed:
                raise MigrationError(f"{_names(pending)} is not applied yet. Read it, then run `ramet migrate apply`.")
            derived = self._derived.derived_names(work.driver)
            self._derived.drop_triggers(work.driver)
            for one in pending:
                with self._refusing(f"{_names([one])} failed"):
                    work.revisions.run(work.connection, one.revision, later)
                told.append(f"revision {Path(one.path).stem} is applied")
                kinds.update(becomes(one))
            steps = self._steps(work, kinds)
            if any(step.danger for step in steps):
                raise MigrationError(refusal(steps))
            with self._refusing("The schema could not be changed"):
                carry_out(Operations(work.context()), steps)
                told += [step.text for step in steps if not _is_made_by(step, later.agreed)]
                told += self._derived.restore_derived(
                    work.driver, self._statements, derived, rows_changed=bool(pending), at_once=not keep
                )
            self._check(work)
            unfinished: bool = self._derived.differs(work.driver, self._statements)
            self._record(work, UNFINISHED if unfinished else self._fingerprint)
        return _Changed(told, unfinished)

    def _finish(self) -> None:
        with self._open(lock=True, keep=True) as work:
            work.later.agreed.clear()
            self._check(work)
            self._record(work, self._fingerprint)

    def _record(self, work: _Work, reached: str) -> None:
        """Notes how far the database has come, and what it is still to be given."""
        self._bootstrap.record_schema(work.driver, reached, self._catalog)
        present = self._derived.derived_names(work.driver) - self._derived.invalid(work.driver)
        # What is not declared any more, or is there, needs a new consent when it is wanted again.
        awaited = sorted((work.later.agreed & work.later.may) - present) if reached == UNFINISHED else []
        if awaited or self._bootstrap.read_fact(work.driver, AWAITED) is not None:
            self._bootstrap.write_fact(work.driver, AWAITED, msgspec.json.encode(awaited).decode())

    def _steps(self, work: _Work, kinds: Mapping[str, str]) -> list[Step]:
        """What is to be done, without what is agreed on and left for later."""
        steps = find_steps(work.context(), self._declared, kinds)
        return [step for step in steps if not _is_made_by(step, work.later.agreed)]

    def _check(self, work: _Work) -> None:
        if broken := self._derived.broken_references(work.driver):
            raise MigrationError(f"Nothing was changed, for afterwards {'; '.join(broken)}.")
        if left := self._steps(work, self._declared.kinds):
            raise MigrationError(f"Nothing was changed, for afterwards this would be left: {left[0].text}.")

    @contextmanager
    def _refusing(self, what: str) -> Iterator[None]:
        """Turns whatever goes wrong inside into a sentence: revisions may raise anything."""
        try:
            yield
        except Exception as error:
            if self._driver.held_up(error):
                raise
            missing = isinstance(error, NoSuchTableError)
            why = f"there is no table {error}" if missing else self._driver.reason(error)
            raise MigrationError(f"{what}: {why}. Nothing was changed.") from error

    @contextmanager
    def _open(self, *, lock: bool, keep: bool) -> Iterator[_Work]:
        revisions = Revisions(self._folder)
        with self._driver.migration_connection(self._url, lock=lock, keep=keep) as (connection, driver):
            declared = frozenset(self._declared.metadata.tables)
            may = self._derived.deferrable(self._statements)
            yield _Work(self._url, connection, driver, revisions, declared, may)


class _Changed(NamedTuple):
    """What a migration did in its transaction, and whether indexes are left to be made."""

    told: list[str]
    unfinished: bool


class _Work:
    """One open database and what is known of it."""

    def __init__(
        self,
        url: str,
        connection: Connection,
        driver: Any,
        revisions: Revisions,
        declared: frozenset[str],
        may_wait: frozenset[str],
    ) -> None:
        read_fact = engine_part(url, "bootstrap").read_fact
        self._url = url
        self.connection = connection
        self.driver = driver
        self.revisions = revisions
        self.revision = engine_part(url, "bootstrap").read_revision(driver)
        self.pending = revisions.after(self.revision)
        self.kinds: dict[str, str] = msgspec.json.decode(read_fact(driver, KINDS) or "{}")
        self.later = Later(may_wait, msgspec.json.decode(read_fact(driver, AWAITED) or "[]"))
        self._declared = declared

    def context(self) -> MigrationContext:
        """Alembic's view of the database as it is now, without tables that are not Ramet's."""
        tables = engine_part(self._url, "tables").comparable_tables(self.driver) | self._declared
        incomplete = engine_part(self._url, "derived").invalid(self.driver)

        def include(name: str | None, kind: str, parents: object) -> bool:
            if kind == "index":
                return bool(name) and str(name).endswith("_unique") and name not in incomplete
            return kind != "table" or name in tables

        return new_context(self.connection, include_name=include, later=self.later)


def refusal(steps: Sequence[Step]) -> str:
    """Why the steps are not done without a review, and what to run."""
    lines = [f"  {step.text}: {step.danger}" for step in steps if step.danger]
    renamed = ""
    if any("dropped" in step.text for step in steps) and any("added" in step.text for step in steps):
        renamed = " (with --rename TABLE.OLD=NEW for what only has another name)"
    return "\n".join(
        [
            "The database differs from the declaration in a way that could lose data:",
            *lines,
            f"Nothing was changed. Run `ramet migrate make`{renamed}, read the revision it writes, "
            "then run `ramet migrate apply`.",
        ]
    )


def _is_made_by(step: Step, indexes: set[str]) -> bool:
    return isinstance(step.operation, ops.CreateIndexOp) and step.operation.index_name in indexes


def _names(pending: Sequence[Script]) -> str:
    return ", ".join(f"Revision {Path(one.path).stem}" for one in pending)
