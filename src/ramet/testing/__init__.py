"""For tests of applications: the whole application in this process, on a database of its own, with a clock that obeys.

async def test_strangers_see_nothing() -> None:
    async with Client(app) as client:
        ada, bob = await client.sign_up("ada"), await client.sign_up("bob")
        task = (await ada.post("tasks", {"title": "Mine"})).ok()
        assert (await bob.get(f"tasks/{task['id']}")).status == 404
"""

from ramet.testing.answer import Answer
from ramet.testing.client import PASSWORD, Caller, Client
from ramet.testing.clock import Clock
from ramet.testing.watching import Event, Events

__all__ = ["PASSWORD", "Answer", "Caller", "Client", "Clock", "Event", "Events"]
