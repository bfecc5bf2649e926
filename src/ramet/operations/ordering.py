"""The order of a list."""

from __future__ import annotations

from ramet.declare.catalog import ResourceInfo


def read_order(info: ResourceInfo, text: str) -> tuple[tuple[str, bool], ...]:
    """`-created_at,title` as (field, descending) pairs, ended by `id`, so that no two records have one place.

    Raises KeyError with the name of a field that there is not, or that cannot be sorted by.
    """
    found: dict[str, bool] = {}
    unique = False
    for part in text.split(","):
        name = part.removeprefix("-")
        field = info.fields.get(name)
        if field is None or not field.sortable or field.marks.hidden:
            raise KeyError(name)
        if unique:
            continue  # nothing can come after a key that no two records share; it still has to exist
        found.setdefault(name, part.startswith("-"))
        unique = name == "id" or (field.marks.unique and not field.optional)
    return tuple(found.items()) if unique else (*found.items(), ("id", text.split(",")[-1].startswith("-")))
