"""What a migration refuses."""

from __future__ import annotations


class MigrationError(Exception):
    """The database was left as it was; the message says why and what to run."""


class MoveError(Exception):
    """A move to another database was refused or has failed; the message says why and what to do."""
