"""What is measured, what it must reach, and the data it is measured on. Budgets are those of the design."""

from __future__ import annotations

from dataclasses import dataclass

PASSWORD = "correct horse battery staple"
TASKS_EACH = 50
CALLERS = 20
"""Readers are the first CALLERS people and writers the next, so that creates leave the readers' lists alone."""


@dataclass(frozen=True, slots=True)
class Work:
    """`budget` is the least share of the floor's rate; of POSTGRES_WORKS the least multiple of the peer's, 0 for none.

    `connections` is how many clients ask at once.
    """

    name: str
    title: str
    budget: float
    connections: int

    @property
    def kind(self) -> str:
        """What is asked for, whatever database is behind."""
        return self.name.removeprefix("postgres-")


WORKS = (
    Work("cached-list", "cached list of 20, signed-in caller", 0.60, 32),
    Work("record", "one record, SQLite, not cached", 0.45, 32),
    Work("list", "list of 20, SQLite, not cached", 0.35, 32),
    Work("create", "create, SQLite, synchronous=FULL", 0.25, 64),
)
POSTGRES_WORKS = (
    Work("postgres-record", "one record, PostgreSQL, not cached", 6, 32),
    Work("postgres-list", "list of 20, PostgreSQL, not cached", 6, 32),
    Work("postgres-create", "create, PostgreSQL, durable", 6, 64),
    Work("postgres-cached-list", "cached list of 20, PostgreSQL", 0, 32),
)
MEMORY_BUDGET = 90_000_000
SUBSCRIBER_BUDGET = 15_000
EVENT_BUDGET = 50.0
REVOCATION_BUDGET = 100.0
"""Milliseconds that the 99th percentile may take."""
INSTANCES = (1, 2, 4, 8)
PART = 0.1
"""The share of one core that each instance may use."""
SCALE_BUDGET = 0.9
"""The least share of linear."""
SIGN_INS = 16
NOISE = 0.2
"""The share of one core that other programs may take during a round; it is repeated up to TRIES times beyond that."""
TRIES = 4
SINGLE = (*(work.name for work in WORKS), "sign-ins", "memory")
STREAMS = "subscribers"
MANY = (*(work.name for work in POSTGRES_WORKS), "event-delay", "revocation", "scale-out")
NAMES = (*SINGLE, STREAMS, *MANY)


@dataclass(frozen=True, slots=True)
class Effort:
    """`rounds` of `seconds` for each server and work, after `warm_up` seconds, on the data of `people`.

    `events` and `revocations` are how many of them are timed; `subscribers` are told `told` events.
    """

    rounds: int
    seconds: float
    warm_up: float
    people: int
    events: int
    revocations: int
    subscribers: int
    told: int


FULL = Effort(rounds=7, seconds=2, warm_up=1, people=200, events=1_000, revocations=200, subscribers=2_000, told=20)
QUICK = Effort(rounds=3, seconds=1, warm_up=1, people=40, events=200, revocations=50, subscribers=500, told=10)


@dataclass(frozen=True, slots=True)
class Draft:
    """The input of one create."""

    title: str
    description: str
    status: str
    due_at: str | None

    def document(self) -> dict[str, str | None]:
        return {"title": self.title, "description": self.description, "status": self.status, "due_at": self.due_at}


def email(person: int) -> str:
    return f"person-{person}@example.com"


def draft(person: int, index: int) -> Draft:
    """The `index`-th task of a person: three of five are pending, every other one has a due date."""
    return Draft(
        title=f"Task {index} of person {person}: call the supplier back",
        description=f"They asked about order {person * 1000 + index}; the papers are in the second drawer on the left.",
        status=("pending", "in_progress", "pending", "completed", "pending")[index % 5],
        due_at=f"2031-{index % 12 + 1:02d}-{index % 28 + 1:02d}T09:30:00Z" if index % 2 else None,
    )
