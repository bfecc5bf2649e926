"""What a database keeps about its own schema, so that a start costs one small read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ramet.data.kinds import column_kinds
from ramet.declare.catalog import Catalog

FINGERPRINT = "schema"
"""The fact that names the declaration a database was last brought to."""
KINDS = "kinds"
"""The fact that says what the columns' values mean, as JSON."""
MOVE = "move"
"""The fact that says how far an unfinished move into a database has come: nobody else is to use that."""
HALF_MOVED = "A move into this database is not finished. Run `ramet move` again."
AWAITED = "awaited"
"""The fact that names, as JSON, the unique indexes that are agreed on but not made yet."""
REVISIONS = "ramet_revisions"
"""The table that holds the revision a database was last brought to."""
UNFINISHED = "unfinished"
"""What FINGERPRINT is while the tables are as declared, and indexes are still being made."""
LOCK_SECONDS = 120
"""How long a process waits for another one that makes or changes the schema."""


def fingerprint(statements: Iterable[str], catalog: Catalog) -> str:
    """Equal for equal schemas."""
    kinds = [f"{column} {kind}" for column, kind in column_kinds(catalog).items()]
    return hashlib.sha256("\0".join((*statements, *kinds)).encode()).hexdigest()
