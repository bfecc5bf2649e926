"""The first page, `/`: what an application offers, made from its catalog."""

from __future__ import annotations

import inspect
import re
import sys
from functools import partial
from html import escape
from typing import Any

import msgspec

from ramet.declare.actions import ActionInfo
from ramet.declare.addresses import address_of
from ramet.declare.catalog import BASE_FIELDS, Catalog, ResourceInfo
from ramet.declare.demo import SignIn
from ramet.declare.fields.base import Field
from ramet.declare.fields.text import Text
from ramet.identity.service import RESOURCES
from ramet.interfaces.pages.assets import HTML, PAGE_HEADERS, Content, Page, asset, assets
from ramet.interfaces.rest.routes import PREFIX
from ramet.settings import Settings

HOME = "/"
_FOLDER = "welcome_assets"
_FILES = "/welcome"
_COLUMNS = 5
_LEADING = ("title", "name", "headline", "subject", "email")
"""Fields that tell a record from others at a glance; the first of these that there is comes first."""
_LONG_TEXT = 1_000


def welcome(catalog: Catalog, settings: Settings, sign_in: SignIn | None) -> dict[str, Page]:
    """The page and its files by address. With `sign_in` it is filled in, ready to be sent."""
    make = partial(_render, catalog, settings, sign_in)
    return {HOME: Content(make, HTML, PAGE_HEADERS), **assets(_FOLDER, _FILES)}


def title_of(catalog: Catalog) -> tuple[str, str]:
    """The application's name and what it is, from the docstring of its module: `Name: what it is.`"""
    for info in catalog:
        if info.cls not in RESOURCES:
            module = sys.modules.get(info.cls.__module__)
            line = _first_line(inspect.getdoc(module) or "") if module else ""
            name, colon, rest = line.partition(": ")
            if colon and len(name) <= 40:
                return name, rest[:1].upper() + rest[1:]
            return "Your application", line
    return "Ramet", ""


def _render(catalog: Catalog, settings: Settings, sign_in: SignIn | None) -> bytes:
    name, about = title_of(catalog)
    own = [info for info in catalog if info.operations and info.cls not in RESOURCES]
    shown = own + [info for info in catalog if info.operations and info.cls in RESOURCES]
    facts = {
        "registration": settings.registration,
        "demo": sign_in is not None,
        "resources": [_describe(info) for info in shown if "list" in info.operations],
        "figures": [_figure(info, action) for info in shown for action in info.actions.values() if _is_figure(action)],
    }
    slots = {
        "name": escape(name),
        "about": escape(about),
        "email": escape(sign_in.email if sign_in else ""),
        "password": escape(sign_in.password if sign_in else ""),
        "note": escape(sign_in.note if sign_in else ""),
        "example_email": escape(sign_in.email if sign_in else "you@example.com"),
        "example_password": escape(sign_in.password if sign_in else "a long password"),
        "example_path": f"{PREFIX}/{shown[0].path}",
        "cards": "\n".join(map(_card, shown)),
        "metrics": '<a href="/metrics">Metrics</a>' if settings.metrics else "",
        "facts": msgspec.json.encode(facts).decode().replace("<", "\\u003c"),
    }
    page = asset(_FOLDER, "index.html").decode()
    for slot, text in slots.items():
        page = page.replace("{{" + slot + "}}", text)
    return page.encode()


def _describe(info: ResourceInfo) -> dict[str, Any]:
    """What the page needs to show a list."""
    return {
        "name": info.name,
        "label": _words(info.path),
        "href": f"{PREFIX}/{info.path}",
        "builtin": info.cls in RESOURCES,
        "columns": [{"name": field.name, "kind": field.kind, "label": _words(field.name)} for field in _columns(info)],
    }


def _columns(info: ResourceInfo) -> list[Field]:
    """The fields that a table shows: short ones, what names a record first, and when it was made."""
    own = [
        field
        for name, field in info.fields.items()
        if name not in BASE_FIELDS and not field.marks.hidden and not _long(field)
    ]
    own.sort(key=lambda field: _LEADING.index(field.name) if field.name in _LEADING else len(_LEADING))
    return [*own[:_COLUMNS], info.fields["created_at"]]


def _long(field: Field) -> bool:
    return field.kind in ("json", "reference") or (isinstance(field, Text) and field.max > _LONG_TEXT)


def _is_figure(action: ActionInfo) -> bool:
    return action.reads and action.on_collection and not any(field.required for field in action.fields.values())


def _figure(info: ResourceInfo, action: ActionInfo) -> dict[str, str]:
    path = address_of(info.path, action)
    return {"label": _words(action.name), "href": PREFIX + path, "about": _first_line(action.doc)}


def _card(info: ResourceInfo) -> str:
    """A resource as people see it: what it is, where its list is, what can be done with it."""
    path = f"{PREFIX}/{info.path}"
    verbs = [verb for verb in ("list", "get", "create", "update", "delete") if verb in info.operations]
    chips = "".join(f"<li>{verb}</li>" for verb in verbs)
    chips += "".join(f'<li class="action">{_words(name).lower()}</li>' for name in info.actions)
    link = (
        f'<a class="path" href="{path}">{path}</a>'
        if "list" in info.operations
        else f'<code class="path">{path}</code>'
    )
    return (
        f'<article class="card{" builtin" if info.cls in RESOURCES else ""}">\n'
        f"<h3>{_words(info.path)}</h3>\n<p>{_with_code(escape(_first_line(info.doc)))}</p>\n{link}\n"
        f'<ul class="chips">{chips}</ul>\n</article>'
    )


def _words(name: str) -> str:
    text = name.replace("_", " ").replace("-", " ").replace("/", " ")
    return text[:1].upper() + text[1:]


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _with_code(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
