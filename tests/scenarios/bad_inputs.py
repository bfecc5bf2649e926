"""Every wrong kind of body and parameter for an operation, made from its declaration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import msgspec

from ramet.declare.fields.base import Field
from ramet.declare.fields.reference import Reference
from ramet.interfaces.rest.query import LIST_PARAMETERS, WORDS
from ramet.interfaces.rest.routes import Target

from .bad_input_world import UNKNOWN, Call, World

DEEP = 20_000
# Values of every type and size, tried for every field that does not take them.
ANY: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 1e308, 10**30, -(2**63) - 1, "", "x", "a\0b", "9" * 3_000, "\u202e", [], ["x"], [[[]]],
    {}, {"a": {}},
)  # fmt: skip
# Values of the right JSON type that still are no such thing.
WRONG: Mapping[str, tuple[Any, ...]] = {
    "date": ("2026-02-30", "0000-01-01", "2026-1-1", "20260131", "2026-01-31T00:00:00Z", " 2026-01-31", "2026-01-31\n"),
    "datetime": (
        "2026-01-31", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:60Z", "2026-01-01T25:00:00Z",
        "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:00", "2026-01-01T00:00:00+99:00",
    ),
    "decimal": ("1e5", "NaN", "Infinity", "-Infinity", "1.234", "99999.9", "1_0", " 1", "+1", "\uff11", ".5", "1.", 1,
    1.5),
    "integer": (2**63, -(2**63) - 1, 1e300, "1", 2.000001),
    "float": ("1.5", 10**400),
    "boolean": ("true", 0, 1),
    "enumeration": ("New", "new ", "nEw"),
    "email": ("a", "a@b", "@b.de", "a b@c.de", "a@b.de\n", "a@b..de", "a@-b.de", "ä@b.de"),
    "url": ("ftp://a.de", "javascript:alert(1)", "https://", "http://a b", "//a.de", "https://user@a.de/",
    "https://a\n.de"),
    "text": ("\0", "y" * 20_000),
    "list": (["a"] * 4, [1], ["x" * 11], [None], {"0": "a"}, "a", [""], ["a\0"]),
    "json": ("\0", {"a\0": 1}, ["\0"], "x" * 70_000, json.loads("[" * 33 + "]" * 33)),
    "reference": ("x", UNKNOWN, UNKNOWN.upper(), "me", 1),
}  # fmt: skip


def inputs(world: World, fields: Mapping[str, Field]) -> Iterator[tuple[str, Any]]:
    """Each field with each value that it does not take."""
    for name, field in fields.items():
        schema = field.schema()
        for value in ANY:
            fits = not schema or jsonschema_rs.is_valid(schema, value) or (value is None and field.optional)
            if field.kind not in ("date", "datetime", "decimal") and fits:
                continue
            if value is None and field.optional:
                continue
            yield name, value
        for value in WRONG.get(field.kind, ()):
            if not (isinstance(field, Reference) and value == "me"):
                yield name, value
        if isinstance(field, Reference):
            others = {world.ids[other] for other in ("Shelf", "Book") if other != field.target}
            yield from ((name, value) for value in others)


def wrong_values(world: World, target: Target) -> Iterator[Call]:
    """Bodies in which one field has a wrong value, is unknown, or is missing."""
    right = world.body(target)
    call = world.call(target)
    fields = world.input_fields(target)
    for name, value in inputs(world, fields):
        yield call._replace(body={**right, name: value}, label=f"{target.name} {name}")
    for name, field in fields.items():
        if field.required and target.kind != "update":
            yield call._replace(body={key: value for key, value in right.items() if key != name})
    hidden = {"counted": 1, "secret": "x", "note": "x"} if target.info.name == "Book" else {}
    unknown = {"id": UNKNOWN, "owner": UNKNOWN, "version": 9, "created_at": "2026-01-01T00:00:00Z", **hidden}
    odd = {"": 1, "a/b~c": 1, "__proto__": {}, "constructor": 1, "x" * 5_000: 1, "\0": 1, "limit": 1}
    for key, value in {**unknown, **odd}.items():
        if target.action is None or key not in target.action.fields:
            yield call._replace(body={**right, key: value})


def wrong_bodies(world: World, target: Target) -> Iterator[Call]:
    """Bodies that are no JSON object, or are one in a way that reads differently here and there."""
    call = world.call(target)
    right = json.dumps(world.body(target) if world.body(target) is not msgspec.UNSET else {"x": 1})
    fields = world.input_fields(target)
    needed = target.kind in ("create", "replace") or any(field.required for field in fields.values())
    broken = [
        b"{", b"}", b"[]", b"null", b"1", b'"x"', b"{,}", b"{'a': 1}", b'{"a" 1}', b'{"a": NaN}', b'{"a": Infinity}',
        b'{"a": 01}', b'{"a": 1e999}', b"{} {}", b"{}x", b"\x00", b"\xff\xfe", b'{"a": "\xff"}', b'{"a": "\xc0\xaf"}',
        b'{"a": "\\ud800"}', b'{"a": "\\x"}', b'{"a": "\n"}', b"/* */ {}", b"\xef\xbb\xbf" + right.encode(),
        b"[" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP, b'{"a": ' + b"9" * 5_000 + b"}",
        right.encode("utf-16"), right.encode("utf-32"), right.replace("}", ', "x": "\u00e9"}').encode("latin-1"),
    ]  # fmt: skip
    if needed:
        broken.append(b"")
    for name in fields:
        twice = f'{{"{name}": 1, {right[1:]}'
        escaped = f'{{"\\u{ord(name[0]):04x}{name[1:]}": 1, {right[1:]}'
        broken += [twice.encode(), escaped.encode()]
    yield from (call._replace(body=body) for body in broken)


def wrong_parameters(world: World, target: Target) -> Iterator[Call]:
    """Query strings of a list with one thing wrong."""
    info = target.info
    base = world.call(target)
    found = [
        "limit=0", "limit=-1", "limit=101", "limit=999999", "limit=x", "limit=", "limit=1.0", "limit=%EF%BC%91",
        "limit=1&limit=2",
        "sort=", "sort=zzz", "sort=-", "sort=--id", "sort=id,,id", "sort=id;", "fields=", "fields=zzz",
        "fields=id,,owner",
        "expand=zzz", "expand=id", "count=1", "count=", "count=exact&count=exact", "after=&before=", "zzz=1", "=1",
        "id[]=1",
        "id[=1", "id]=1", "id[zzz]=1", "id[in][in]=1", "%00=1", "id=%00", "id=%FF", "%FF=1", "id=x",
        "version[contains]=1",
        "created_at=2026-01-01", "created_at[lt]=yesterday", "version=1.5", "version=--1",
        "version=99999999999999999999",
        "version[is]=1", "owner[is]=true", "id[in]=" + ",".join([UNKNOWN] * 101),
        "&".join(f"a{n}=1" for n in range(600)),
    ]  # fmt: skip
    if not info.search:
        found.append("q=x")
    else:
        found += ["q=", "q=" + "x" * 201, "q=%00"]
    for name, field in info.fields.items():
        if field.marks.hidden:
            found += [f"{name}=x", f"sort={name}", f"fields={name}", f"{name}[is]=null"]
            continue
        absent = [word for word, operator in WORDS.items() if operator not in field.operators and word]
        found += [f"{name}[{word}]=1" for word in absent]
        if field.kind in (
            "boolean",
            "date",
            "datetime",
            "decimal",
            "enumeration",
            "float",
            "id",
            "integer",
            "reference",
        ):
            found += [f"{name}={value}" for value in ("", "zzz", "%00", "null", "NaN", "1e999", "[]", "1,2")]
        if not field.sortable:
            found.append(f"sort={name}")
    yield from (base._replace(path=f"{base.path}?{query}") for query in found)


def misspelt(world: World, target: Target) -> Iterator[tuple[Call, str]]:
    """Parameters with a letter too much, and the right name that the refusal must suggest."""
    base = world.call(target)
    for name, field in target.info.fields.items():
        if not field.marks.hidden:
            yield base._replace(path=f"{base.path}?{name}x=1"), name
    for name in (name for name in LIST_PARAMETERS if len(name) > 3):
        yield base._replace(path=f"{base.path}?{name}x=1"), name
