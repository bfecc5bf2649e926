"""Records in files: JSON lines, one object a line, or CSV with a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from ramet.cli.failures import Refused
from ramet.declare.catalog import ResourceInfo
from ramet.declare.fields.base import Field
from ramet.errors import Fault, Problem
from ramet.operations.bulk import Entry

Format = Literal["csv", "jsonl"]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_MISSING: Any = object()
"""Stands for the cells that a row does not have."""
_UNCLOSED = "A quote is opened here, or in a line below, that the file does not close."
_encode = msgspec.json.Encoder().encode


def format_of(name: str, chosen: str | None) -> Format:
    """The format of a file by its suffix, or as chosen. Raises Refused when neither says it."""
    found = SUFFIXES.get(f".{chosen}" if chosen else Path(name).suffix.lower())
    if found is None:
        raise Refused(f"{chosen or name}: use .csv or .jsonl, or say --format csv or --format jsonl.")
    return found


def read_json_lines(file: BinaryIO, limit: int) -> Iterator[Entry]:
    """Every line that is not blank; one longer than `limit` bytes is wrong."""
    number = 0
    while line := file.readline(limit + 1):
        number += 1
        if len(line) > limit and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(limit)
            yield Entry(number, Problem("body_too_large", f"The line has more than {limit} bytes."))
        elif line.strip():
            yield Entry(number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)


def read_csv(file: BinaryIO, info: ResourceInfo, limit: int) -> Iterator[Entry]:
    """Every row; its line is the one it ends on, or begins on when it has no end.

    Raises Refused when the header is none, and where a cell is larger than `limit`: what follows may be a part of it.
    """
    csv.field_size_limit(limit)
    text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.DictReader(text, restkey="", restval=_MISSING, strict=True)
    _check_header(reader)
    while True:
        start = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if str(error).startswith("field larger"):
                raise Refused(f"Line {start}: {error}.") from None
            yield Entry(start, Problem("bad_request", _UNCLOSED if "end of data" in str(error) else f"{error}."))
        else:
            yield Entry(reader.line_num, _values(row, info))


def _check_header(reader: csv.DictReader[str]) -> None:
    try:
        names = reader.fieldnames
    except csv.Error as error:
        raise Refused(f"Line 1: {error}.") from None
    if not names or len(set(names)) != len(names):
        raise Refused("The first line of a CSV file must name each column once.")
    if not all(map(_is_utf8, names)):
        raise Refused("Line 1: the file is not UTF-8.")


def _is_utf8(cell: str) -> bool:
    """Bytes that are no UTF-8 became halves of surrogate pairs, which UTF-8 has not."""
    return cell.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in cell)


def _values(row: dict[str, Any], info: ResourceInfo) -> dict[str, Any] | Problem:
    if row.pop("", None):
        return Problem("bad_request", "The row has more cells than the header.")
    if _MISSING in row.values():
        return Problem("bad_request", "The row has fewer cells than the header.")
    if not all(map(_is_utf8, row.values())):
        return Problem("bad_request", "Here the file is not UTF-8.")
    values: dict[str, Any] = {}
    faults = []
    for name, text in row.items():
        field = info.fields.get(name)
        if field is None:
            values[name] = text
        elif text:
            try:
                values[name] = _value(field, text)
            except msgspec.MsgspecError as error:
                faults.append(Fault(f"/{name}", "invalid_value", f"{error}."))
        elif field.kind == "text" and not field.optional:
            values[name] = ""
        elif field.optional and not field.marks.read_only:
            values[name] = None
    return Problem("invalid_input", faults=faults) if faults else values


def _value(field: Field, text: str) -> Any:
    """What a cell says, as JSON would say it. Raises msgspec.MsgspecError."""
    if field.column == "json":
        return msgspec.json.decode(text)
    if field.column in {"integer", "real", "boolean"}:
        return msgspec.convert(text.strip(), field.json_type(), strict=False)
    return text


class Writer:
    """Writes records to a file. A line is a record, or in CSV may be a part of one that has line breaks."""

    def __init__(self, file: BinaryIO, form: Format, names: Sequence[str]) -> None:
        self._file = file
        self._form = form
        self._names = names
        if form == "csv":
            self._row(names)

    def write(self, records: Sequence[Any]) -> None:
        """Objects with the attributes `names`, as the API encodes them."""
        if self._form == "jsonl":
            self._file.write(b"".join([_encode(record) + b"\n" for record in records]))
        else:
            for record in records:
                self._row([_cell(getattr(record, name)) for name in self._names])

    def _row(self, cells: Sequence[str]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        self._file.write(text.getvalue().encode())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _encode(value).decode()
