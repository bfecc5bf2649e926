"""Who may ask how much: every signed-in caller, every address, and the few operations that are dear or delicate."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

from ramet.errors import Problem
from ramet.limits.counters import Counter, Counters
from ramet.limits.leases import Unleased
from ramet.limits.policy import Allowance, Decision, Policy, whole_seconds
from ramet.observe import LimitRefused, Observer
from ramet.settings import Settings

ROUTE_CLASSES = ("general", "sign_in", "register", "refresh")
STRICT = frozenset({"sign_in", "register", "refresh", "account"})
"""Policies that are counted where all instances see it, one by one."""
ATTEMPTS = 16
"""Times that units are fetched for one request, which others may take first."""
P = ParamSpec("P")
T = TypeVar("T")
UNLIMITED = Allowance(None, None)

# Any use within the window marks the pair as known; its count means nothing.
_KNOWN = Policy("known", 60_000, 30 * 86_400)


def policies_of(settings: Settings) -> dict[str, Policy]:
    """Every limit by its name. Raises SettingsError for one that can't be read."""
    return {
        "caller": Policy.parse("caller", settings.limit_caller),
        "address": Policy.parse("address", settings.limit_address),
        "sign_in": Policy.parse("sign_in", settings.limit_sign_in),
        "register": Policy.parse("register", settings.limit_register),
        "refresh": Policy.parse("refresh", settings.limit_refresh),
        "account": Policy.parse("account", settings.limit_account),
    }


class Limiter:
    """The rate limits of one process, or of all that share its counters. For the event loop's thread.

    `settings` gives each limit as COUNT/SECONDS and says whether any is enforced; `clock_ns` is monotonic and the same
    for all who share the counters. Raises SettingsError for a limit that can't be read, OSError from the counters.
    """

    def __init__(self, settings: Settings, counters: Counters, clock_ns: Callable[[], int], observer: Observer) -> None:
        policies = policies_of(settings)
        self._enforced = settings.limits
        self._clock_ns = clock_ns
        self._observer = observer
        self._counters: dict[str, Counter] = {}
        if self._enforced:
            self._counters = {name: counters.open(policy, strict=name in STRICT) for name, policy in policies.items()}
            self._counters["known"] = counters.open_here(_KNOWN)
            self._caller, self._address = self._counters["caller"], self._counters["address"]
            self._account, self._known = self._counters["account"], self._counters["known"]
            self._strict = {name: self._counters.get(name) for name in ROUTE_CLASSES}

    def check(self, route_class: str, caller_id: str | None, address: str, cost: int = 1) -> Allowance:
        """Count one request of `route_class`; raises Problem `rate_limited`, with the headers to send.

        Raises Unleased, having counted nothing, when units are to be fetched first.

        A signed-in caller (`caller_id`) is counted by itself, others by `address`, each `cost` units. A strict class
        (all but general) is counted once for the address as well, first, and is what the allowance then tells of.
        """
        if not self._enforced:
            return UNLIMITED
        now_ns = self._clock_ns()
        strict = self._strict[route_class]
        allowance = None
        if strict is not None:
            decision = strict.take(address, 1, now_ns)
            if not decision.admitted:
                self._refuse(strict.policy, decision, address)
            allowance = Allowance(strict.policy, decision)
        if caller_id is not None:
            counter, subject = self._caller, caller_id
        else:
            counter, subject = self._address, address
        try:
            decision = counter.take(subject, cost, now_ns)
        except Unleased:
            if strict is not None:
                strict.give_back(address, now_ns)
            raise
        if not decision.admitted:
            self._refuse(counter.policy, decision, address)
        return allowance or Allowance(counter.policy, decision)

    def charge(self, caller_id: str | None, address: str) -> None:
        """Count what cannot be understood, where nobody can wait. Raises Problem `rate_limited`."""
        if self._enforced:
            counter, subject = (self._address, address) if caller_id is None else (self._caller, caller_id)
            decision = counter.charge(subject, 1, self._clock_ns())
            if not decision.admitted:
                self._refuse(counter.policy, decision, address)

    async def obtain(self, check: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """What `check` gives, once there are units for it. Raises what it raises, and Problem `overloaded`."""
        for _ in range(ATTEMPTS):
            try:
                return check(*given, **named)
            except Unleased as need:
                await need.obtain()
        raise Problem("overloaded", "Too many requests at once for one limit.", retry_after=1)

    def uncount(self, caller_id: str | None, address: str) -> None:
        """Takes back what a general `check` has just counted: whoever carries on counts the request again."""
        if self._enforced:
            counter, subject = (self._address, address) if caller_id is None else (self._caller, caller_id)
            counter.give_back(subject, self._clock_ns())

    async def check_account(self, account: str, address: str) -> None:
        """Count a sign-in to `account` (its normalised e-mail, existing or not) that is about to be verified.

        Raises Problem `rate_limited` when too many have failed, from wherever. Counting before the password is looked
        at bounds guesses that are made all at once; `succeeded` takes the count back, so that only failures remain. An
        address from which the owner has signed in within 30 days is counted apart, so that strangers who keep
        guessing do not lock the owner out.
        """
        if self._enforced:
            guesser = self._guesser(account, address, self._clock_ns())
            decision = await self.obtain(lambda: self._account.take(guesser, 1, self._clock_ns()))
            if not decision.admitted:
                self._refuse(self._account.policy, decision, address)

    def succeeded(self, account: str, address: str) -> None:
        """The sign-in counted by `check_account` was right: it no longer counts, and the address is known."""
        if self._enforced:
            now_ns = self._clock_ns()
            self._account.give_back(self._guesser(account, address, now_ns), now_ns)
            self._known.take(_pair(account, address), 1, now_ns)

    def blocked(self, account: str, address: str) -> int:
        """Whole seconds for which `check_account` would refuse; 0 when it would not. Counts nothing."""
        if not self._enforced:
            return 0
        now_ns = self._clock_ns()
        decision = self._account.peek(self._guesser(account, address, now_ns), now_ns)
        return 0 if decision.remaining > 0 else whole_seconds(decision.reset_ns)

    def close(self) -> None:
        for counter in self._counters.values():
            counter.close()

    def _guesser(self, account: str, address: str, now_ns: int) -> str:
        pair = _pair(account, address)
        used = self._known.peek(pair, now_ns).remaining < _KNOWN.quota
        return pair if used else account

    def _refuse(self, policy: Policy, decision: Decision, address: str) -> NoReturn:
        if self._observer.wants(LimitRefused):
            self._observer.emit(LimitRefused(policy.name, address))
        raise Problem(
            "rate_limited",
            f"More than {policy.count} in {policy.window} s (limit `{policy.name}`).",
            retry_after=max(1, whole_seconds(decision.reset_ns)),
            headers=Allowance(policy, decision).headers(),
        )


def _pair(account: str, address: str) -> str:
    return f"{address} {account}"  # an address has no space, so no two pairs read alike
