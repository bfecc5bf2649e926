"""Demo data: an empty database is filled once, and keeps the sign-in that goes with it."""

from __future__ import annotations

import msgspec

from ramet.data.store import Store
from ramet.declare.catalog import Catalog
from ramet.declare.demo import Demo, SignIn
from ramet.operations.context import Context

FACT = "demo"


async def fill(context: Context, catalog: Catalog, store: Store, demo: Demo) -> str:
    """Runs `demo` with the system's context if no resource has a record; what to tell, also at later starts."""
    for info in catalog:
        # What no interface offers is Ramet's own, and there from the start.
        if info.operations and await context.count(info.cls):
            sign_in = await ready_sign_in(store)
            return str(sign_in) if sign_in else ""
    told = await demo(context)
    if isinstance(told, SignIn):
        text = msgspec.json.encode(told).decode()
        await store.fact(FACT, lambda: text)
    return str(told or "")


async def ready_sign_in(store: Store) -> SignIn | None:
    """The sign-in that came with the demo data of this database."""
    try:
        return msgspec.json.decode(await store.fact(FACT, _absent), type=SignIn)
    except LookupError:
        return None


def _absent() -> str:
    """In place of a value to keep: nothing is kept where nothing is."""
    raise LookupError
