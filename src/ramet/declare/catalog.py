"""Everything declared, checked and indexed: what every other part asks about resources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ramet.declare.actions import ActionInfo, read_actions
from ramet.declare.addresses import Declared, check_addresses
from ramet.declare.checks import check_actions, check_class, check_default, check_names, read_hooks
from ramet.declare.fields.base import Field
from ramet.declare.fields.build import build_field
from ramet.declare.fields.datetime import DateTime
from ramet.declare.fields.integer import Integer
from ramet.declare.fields.reference import Identifier, Reference
from ramet.declare.inputs import Inputs, build_inputs
from ramet.declare.names import nearest, plural_path
from ramet.declare.resource import Hook, Resource
from ramet.declare.rings import check_rings
from ramet.declare.rules import Access
from ramet.declare.source import declared_annotations, misused, refuse
from ramet.declare.stored import Stored, check_columns, check_tables
from ramet.declare.types import Index
from ramet.errors import DeclarationError

BASE_FIELDS = ("id", "owner", "created_at", "updated_at", "version")
RESERVED = frozenset(
    {"limit", "after", "before", "sort", "fields", "expand", "count", "q", "expanded", "access", "cache", "row_id"}
)


class ResourceInfo:
    """One resource as the rest of Ramet sees it. `fields` are in storage order, base fields first."""

    def __init__(self, cls: type[Resource]) -> None:
        self.cls = cls
        self.name = cls.__name__
        self.path = cls.path or plural_path(cls.__name__)
        self.table = self.path.replace("-", "_").replace("/", "_")
        self.access: Access = cls.access
        self.cache = float(cls.cache)
        self.sort = cls.sort
        self.search = tuple(cls.search)
        self.require_match = cls.require_match
        self.operations = frozenset(cls.operations)
        self.indexes: tuple[Index, ...] = tuple(cls.indexes)
        self.fields: dict[str, Field] = {**_base_fields(), **_own_fields(cls)}
        self.references = {name: field for name, field in self.fields.items() if isinstance(field, Reference)}
        self.referenced_by: list[tuple[ResourceInfo, Reference]] = []
        self.actions: dict[str, ActionInfo] = read_actions(cls)
        self.hooks = read_hooks(cls)
        self.inputs: Inputs = build_inputs(self.name, self.fields)
        self.readable = tuple(name for name, field in self.fields.items() if not field.marks.hidden)
        self.doc = (cls.__doc__ or "").strip()

    def hooks_for(self, when: str, moment: str) -> tuple[Hook, ...]:
        return self.hooks.get((when, moment), ())

    def __repr__(self) -> str:
        return f"<resource {self.name}>"


class Catalog:
    """All resources by class name and by address. Raises DeclarationError for a wrong declaration."""

    def __init__(self, classes: Iterable[type[Resource]]) -> None:
        self.by_name: dict[str, ResourceInfo] = {}
        self.by_path: dict[str, ResourceInfo] = {}
        self.by_class: dict[type[Resource], ResourceInfo] = {}
        for cls in classes:
            self._add(cls)
        for info in self.by_name.values():
            self._relate(info)
            check_names(info.cls, info.fields, info.indexes, info.sort, info.search)
            check_actions(info.cls, info.actions, self.by_class)
        check_rings(self)
        check_tables(Stored(info.cls, info.path, info.table, info.search) for info in self)
        check_addresses(Declared(info.cls, info.path, info.operations, info.actions) for info in self)

    def __iter__(self) -> Any:
        return iter(self.by_name.values())

    def of(self, resource: type[Resource] | str) -> ResourceInfo:
        """The resource of a class or class name. Raises DeclarationError when the application does not have it."""
        name = resource if isinstance(resource, str) else resource.__name__
        info = self.by_name.get(name)
        if info is None:
            raise DeclarationError(
                f"{name} is not a resource of this application.{nearest(name, self.by_name)} "
                f"Add it to App(resources=[...])."
            )
        return info

    def _add(self, cls: type[Resource]) -> None:
        given: Any = cls
        if not (isinstance(given, type) and issubclass(given, Resource)):
            shown = f"A record of {type(given).__name__}" if isinstance(given, Resource) else repr(given)
            raise misused(f"{shown} is not a Resource: App(resources=[...]) takes subclasses of ramet.Resource.")
        try:
            check_class(cls, BASE_FIELDS)
            info = ResourceInfo(cls)
        except DeclarationError:
            raise
        except Exception as error:  # whatever a team's class may raise that is looked at
            refuse(cls, "", f"cannot be read ({type(error).__name__}: {error}): mend what it names")
        if info.name in self.by_name:
            refuse(cls, "", f"there are two resources called {info.name}; rename one of them")
        if info.path in self.by_path:
            refuse(cls, "path", f"{self.by_path[info.path].name} has the address '{info.path}' too; set another `path`")
        for other in self.by_name.values():
            if other.table == info.table:
                refuse(cls, "path", f"{other.name} has the table '{info.table}' too; set another `path`")
        self.by_name[info.name] = self.by_path[info.path] = self.by_class[cls] = info

    def _relate(self, info: ResourceInfo) -> None:
        for name, reference in info.references.items():
            target = self.by_name.get(reference.target)
            if target is None:
                refuse(
                    info.cls,
                    name,
                    f"refers to {reference.target}, which is not a resource of this application."
                    f"{nearest(reference.target, self.by_name)} Add it to App(resources=[...])",
                )
            if reference.on_delete == "null" and not reference.optional:
                refuse(info.cls, name, "on_delete='null' needs a field that may be null: write `str | None`")
            target.referenced_by.append((info, reference))


def listed(name: str, given: Any) -> Sequence[Any]:
    """What a team gave as a list. Raises DeclarationError for what is none, such as one class."""
    if isinstance(given, type | str) or not isinstance(given, Iterable):
        raise misused(f"App({name}={getattr(given, '__name__', repr(given))}) is no list: write {name}=[...].")
    return tuple(given)


def _base_fields() -> dict[str, Field]:
    fields: dict[str, Field] = {
        "id": Identifier(),
        "owner": Identifier(),
        "created_at": DateTime(),
        "updated_at": DateTime(),
        "version": Integer(0),
    }
    for name, field in fields.items():
        field.name = name
        field.marks = msgspec.structs.replace(field.marks, read_only=True)
        field.default = None
    fields["owner"].optional = True
    return fields


def _own_fields(cls: type[Resource]) -> dict[str, Field]:
    annotations = declared_annotations(cls)
    defaults = {field.name: field for field in msgspec.structs.fields(cls)}
    check_columns(cls, (*BASE_FIELDS, *(name for name in defaults if name not in BASE_FIELDS)))
    fields: dict[str, Field] = {}
    for name, annotation in annotations.items():
        if name in BASE_FIELDS or name not in defaults:
            continue
        if name in RESERVED or name.startswith("_"):
            refuse(cls, name, "is a name that Ramet uses itself; choose another")
        try:
            field = build_field(annotation)
        except Exception as error:  # a sentence, or whatever an annotation may raise that is looked at
            refuse(cls, name, str(error))
        field.name = name
        declared = defaults[name]
        field.default = declared.default
        if declared.default_factory is not msgspec.NODEFAULT:
            field.default_factory = declared.default_factory
        if field.marks.read_only and field.required and not field.optional:
            refuse(cls, name, "is read-only, so no input can give it: it needs a default")
        if field.marks.hidden and field.required:
            refuse(cls, name, "is hidden, so no input can give it: it needs a default")
        if field.default is None and not field.optional:
            refuse(cls, name, "has the default None but may not be null: write `| None`")
        check_default(cls, field)
        fields[name] = field
    return fields
