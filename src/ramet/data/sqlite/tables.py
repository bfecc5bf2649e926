"""Which tables of a file are Ramet's."""

from __future__ import annotations

import apsw

_BASE = {"row_id", "id", "owner", "created_at", "updated_at", "version"}


def comparable_tables(connection: apsw.Connection) -> set[str]:
    """Tables that a declaration of the past may have made: Ramet's own and those of resources.

    Left out are virtual tables and their shadows, which follow from others, and what somebody else keeps in the file.
    """
    rows = connection.execute("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'").fetchall()
    names = [str(row[0]) for row in rows]
    return {
        name
        for name in names
        if name.startswith("ramet_")
        or {str(row[0]) for row in connection.execute("SELECT name FROM pragma_table_info(?)", (name,))} >= _BASE
    }
