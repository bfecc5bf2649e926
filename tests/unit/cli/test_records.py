"""Files of records: lines are counted as an editor counts them, and nothing is read beyond its bound."""

from __future__ import annotations

import io
from typing import Annotated, Any

import pytest

from ramet.cli.failures import Refused
from ramet.cli.records import Writer, format_of, read_csv, read_json_lines
from ramet.declare.catalog import Catalog, ResourceInfo
from ramet.declare.resource import Resource
from ramet.declare.types import Length
from ramet.errors import Problem


class Note(Resource):
    title: Annotated[str, Length(max=20)]
    stars: int = 0
    tags: list[str] = []
    remark: str | None = None


@pytest.fixture
def info() -> ResourceInfo:
    return Catalog([Note]).of(Note)


def csv_values(text: str, info: ResourceInfo) -> list[tuple[int, Any]]:
    return [(entry.line, entry.source) for entry in read_csv(io.BytesIO(text.encode()), info, 100)]


@pytest.mark.parametrize(
    ("name", "chosen", "found"),
    [("a.csv", None, "csv"), ("A.CSV", None, "csv"), ("a.ndjson", None, "jsonl"), ("a.csv", "jsonl", "jsonl")],
)
def test_a_format_is_chosen_or_follows_the_suffix(name: str, chosen: str | None, found: str) -> None:
    assert format_of(name, chosen) == found


@pytest.mark.parametrize(("name", "chosen"), [("a.xlsx", None), ("-", None), ("a.csv", "xml")])
def test_an_unknown_format_is_refused(name: str, chosen: str | None) -> None:
    with pytest.raises(Refused, match="use \\.csv or \\.jsonl"):
        format_of(name, chosen)


def test_json_lines_keep_their_numbers_and_bounds() -> None:
    found = list(read_json_lines(io.BytesIO(b'{"a":1}\n\n  \n' + b"x" * 50 + b"\n" + b"y" * 10 + b"\nlast"), 10))
    assert [entry.line for entry in found] == [1, 4, 5, 6]
    assert [entry.source for entry in found if not isinstance(entry.source, Problem)] == [
        b'{"a":1}\n',
        b"y" * 10 + b"\n",
        b"last",
    ]
    assert isinstance(found[1].source, Problem)
    assert found[1].source.kind.code == "body_too_large"


def test_csv_cells_become_what_json_would_say(info: ResourceInfo) -> None:
    text = 'title,stars,tags,remark\n"a\nb",3,"[""x""]",\n,,,r\n'
    assert csv_values(text, info) == [
        (3, {"title": "a\nb", "stars": 3, "tags": ["x"], "remark": None}),
        (4, {"title": "", "remark": "r"}),
    ]


def test_csv_cells_that_say_nothing_are_faults(info: ResourceInfo) -> None:
    [(line, problem)] = csv_values("title,stars,tags\nx,many,[\n", info)
    assert line == 2
    assert isinstance(problem, Problem)
    assert [fault.pointer for fault in problem.faults] == ["/stars", "/tags"]


def test_a_row_that_is_damaged_is_wrong_and_the_next_is_not(info: ResourceInfo) -> None:
    content = b'title,stars\nFirst,1\nShort\n"Odd"quote,1\nB\xfcd,2\n"Two\nlines",3\nNext,4\n"Open,5\nSwallowed,6\n'
    found = [(entry.line, entry.source) for entry in read_csv(io.BytesIO(content), info, 100)]
    assert [(line, it.detail if isinstance(it, Problem) else it) for line, it in found] == [
        (2, {"title": "First", "stars": 1}),
        (3, "The row has fewer cells than the header."),
        (4, "',' expected after '\"'."),
        (5, "Here the file is not UTF-8."),
        (7, {"title": "Two\nlines", "stars": 3}),
        (8, {"title": "Next", "stars": 4}),
        (9, "A quote is opened here, or in a line below, that the file does not close."),
    ]


@pytest.mark.parametrize("header", [b"t\xfctle,stars\nA,1\n", b'"title\nA,1\n', "title,stars\n".encode("utf-16")])
def test_a_header_that_is_damaged_is_refused(info: ResourceInfo, header: bytes) -> None:
    with pytest.raises(Refused, match=r"^Line 1: "):
        list(read_csv(io.BytesIO(header), info, 100))


def test_an_empty_file_is_no_csv(info: ResourceInfo) -> None:
    with pytest.raises(Refused, match="must name each column once"):
        csv_values("", info)


def test_a_cell_without_an_end_is_bounded(info: ResourceInfo) -> None:
    with pytest.raises(Refused, match="Line 2: field larger than field limit"):
        csv_values('title\n"' + "x" * 200, info)


def test_csv_is_written_so_that_it_reads_the_same(info: ResourceInfo) -> None:
    class Record:
        title, stars, tags, remark = 'quo"te, line\nbreak', True, ["x"], None

    target = io.BytesIO()
    Writer(target, "csv", ("title", "stars", "tags", "remark")).write([Record()])
    assert target.getvalue().decode() == 'title,stars,tags,remark\n"quo""te, line\nbreak",true,"[""x""]",\n'
