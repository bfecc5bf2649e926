"""PrimeTrade: a task desk for a trading team.

Everybody has a profile and tasks of their own; the dashboard counts them. Administrators see and clear everything.

    ramet serve examples/primetrade/app.py --demo
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec

from ramet import (
    Access,
    App,
    Context,
    Index,
    Length,
    Range,
    ReadOnly,
    Resource,
    SignIn,
    Url,
    action,
    before,
    me,
    role,
    signed_in,
    this,
)

Status = Literal["pending", "in_progress", "completed"]
Priority = Literal["low", "medium", "high"]

mine = this.owner == me.id
admin = role("admin")


class Profile(Resource):
    """Who somebody is on the desk: one for each user, for colleagues to read."""

    name: Annotated[str, Length(1, 100)]
    title: Annotated[str, Length(max=100)] = ""
    desk: Annotated[str, Length(max=60)] = ""
    website: Url | None = None

    access = Access(read=signed_in)
    indexes = [Index("owner", unique=True)]


class Dashboard(msgspec.Struct):
    """How much there is to do."""

    total: int
    pending: int
    in_progress: int
    completed: int
    overdue: int
    due_this_week: int
    high_priority: int


class Task(Resource):
    """Something to do, by its owner."""

    title: Annotated[str, Length(1, 200)]
    description: Annotated[str, Length(max=10_000)] = ""
    status: Status = "pending"
    priority: Priority = "medium"
    due_at: datetime | None = None
    completed_at: Annotated[datetime | None, ReadOnly] = None

    access = Access(read=mine | admin, delete=mine | admin)
    indexes = [Index("owner", "status"), Index("owner", "due_at"), Index("owner", "-created_at")]
    search = ("title", "description")
    cache = 300

    @before("create", "update")
    async def remember_completion(self, ctx: Context) -> None:
        """The moment of completion follows the status, however that was changed."""
        if self.status != "completed":
            self.completed_at = None
        elif self.completed_at is None:
            self.completed_at = ctx.now

    @action
    async def complete(self, ctx: Context) -> Task:
        """Marks the task as done."""
        self.status, self.completed_at = "completed", ctx.now
        return self

    @action
    async def postpone(self, ctx: Context, days: Annotated[int, Range(1, 365)] = 1) -> Task:
        """Makes the task due so many days from now."""
        self.due_at = ctx.now + timedelta(days=days)
        return self

    @action(reads=True)
    @classmethod
    async def dashboard(cls, ctx: Context) -> Dashboard:
        """Counts the tasks that the caller may see."""
        by_status = await ctx.count_by(cls, "status")
        return Dashboard(
            total=sum(by_status.values()),
            pending=by_status.get("pending", 0),
            in_progress=by_status.get("in_progress", 0),
            completed=by_status.get("completed", 0),
            overdue=await ctx.count(cls, status__not="completed", due_at__lt=ctx.now),
            due_this_week=await ctx.count(
                cls, status__not="completed", due_at__gte=ctx.now, due_at__lt=ctx.now + timedelta(days=7)
            ),
            high_priority=await ctx.count(cls, status__not="completed", priority="high"),
        )


async def demo(ctx: Context) -> SignIn:
    """A trader with a full desk, a colleague, and an administrator who sees both."""
    ready = SignIn(
        "maya@primetrade.example", "green-candles-7", "An administrator: admin@primetrade.example, same password"
    )
    maya = await app.create_user(ready.email, ready.password, name="Maya Lindqvist")
    omar = await app.create_user("omar@primetrade.example", ready.password, name="Omar Haddad")
    await app.create_user("admin@primetrade.example", ready.password, roles=["admin"], name="Iris Novak")
    people = [(maya, "Senior trader", "Metals"), (omar, "Analyst", "Energy")]
    for user, title, desk in people:
        await ctx.as_user(user).create(Profile(name=user.name, title=title, desk=desk))
    for number, (title, description, status, priority, days) in enumerate(DEMO_TASKS):
        due = None if days is None else (ctx.now + timedelta(days=days)).replace(minute=0, second=0, microsecond=0)
        task = Task(title=title, description=description, status=status, priority=priority, due_at=due)
        await ctx.as_user(omar if number % 4 == 3 else maya).create(task)
    return ready


DEMO_TASKS: list[tuple[str, str, Status, Priority, int | None]] = [
    ("Rebalance the copper book", "Two thirds of the position expire before the roll.", "in_progress", "high", 0),
    ("Sign off the margin call", "The clearing house wants it before noon.", "pending", "high", -1),
    ("Write up the nickel trade", "Entry, exit, and what we would do again.", "pending", "medium", 2),
    ("Compare gas storage reports", "Europe against the five-year average.", "in_progress", "medium", 1),
    ("Review stop levels for silver", "Volatility has doubled since they were set.", "pending", "high", 1),
    ("Renew the market data contract", "Ask for delayed prices on the small venues.", "pending", "low", 21),
    ("Reconcile May statements", "Three fills are missing on the broker's side.", "completed", "medium", -9),
    ("Model a mild winter", "Heating demand one standard deviation low.", "pending", "medium", 6),
    ("Hedge the dollar exposure", "Cover the receivables to the end of the quarter.", "completed", "high", -4),
    ("Read the new position limits", "In force from the first of next month.", "pending", "medium", 12),
    ("Prepare the Monday call", "Five slides, one for each desk.", "in_progress", "medium", 3),
    ("Check tanker rates", "The canal is open again.", "completed", "low", -2),
    ("Back-test the gold spread", "Ten years, weekly, with costs.", "in_progress", "low", 9),
    ("Book travel to the exchange", "", "pending", "low", 30),
    ("Close the idle accounts", "No trades for two years.", "completed", "low", -20),
    ("Collect outage notices", "Refineries on the Gulf coast.", "pending", "high", 4),
    ("Plan the audit week", "Who shows what, and when.", "pending", "medium", None),
]

app = App(resources=[Task, Profile], demo=demo)
