"""One operation of the description: parameters, body, answers and who may call it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from ramet.declare.actions import ActionInfo
from ramet.declare.catalog import Catalog, ResourceInfo
from ramet.declare.expressions import HasRole, parts_of
from ramet.identity.caller import ANONYMOUS, Caller
from ramet.interfaces.rest.openapi import parameters, responses
from ramet.interfaces.rest.openapi.schemas import Schema, action_input_name, output_schema, ref
from ramet.interfaces.rest.routes import Target
from ramet.operations.authority import Authority

SIGNED_IN: list[dict[str, list[str]]] = [{"bearer": []}, {"cookie": []}]
_VERBS = {
    "list": ("read", "List {path}"),
    "get": ("read", "Get {one}"),
    "create": ("create", "Create {one}"),
    "update": ("update", "Change {one}"),
    "replace": ("update", "Replace {one}"),
    "delete": ("delete", "Delete {one}"),
}
_DETAILS = {
    "list": "A page of the records that the caller may see.",
    "get": "One record, if the caller may see it.",
    "create": "Stores a new record.",
    "update": "Changes the given fields and leaves the others as they are.",
    "replace": "Gives every field a value: what is left out gets its default.",
    "delete": "Deletes the record and what depends on it.",
}


class Operations:
    """Describes targets. Schemas that actions need are added to `shared`."""

    def __init__(self, catalog: Catalog, authority: Authority, page_limit: int, shared: dict[str, Schema]) -> None:
        self._catalog = catalog
        self._authority = authority
        self._page_limit = page_limit
        self._shared = shared

    def describe(self, target: Target) -> dict[str, Any]:
        """The operation object of a target."""
        verb, summary = _VERBS.get(target.kind, ("", _title(target.action)))
        described: dict[str, Any] = {
            "operationId": operation_id(target.name),
            "tags": [target.info.path],
            "summary": summary.format(path=target.info.path.replace("-", " "), one=_one(target.info)),
            "description": _DETAILS.get(target.kind, target.action.doc if target.action is not None else ""),
            "parameters": self._parameters(target),
            "security": self._security(target, verb),
        }
        body = self._body(target)
        if body is not None:
            described["requestBody"] = body
        described["responses"] = {**self._answers(target), **responses.problems(responses.refusals(target))}
        return described

    def _parameters(self, target: Target) -> list[dict[str, Any]]:
        info, kind, action = target.info, target.kind, target.action
        found = [parameters.identifier(info)] if "{id}" in target.path else []
        if kind == "list":
            return [
                *found,
                *parameters.listing(info, self._page_limit, self._closed(info)),
                *map(parameters.header, _READING),
            ]
        if kind == "get":
            return [*found, *parameters.selecting(info), *map(parameters.header, _READING)]
        if action is not None and action.reads:
            return [*found, *parameters.inputs(dict(action.fields)), parameters.header("Position")]
        if "{id}" in target.path:
            required = info.require_match and action is None
            found.append(parameters.REQUIRED_MATCH if required else parameters.header("IfMatch"))
        if action is None or action.transaction:
            found.append(parameters.header("IdempotencyKey"))
        return found

    def _body(self, target: Target) -> dict[str, Any] | None:
        info, action = target.info, target.action
        if target.kind in ("create", "replace", "update"):
            return _json(ref(f"{info.name}{target.kind.title()}"), required=True)
        if action is None or action.reads or not action.fields:
            return None
        required = any(field.required for field in action.fields.values())
        return _json(ref(action_input_name(info, action)), required=required)

    def _answers(self, target: Target) -> dict[str, Any]:
        info, kind, action = target.info, target.kind, target.action
        record = ref(f"{info.name}Record")
        unchanged = responses.done("What you have is current.", also={"ETag": "Etag"})
        changed = {"Ramet-Position": "Position", "Idempotency-Replayed": "Replayed"}
        if kind == "list":
            page = responses.done("A page of records.", ref(f"{info.name}List"), {"ETag": "Etag"})
            return {"200": page, "304": unchanged}
        if kind == "get":
            chosen = {"anyOf": [record, ref(f"{info.name}Selection")]}
            return {"200": responses.done("The record.", chosen, {"ETag": "Etag"}), "304": unchanged}
        if kind == "create":
            made = responses.done("The new record.", record, {**changed, "ETag": "Etag", "Location": "Location"})
            made["links"] = self._links(info)
            return {"201": made}
        if kind in ("update", "replace"):
            return {"200": responses.done("The record as it is now.", record, {**changed, "ETag": "Etag"})}
        if action is None:
            return {"204": responses.done("It is deleted.", also=changed)}
        schema = output_schema(action.output, self._catalog, self._shared)
        changed = {} if action.reads else {**changed, "ETag": "EtagIfAny"}
        if target.path.startswith("/api/v1/auth/"):
            changed["Set-Cookie"] = "Cookies"
        if schema is None:
            return {"204": responses.done("It is done.", also=changed)}
        return {str(action.status): responses.done("What came of it.", schema, changed)}

    def _links(self, info: ResourceInfo) -> dict[str, Any]:
        """What can be done with a record that was just made."""
        kinds = [("get", "get"), ("update", "update"), ("update", "replace"), ("delete", "delete")]
        return {
            kind: {
                "operationId": operation_id(f"{info.path}.{kind}"),
                "parameters": {"id": "$response.body#/id"},
            }
            for needed, kind in kinds
            if needed in info.operations
        }

    def _closed(self, info: ResourceInfo) -> frozenset[str]:
        """The fields that nobody may filter or sort by, whatever role: each record decides who sees them."""
        roles = frozenset(name for rule in info.access.fields.values() for name in _roles(rule))
        somebody = Caller("00000000-0000-7000-8000-000000000000", roles, None, 0.0, math.inf, "bearer")
        return self._authority.permit(info, "read", somebody).closed

    def _security(self, target: Target, verb: str) -> list[dict[str, list[str]]]:
        """Signing in is optional where the rules leave strangers something."""
        info, action = target.info, target.action
        if action is None:
            permit = self._authority.permit(info, verb, ANONYMOUS)
        else:
            permit = self._authority.action(info, action, ANONYMOUS)
        open_to_all = not permit.refused or (action is not None and action.public)
        return [*SIGNED_IN, {}] if open_to_all else SIGNED_IN


_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_READING = ("IfNoneMatch", "Position")


def _roles(rule: Any) -> Iterator[str]:
    if isinstance(rule, HasRole):
        yield from rule.names
    for part in parts_of(rule):
        yield from _roles(part)


def operation_id(name: str) -> str:
    """The name of an operation as an identifier: `users.sign-in` becomes `users_sign_in`."""
    return name.replace(".", "_").replace("-", "_").replace("/", "_")


def _one(info: ResourceInfo) -> str:
    """The resource with its article: `a task`, `an order line`."""
    words = _HUMP.sub(" ", info.name).lower()
    return f"{'an' if words[0] in 'aeio' else 'a'} {words}"


def _title(action: ActionInfo | None) -> str:
    return action.name.replace("_", " ").capitalize() if action is not None else ""


def _json(schema: Schema, required: bool) -> dict[str, Any]:
    return {"required": required, "content": {"application/json": {"schema": schema}}}
