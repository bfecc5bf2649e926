"""The subject: the Task of the design, and the same without a cache for what is measured uncached."""

from datetime import datetime
from typing import Annotated, Literal

from ramet import App, Index, Length, Resource, owner_only


class Task(Resource):
    title: Annotated[str, Length(1, 200)]
    description: Annotated[str, Length(max=10_000)] = ""
    status: Literal["pending", "in_progress", "completed"] = "pending"
    due_at: datetime | None = None

    access = owner_only()
    indexes = [Index("owner", "status"), Index("owner", "-created_at")]
    cache = 300


class PlainTask(Resource):
    title: Annotated[str, Length(1, 200)]
    description: Annotated[str, Length(max=10_000)] = ""
    status: Literal["pending", "in_progress", "completed"] = "pending"
    due_at: datetime | None = None

    access = owner_only()
    indexes = [Index("owner", "status"), Index("owner", "-created_at")]
    cache = 0


app = App(resources=[Task, PlainTask])
