"""Limits that hold for the sum of all instances: units are leased from a counter they share.

**Leases.** An instance takes units of a caller's budget in advance and hands them out by itself, so that a busy caller
costs no round trip for each request. The shared counter counts a unit when it is leased. Its window is cut into cells,
and a lease ends with the cell it was taken in: a unit is used in the cell in which it is counted, and so comes back one
window after its use at the earliest. Hence no span of the window holds more than the limit, whoever used the units.
What is left of a lease when it ends is given back. How much is leased follows from how much was used, and is at most a
quarter of what is free, so that others find something until the end.

**Strict** policies, such as that of signing in, lease exactly what they use. They do so in the database, which is asked
then anyway: what Redis does is nothing to them.

**Without the shared counter**, because there is none or it does not answer, an instance hands out its share: the limit
divided by the number of instances that live. What it has handed out by leases counts as well. When the shared counter
answers again it is told first what was handed out meanwhile, and nothing is leased for `BACK`, in which all others can
tell theirs; when it has come back empty, all that was used here within the window is counted there.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

from ramet.limits.places import CELLS, Place
from ramet.limits.policy import Decision, Policy
from ramet.limits.table import Table

MOST = 1_024
"""Units in one lease."""
SUBJECTS = 65_536
"""Subjects of one policy that may hold a lease at one time."""
REFUSAL = 100_000_000
"""Nanoseconds for which a refusal is not asked again: others may give back what they did not use."""
BACK = 2_000_000_000
"""Nanoseconds for which nothing is leased after the shared counter has failed."""


class Unleased(Exception):
    """There are no units in hand: whoever wanted `cost` of them is to `obtain` them and to ask again."""

    def __init__(self, counter: LeasedCounter, subject: str, cost: int) -> None:
        super().__init__(subject)
        self._counter = counter
        self._subject = subject
        self._cost = cost

    async def obtain(self) -> None:
        """Gets units, or learns that there are none. Never raises."""
        await self._counter.obtain(self._subject, self._cost)


class Lease:
    """What an instance holds of one subject's budget until `ends`, by its own clock in nanoseconds.

    `asking` is how many questions for it are under way: what they bring belongs to it.
    """

    __slots__ = ("asking", "cell", "ends", "free", "owed", "refused", "reset", "under_way", "units", "waiting", "want")

    def __init__(self) -> None:
        self.cell = self.units = self.free = self.waiting = self.owed = self.asking = 0
        self.ends = self.reset = self.refused = 0
        self.want = 1
        self.under_way: asyncio.Future[None] | None = None


class LeasedCounter:
    """The counter of one policy (see `ramet.limits.counters.Counter`) over all instances.

    `local` counts what is used here; `instances` tells among how many the limit is divided when that is all there is.
    `take` raises Unleased when units have to be fetched first.
    """

    def __init__(
        self,
        policy: Policy,
        local: Table,
        place: Place | None,
        instances: Callable[[], int],
        clock_ns: Callable[[], int],
        *,
        namespace: str = "",
        strict: bool = False,
    ) -> None:
        self.policy = policy
        self._local = local
        self._place = place
        self._instances = instances
        self._clock_ns = clock_ns
        self._namespace = namespace
        self._strict = strict
        self._length = -(-policy.window * 1_000_000 // CELLS)
        self._alone_until = 0
        self._leases: OrderedDict[str, Lease] = OrderedDict()
        self.round_trips = 0

    @property
    def shared(self) -> bool:
        """Whether the shared counter is asked."""
        return self._place is not None and self._place.available and self._clock_ns() >= self._alone_until

    def take(self, subject: str, cost: int, now_ns: int) -> Decision:
        """See `Counter.take`. Raises Unleased."""
        lease = self._leases.get(subject)
        if lease is not None:
            if cost <= lease.units and now_ns < lease.ends:
                lease.units -= cost
                self._local.count(subject, cost, now_ns)
                return Decision(True, lease.free + lease.units, max(0, lease.reset - now_ns))
            if now_ns < lease.refused:
                return Decision(False, lease.free, max(1, lease.reset - now_ns))
        if self.shared:
            raise Unleased(self, subject, cost)
        return self._take_alone(subject, cost, now_ns)

    def charge(self, subject: str, cost: int, now_ns: int) -> Decision:
        """As `take`, where nobody can wait: without a lease by this instance's share alone."""
        try:
            return self.take(subject, cost, now_ns)
        except Unleased:
            return self._take_alone(subject, cost, now_ns)

    def _take_alone(self, subject: str, cost: int, now_ns: int) -> Decision:
        """From this instance's share, to be told to the shared counter when there is one."""
        self._local.divide(self._instances())
        decision = self._local.take(subject, cost, now_ns)
        if self._place is not None:
            if not self._place.available:
                self._alone_until = now_ns + BACK
            if decision.admitted:
                self._lease(subject).owed += cost
        return decision

    async def obtain(self, subject: str, cost: int) -> None:
        """Leases units. Never raises: what fails is handed out as the instance's share."""
        if self._place is None:
            return
        lease = self._lease(subject)
        lease.waiting += cost
        if self._strict:
            await self._take(self._place, subject, lease, cost)
        elif lease.under_way is not None:
            await asyncio.wait([lease.under_way])
        else:
            lease.under_way = asyncio.ensure_future(self._take(self._place, subject, lease, cost))
            try:
                await asyncio.wait([lease.under_way])
            finally:
                lease.under_way = None

    async def _take(self, place: Place, subject: str, lease: Lease, cost: int) -> None:
        lease.asking += 1
        try:
            await self._ask(place, subject, lease, cost)
        finally:
            lease.asking -= 1

    async def _ask(self, place: Place, subject: str, lease: Lease, cost: int) -> None:
        sent = self._clock_ns()
        if cost:
            self._adapt(lease, cost, sent)
            lease.waiting = 0
        self._local.divide(1)
        used = self.policy.quota - self._local.peek(subject, sent).remaining
        owed, lease.owed = lease.owed, 0
        given = (self.policy.count, self._length, cost, lease.want if cost else 0, owed, max(owed, used))
        try:
            self.round_trips += 1
            granted, free, left, reset, cell = await place.take(self._name(subject), *given)
        except place.failure:
            lease.owed += owed
            self._alone_until = self._clock_ns() + BACK
            return
        except BaseException:  # who asked has gone away: what is owed is told by the next
            lease.owed += owed
            raise
        # The cell is counted from before the question was sent: it ends here no later than there.
        ends = sent + left * 1_000
        if lease.cell != cell:
            await self._return(subject, lease)
        lease.cell, lease.ends = cell, ends
        lease.units += granted
        lease.free, lease.reset = free, sent + reset * 1_000
        lease.refused = 0 if granted or not cost else min(self._clock_ns() + REFUSAL, lease.reset)

    def peek(self, subject: str, now_ns: int) -> Decision:
        """See `Counter.peek`: what is known here."""
        lease = self._leases.get(subject)
        if lease is not None and now_ns < lease.ends:
            return Decision(True, lease.free + lease.units, max(0, lease.reset - now_ns))
        return self._local.peek(subject, now_ns)

    def give_back(self, subject: str, now_ns: int) -> None:
        """See `Counter.give_back`: to the lease it was of, if that has not ended."""
        self._local.give_back(subject, now_ns)
        lease = self._leases.get(subject)
        if lease is not None and now_ns < lease.ends:
            lease.units += 1

    async def sweep(self, *, all: bool = False) -> None:
        """Tells what was used alone and gives back what ended leases have left; `all` of them at a stop."""
        now_ns, place = self._clock_ns(), self._place
        if place is None:
            return
        if not place.available:
            self._alone_until = now_ns + BACK
            return
        for subject, lease in list(self._leases.items()):
            if lease.owed:
                await self._take(place, subject, lease, 0)
            if all or lease.ends <= now_ns:
                await self._return(subject, lease)
            if lease.ends + 2_000 * self._length <= now_ns and not lease.owed and not lease.asking:
                self._leases.pop(subject, None)

    def close(self) -> None:
        self._local.close()

    def _lease(self, subject: str) -> Lease:
        lease = self._leases.get(subject)
        if lease is None:
            if len(self._leases) >= SUBJECTS:
                self._leases.popitem(last=False)
            lease = self._leases[subject] = Lease()
        self._leases.move_to_end(subject)
        return lease

    def _adapt(self, lease: Lease, cost: int, now_ns: int) -> None:
        """Who used up a lease before it ended needs more at a time, and who did not less."""
        if self._strict:
            lease.want = cost
        elif lease.units < cost and now_ns < lease.ends:
            lease.want = min(MOST, max(lease.waiting, 2 * lease.want))
        else:
            lease.want = min(MOST, max(lease.waiting, lease.want // 2))

    async def _return(self, subject: str, lease: Lease) -> None:
        units, lease.units = lease.units, 0
        if units and self._place is not None and self._place.available:
            try:
                await self._place.give(self._name(subject), lease.cell, units)
            except self._place.failure:
                return  # they count as used until their cell leaves the window

    def _name(self, subject: str) -> str:
        name = blake2b(subject.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return f"{self._namespace}:{self.policy.name}:{self.policy.window}:{name}"
