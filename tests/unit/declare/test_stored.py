"""What only a database would refuse is refused at start."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ramet import App, Index, Resource
from ramet.declare.stored import MOST_COLUMNS
from ramet.errors import DeclarationError


def of(name: str, annotations: dict[str, Any], **more: Any) -> type[Resource]:
    return type(Resource)(name, (Resource,), {"__module__": __name__, "__annotations__": annotations, **more})


def refused(place: str, mend: str, *resources: type[Resource]) -> None:
    with pytest.raises(DeclarationError, match=rf"^test_stored\.py: {place}: .*{re.escape(mend)}"):
        App(resources=resources)


def test_fields_that_differ_in_capitals_only() -> None:
    refused(r"Thing\.Name", "is the same as 'name'", of("Thing", {"name": str, "Name": str}))


@pytest.mark.parametrize("name", ["ID", "Owner", "Row_Id"])
def test_a_field_that_differs_from_one_of_every_record_in_capitals_only(name: str) -> None:
    refused(rf"Thing\.{name}", f"is the same as '{name.lower()}'", of("Thing", {name: str}))


@pytest.mark.parametrize("end", ["", "-data", "-idx", "-content", "-docsize", "-config"])
def test_a_table_of_a_full_text_index(end: str) -> None:
    note = of("Note", {"title": str}, search=["title"])
    other = of("Other", {}, path=f"notes-fts{end}")
    refused(r"Other\.path", "the index of Note.search", note, other)
    refused(r"Other\.path", "the index of Note.search", other, note)
    App(resources=[of("Note", {"title": str}), other])


def test_a_table_of_sqlite() -> None:
    refused(r"Thing\.path", "'sqlite_'", of("Thing", {}, path="sqlite-things"))


def test_more_columns_than_a_table_has() -> None:
    own = MOST_COLUMNS - 6
    refused("Thing", "at most 1,600", of("Thing", {f"f{number}": int for number in range(own + 1)}))
    App(resources=[of("Thing", {f"f{number}": int for number in range(own)})])


@pytest.mark.parametrize(
    ("place", "more"),
    [
        ("search", {"search": ["title", "title"]}),
        ("sort", {"sort": "title,-title"}),
        ("indexes", {"indexes": [Index("title", "-title")]}),
    ],
)
def test_a_field_that_is_named_twice(place: str, more: dict[str, Any]) -> None:
    refused(rf"Thing\.{place}", "names 'title' twice", of("Thing", {"title": str}, **more))


@pytest.mark.parametrize("name", ["rank", "RowId", "things_fts"])
def test_a_searched_field_that_is_called_like_a_column_of_the_index(name: str) -> None:
    refused(r"Thing\.search", "rename the field", of("Thing", {name: str}, search=[name]))
    App(resources=[of("Thing", {name: str})])


def test_a_field_that_is_called_like_a_column_of_postgresql() -> None:
    refused(r"Thing\.xmin", "choose another name", of("Thing", {"xmin": int}))
