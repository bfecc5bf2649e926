"""Every operation × every kind of caller × own and others' records, made from the catalog of each application here.

What should happen is worked out from the rules as they are written, one record at a time in plain Python. A resource
added to an application below, or a rule to a resource, is tested without a line more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ramet import (
    nobody,
)
from ramet.declare.catalog import ResourceInfo
from tests.scenarios.access_world import APPLICATIONS, SECRET, Matrix, value_for
from tests.scenarios.core_world import PREFIX, Person, running


def refusal(caller: Person, visible: bool) -> tuple[int, ...]:
    """What a refusal may be: never 403 for what the caller may not read, and strangers are asked to sign in."""
    if caller.id is None:
        return (401, 403) if visible else (401, 404)
    return (403,) if visible else (404,)


Check = Callable[[Matrix, ResourceInfo, Person], Any]


async def lists(matrix: Matrix, info: ResourceInfo, caller: Person) -> None:
    expected = {record.id: record for record in matrix.readable(info, caller)}
    for _ in range(2):  # the second from the cache, where there is one
        answer = await matrix.ask(caller, "GET", info.path + "?limit=100")
        if answer.status != 200:
            assert answer.status == (401 if caller.id is None else 403)
            assert not expected
            return
        shown = {item["id"]: item for item in answer.json["items"]}
        assert shown.keys() == expected.keys()
        for record_id, item in shown.items():
            matrix.check_shown(info, item, expected[record_id], caller)
        matrix.check_secrets(info, answer, list(expected.values()), caller)
    count = (await matrix.ask(caller, "GET", info.path + "?limit=1&count=exact")).json["count"]
    assert count == len(expected)


async def masked_fields(matrix: Matrix, info: ResourceInfo, caller: Person) -> None:
    """A field that is closed to the caller in some record can't be filtered, sorted or searched by."""
    if not matrix.readable(info, caller):
        return
    for name in info.access.fields:
        closed = not all(matrix.sees(info, name, record, caller) for record in matrix.records[info.name])
        for query in (f"{name}={SECRET}-{name}", f"{name}[starts]={SECRET}", f"sort=-{name}"):
            answer = await matrix.ask(caller, "GET", f"{info.path}?{query}")
            assert answer.status == (400 if closed else 200), (query, answer)
        readable = {record.id: record for record in matrix.readable(info, caller)}
        answer = await matrix.ask(caller, "GET", f"{info.path}?fields=id,{name}")
        if any(matrix.sees(info, name, record, caller) for record in readable.values()):
            for item in answer.json["items"]:
                matrix.check_shown(info, item, readable[item["id"]], caller)
        else:
            assert f"{SECRET}-{name}".encode() not in answer.body
        if name in info.search:
            answer = await matrix.ask(caller, "GET", f"{info.path}?q={SECRET}")
            assert answer.status == (400 if closed else 200)


async def gets(matrix: Matrix, info: ResourceInfo, caller: Person) -> None:
    for record in matrix.records[info.name]:
        answer = await matrix.ask(caller, "GET", f"{info.path}/{record.id}")
        if matrix.holds(info.access.read, record, caller):
            assert answer.status == 200
            matrix.check_shown(info, answer.json, record, caller)
            matrix.check_secrets(info, answer, [record], caller)
        else:
            assert answer.status in refusal(caller, visible=False)


async def creates(matrix: Matrix, info: ResourceInfo, caller: Person) -> None:
    matrix.number += 1
    body = {
        name: str(value) if isinstance(value, Decimal) else value
        for name, field in info.fields.items()
        if name in info.inputs.writable and field.required
        for value in [value_for(field, matrix.number, matrix.records)]
    }
    seen = all(
        any(
            record.id == body.get(name) for record in matrix.readable(matrix.world.app.catalog.of(field.target), caller)
        )
        for name, field in info.references.items()
        if name in body
    )
    would_be = info.cls(owner=caller.id, **body)
    allowed = matrix.holds(info.access.create, would_be, caller)
    answer = await matrix.ask(caller, "POST", info.path, body)
    before = len(matrix.records[info.name])
    await matrix.reload()
    if allowed and seen:
        assert answer.status == 201, answer
        assert len(matrix.records[info.name]) == before + 1
        (made,) = [record for record in matrix.records[info.name] if record.id == answer.json["id"]]
        assert made.owner == caller.id
        matrix.check_shown(info, answer.json, made, caller)
        matrix.check_secrets(info, answer, [made], caller)
    else:
        assert answer.status in ((401,) if caller.id is None else (403,) if seen else (403, 422)), answer
        assert len(matrix.records[info.name]) == before


async def changes(matrix: Matrix, info: ResourceInfo, caller: Person) -> None:
    """PATCH of each field by itself, and PUT of what the caller sees, on each record."""
    for record in matrix.records[info.name]:
        for name in info.inputs.changeable:
            matrix.number += 1
            if name in info.references:
                continue
            value = value_for(info.fields[name], matrix.number, matrix.records)
            body = {name: str(value) if isinstance(value, Decimal) else value}
            await one_change(matrix, info, caller, record.id, "PATCH", body)
        if info.access.read != nobody and matrix.holds(info.access.read, record, caller):
            whole = (await matrix.ask(caller, "GET", f"{info.path}/{record.id}")).json
            body = {name: whole[name] for name in info.inputs.writable if whole.get(name) is not None}
            await one_change(matrix, info, caller, record.id, "PUT", body)


async def one_change(
    matrix: Matrix, info: ResourceInfo, caller: Person, record_id: str, method: str, body: Mapping[str, Any]
) -> None:
    (before,) = [record for record in matrix.records[info.name] if record.id == record_id]
    visible = matrix.holds(info.access.read, before, caller)
    allowed = matrix.holds(info.access.update, before, caller)
    answer = await matrix.ask(caller, method, f"{info.path}/{record_id}", body)
    await matrix.reload()
    (after,) = [record for record in matrix.records[info.name] if record.id == record_id]
    changed = [name for name in info.inputs.writable if getattr(before, name) != getattr(after, name)]
    rules = info.access.write_fields
    for name in changed:
        assert name not in rules or matrix.holds(rules[name], before, caller), name
    if answer.status == 200:
        assert allowed
        assert method == "PATCH" or not changed, "a replacement by what was read changes nothing"
        matrix.check_shown(info, answer.json, after, caller)
        matrix.check_secrets(info, answer, [after], caller)
        return
    assert after == before
    if allowed:
        wrong = [name for name in body if name in rules and not matrix.holds(rules[name], before, caller)]
        later = dict.fromkeys(body)
        assert answer.status == 422, (answer, body)
        assert wrong or any(name in rules for name in later)
    else:
        # An input with fields that are closed to the caller is refused for what it is.
        closed = any(name in rules for name in body)
        assert answer.status in (*refusal(caller, visible), *((422,) if closed else ())), (answer, body)


async def acts(matrix: Matrix, info: ResourceInfo, caller: Person) -> None:
    for name, act in info.actions.items():
        if act.on_collection:
            answer = await matrix.ask(caller, "POST", f"{info.path}/{name}")
            allowed = matrix.holds(info.access.action(name, on_collection=True), None, caller)
            assert answer.status == (200 if allowed else 401 if caller.id is None else 403)
            matrix.check_secrets(info, answer, matrix.readable(info, caller), caller)
            continue
        for record in list(matrix.records[info.name]):
            answer = await matrix.ask(caller, "POST", f"{info.path}/{record.id}/{name}")
            visible = matrix.holds(info.access.read, record, caller)
            rule = info.access.read if act.public else info.access.action(name)
            if matrix.holds(rule, record, caller):
                assert answer.status in (200, 204), answer
                if answer.body:
                    matrix.check_secrets(info, answer, [record], caller)
            else:
                assert answer.status in refusal(caller, visible)
        await matrix.reload()


async def deletes(matrix: Matrix, info: ResourceInfo, caller: Person) -> None:
    for owner in matrix.owners:
        record = await matrix.make(info, owner)
        await matrix.reload()
        visible = matrix.holds(info.access.read, record, caller)
        allowed = matrix.holds(info.access.delete, record, caller)
        answer = await matrix.ask(caller, "DELETE", f"{info.path}/{record.id}")
        await matrix.reload()
        there = any(one.id == record.id for one in matrix.records[info.name])
        if allowed:
            assert (answer.status, there) == (204, False)
        else:
            assert answer.status in refusal(caller, visible)
            assert there


CHECKS: Mapping[str, Check] = {
    "list": lists,
    "masked": masked_fields,
    "get": gets,
    "create": creates,
    "change": changes,
    "act": acts,
    "delete": deletes,
}


@pytest.mark.parametrize("application", APPLICATIONS)
@pytest.mark.parametrize("operation", CHECKS)
async def test_every_caller_gets_what_the_rules_give_and_nothing_else(
    tmp_path: Path, application: str, operation: str
) -> None:
    async with running(tmp_path / "data.db", APPLICATIONS[application]) as world:
        matrix = Matrix(world)
        await matrix.seed()
        await matrix.reload()
        for info in matrix.infos:
            for caller in matrix.callers:
                await CHECKS[operation](matrix, info, caller)
        log = [change.record or b"" for change in await world.logged()]
        for info in matrix.infos:
            for name, field in info.fields.items():
                if field.marks.hidden:
                    assert not any(f"{SECRET}-{name}".encode() in record for record in log)


def test_every_declared_operation_has_a_check() -> None:
    """A new kind of operation cannot be forgotten here."""
    declared = {kind for resources in APPLICATIONS.values() for cls in resources for kind in cls.operations}
    assert declared == {"list", "get", "create", "update", "delete"}
    assert PREFIX == "/api/v1"
