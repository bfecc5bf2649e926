"""What Schemathesis is told about an application: who asks, and what no schema can say. Loaded as its hooks.

A schema tells which requests are well formed. It cannot tell which records exist, which cursors were given out, that
`after` and `before` exclude each other, or which passwords are too common. Where a request is meant to be right, these
are put right too, so that its answer counts; requests meant to be wrong are left alone.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from typing import Any

import httpx
import schemathesis

BASE = os.environ["FUZZ_BASE"]
ADMIN = (os.environ["FUZZ_EMAIL"], os.environ["FUZZ_PASSWORD"])
LEAVING = ("leaving@example.org", "cedar-lantern-41")
PASSWORDS = {"password", "current_password", "new_password"}
ENDS_SESSIONS = ("/auth/sign-out", "/auth/change-password")
EVENTS = "/api/v1/events"
NOBODY = "00000000-0000-7000-8000-000000000000"

http = httpx.Client(base_url=BASE, timeout=60)
description: dict[str, Any] = http.get("/api/openapi.json").json()
schemas: dict[str, Any] = description["components"]["schemas"]
numbers = itertools.count(1)
TAGS = re.compile(description["components"]["parameters"]["IfMatch"]["schema"]["pattern"])


def sign_in(account: tuple[str, str]) -> dict[str, Any]:
    """Signs in, registering an account that is not there (any more)."""
    body = {"email": account[0], "password": account[1]}
    answer = http.post("/api/v1/auth/sign-in", json=body)
    if answer.status_code == 401:
        http.post("/api/v1/auth/register", json=body).raise_for_status()
        answer = http.post("/api/v1/auth/sign-in", json=body)
    signed_in: dict[str, Any] = answer.raise_for_status().json()
    return signed_in


ME = sign_in(ADMIN)
KEPT = {"me", ME["user"]["id"], ME["session"]}
http.headers["authorization"] = f"Bearer {ME['access_token']}"


@schemathesis.auth(refresh_interval=None)
class Bearer:
    """The administrator asks; what ends sessions is asked with one of its own."""

    def get(self, case: schemathesis.Case, context: Any) -> str:
        leaving = any(part in case.path for part in ENDS_SESSIONS)
        return str((sign_in(LEAVING) if leaving else ME)["access_token"])

    def set(self, case: schemathesis.Case, data: str, context: Any) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(context: Any, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Puts right what the schema cannot say, and keeps the caller's own account and session from harm."""
    if case.method != "GET" and case.path_parameters.get("id") in KEPT:
        case.path_parameters["id"] = NOBODY
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    if case.path == EVENTS and case.query is not None and (positive or "wait" not in case.query):
        case.query["wait"] = "0"  # a stream without end would never be looked at
    if not positive:
        return
    for name, right in (("If-Match", "*"), ("If-None-Match", '"0"')):
        if name in case.headers and not TAGS.search(str(case.headers[name])):
            case.headers[name] = right  # some headers are made of letters and digits only, whatever their pattern says
    if case.query and ("after" in case.query or "before" in case.query):
        use_real_cursor(case)
    if isinstance(case.body, dict):
        for name, schema, body in inputs(case):
            for key in PASSWORDS & body.keys():
                body[key] = LEAVING[1]
            for key, property_schema in schema["properties"].items():
                target = property_schema.get("x-resource")
                if target and body.get(key) is not None:
                    body[key] = existing(target)
            if name == "MemberCreate" and "email" in body:
                body["email"] = ADMIN[0]  # only users become members
        if case.method == "PUT":
            repeat_fixed(case)


def inputs(case: schemathesis.Case) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each input in a body (several in a batch): the name of its schema, the schema, and the values."""
    if case.path == "/api/v1/batch":
        for part in case.body.get("operations", []):
            if isinstance(part, dict) and isinstance(part.get("body"), dict):
                for path, item in description["paths"].items():
                    if matches(path, str(part.get("path"))):
                        yield from described(item.get(str(part.get("method")).lower(), {}), part["body"])
    else:
        yield from described(description["paths"][case.path][case.method.lower()], case.body)


def described(operation: dict[str, Any], body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    content = operation.get("requestBody", {}).get("content", {})
    for media in content.values():
        name = media["schema"]["$ref"].rpartition("/")[2]
        yield name, schemas[name], body


def repeat_fixed(case: schemathesis.Case) -> None:
    """A replacement repeats what was fixed at creation."""
    operations = description["paths"][case.path]
    whole, changeable = (_body_properties(operations[method]) for method in ("put", "patch"))
    known = http.get(case.formatted_path)
    if known.status_code == 200:
        case.body.update({name: known.json()[name] for name in whole - changeable})


def _body_properties(operation: dict[str, Any]) -> set[str]:
    (found,) = (schema["properties"] for _, schema, _ in described(operation, {}))
    return set(found)


def matches(path: str, address: str) -> bool:
    parts, given = path.split("/"), address.partition("?")[0].split("/")
    return len(parts) == len(given) and all(a in (b, "{id}") for a, b in zip(parts, given, strict=True))


def use_real_cursor(case: schemathesis.Case) -> None:
    """A cursor that the list itself gives in this order, or none."""
    case.query.pop("after", None)
    case.query.pop("before", None)
    order = case.query.get("sort")
    sort = ",".join(order) if isinstance(order, list) else order
    page = http.get(case.path, params={"limit": "1", **({"sort": sort} if sort else {})})
    cursor = page.json().get("next") if page.status_code == 200 else None
    if cursor:
        case.query["after"] = cursor


def existing(resource: str) -> str:
    """The id of a record of a resource, made if there is none."""
    path = next(p for p, item in description["paths"].items() if answers(item.get("get", {}), resource))
    found = http.get(path, params={"limit": "1"}).raise_for_status().json()["items"]
    if found:
        return str(found[0]["id"])
    made = http.post(path, json=minimal(schemas[f"{resource}Create"])).raise_for_status()
    return str(made.json()["id"])


def answers(operation: dict[str, Any], resource: str) -> bool:
    content = operation.get("responses", {}).get("200", {}).get("content", {})
    return any(media["schema"] == {"$ref": f"#/components/schemas/{resource}List"} for media in content.values())


def minimal(schema: dict[str, Any]) -> dict[str, Any]:
    """The required values of a new record."""
    found: dict[str, Any] = {}
    for name in schema.get("required", ()):
        one = schema["properties"][name]
        if "x-resource" in one:
            found[name] = existing(one["x-resource"])
        elif "enum" in one:
            found[name] = one["enum"][0]
        elif one["type"] == "string":
            found[name] = f"n{next(numbers)}"
        else:
            found[name] = max(1, one.get("minimum", 1))
    return found
