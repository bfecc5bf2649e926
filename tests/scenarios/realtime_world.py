"""An application whose records come into view and leave it in every way that rules and filters know."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from ramet import Access, App, Hidden, Ref, Resource, everyone, exists, me, owner_only, role, signed_in, that, this
from ramet.testing import Client
from tests import databases, instances

SECRET = "s3cr3t"


class Task(Resource):
    """The owner's alone."""

    title: str = "t"
    status: Literal["pending", "done"] = "pending"
    token: Annotated[str, Hidden] = SECRET
    access = owner_only(also=role("admin"))
    cache = 300


class Page(Resource):
    """Everybody's once it is published, and the owner's before."""

    text: str = "p"
    published: bool = False
    salary: str = SECRET
    access = Access(
        read=(this.owner == me.id) | (this.published == True),  # noqa: E712  # a rule
        fields={"salary": (this.owner == me.id) | role("hr")},
    )


class Team(Resource):
    name: str = "team"
    access = Access(read=signed_in)


class Member(Resource):
    team: Annotated[str, Ref(Team, on_delete="cascade")]
    user: str = ""
    access = Access(read=signed_in, update=signed_in, delete=signed_in)


class Plan(Resource):
    """For the members of its team, who are records of another resource."""

    team: Annotated[str, Ref(Team, on_delete="cascade")]
    text: str = "plan"
    budget: str = SECRET
    access = Access(
        read=(this.owner == me.id) | exists("Member", that.team == this.team, that.user == me.id),
        fields={"budget": (this.owner == me.id) | exists("Member", that.team == this.team, that.user == me.id)},
    )


class Veiled(Resource):
    """What its rule asks for is in no log."""

    open: Annotated[bool, Hidden] = True
    access = Access(read=(this.open == True))  # noqa: E712  # a rule


class Notice(Resource):
    text: str = "n"
    access = Access(read=everyone)


RESOURCES = (Task, Page, Team, Member, Plan, Veiled, Notice)


def make_app() -> App:
    return instances.application(resources=RESOURCES)


def running(folder: Path, **settings: Any) -> Client:
    """The application on the database of the chosen kind that stands for a folder; several share it."""
    return Client(make_app(), database_url=databases.address(folder / "data.db", RESOURCES), **settings)
