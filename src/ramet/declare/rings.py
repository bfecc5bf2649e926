"""Resources that refer to each other in a ring, so that no record of any of them could be the first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from ramet.declare.fields.reference import Reference
from ramet.declare.resource import Hook, Resource
from ramet.declare.source import refuse


class Referring(Protocol):
    """A resource, as far as it refers to others."""

    name: str
    cls: type[Resource]
    references: Mapping[str, Reference]

    def hooks_for(self, when: str, moment: str) -> tuple[Hook, ...]: ...


def check_rings(resources: Iterable[Referring]) -> None:
    """Refuses rings of references none of which may be null. A record that refers to itself needs a hook to do so."""
    known = {resource.name: resource for resource in resources}
    for resource in known.values():
        for field, reference in resource.references.items():
            ring = [] if reference.optional else _way(known, reference.target, resource.name)
            if not ring or (len(ring) == 1 and resource.hooks_for("before", "create")):
                continue
            way = " -> ".join((resource.name, *ring))
            refuse(
                resource.cls,
                field,
                f"is part of the ring {way}, in which every record needs another one first, so that none could ever be "
                "made: write `str | None` for one of these references",
            )


def _way(known: Mapping[str, Referring], start: str, goal: str) -> list[str]:
    """The shortest way from `start` to `goal` along references that may not be null; empty if there is none."""
    ways = {start: [start]}
    waiting = [start]
    for name in waiting:
        if name == goal:
            return ways[name]
        for reference in known[name].references.values():
            if not reference.optional and reference.target not in ways:
                ways[reference.target] = [*ways[name], reference.target]
                waiting.append(reference.target)
    return []
