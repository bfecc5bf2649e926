"""Profiles: the directory of a company. Search it, page through it, and change many entries in one request.

ramet serve examples/profiles/app.py --demo
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

from ramet import (
    Access,
    App,
    Context,
    Email,
    Index,
    Items,
    Length,
    Resource,
    SignIn,
    Unique,
    everyone,
    me,
    role,
    signed_in,
    this,
)

human_resources = role("hr")


class Profile(Resource):
    """Somebody who works here. The public sees names and teams; addresses are for colleagues."""

    name: Annotated[str, Length(1, 100)]
    email: Annotated[Email, Unique]
    team: Annotated[str, Length(1, 60)]
    office: Annotated[str, Length(1, 60)]
    headline: Annotated[str, Length(max=200)] = ""
    skills: Annotated[list[Annotated[str, Length(1, 40)]], Items(20)] = []
    joined_on: date | None = None

    access = Access(
        read=everyone,
        create=human_resources,
        update=(this.owner == me.id) | human_resources,
        delete=human_resources,
        fields={"email": signed_in},
        write_fields={"team": human_resources, "joined_on": human_resources},
    )
    indexes = [Index("name"), Index("team", "name"), Index("office", "name")]
    search = ("name", "headline", "team")
    sort = "name"
    cache = 60


FIRST = ("Aino", "Bilal", "Chiara", "Dmitri", "Eun-ji", "Farah", "Goran", "Hana", "Ines", "Jakob", "Kavya", "Liam")
LAST = ("Almeida", "Berg", "Castillo", "Diallo", "Eriksen", "Fontaine", "Gupta", "Haas", "Ito", "Jansen")
TEAMS = {
    "Platform": ("Keeps the machines calm", "postgres", "linux", "python"),
    "Design": ("Draws before anybody builds", "figma", "research", "prototyping"),
    "Support": ("Answers before you ask", "writing", "patience", "languages"),
    "Finance": ("Knows where it all went", "forecasting", "audit", "spreadsheets"),
    "Sales": ("Listens first", "negotiation", "travel", "languages"),
}
OFFICES = ("Lisbon", "Oslo", "Nairobi", "Osaka")


async def demo(ctx: Context) -> SignIn:
    """A company of 120, entered by its HR department."""
    ready = SignIn("hr@profiles.example", "welcome-aboard-120")
    entering = ctx.as_user(await app.create_user(ready.email, ready.password, roles=["hr"], name="Human Resources"))

    async def store(ctx: Context) -> None:
        for number in range(len(FIRST) * len(LAST)):
            first, last = FIRST[number % len(FIRST)], LAST[number // len(FIRST)]
            team, (headline, *skills) = list(TEAMS.items())[number * 7 % len(TEAMS)]
            profile = Profile(
                name=f"{first} {last}",
                email=f"{first}.{last}@profiles.example".lower(),
                team=team,
                office=OFFICES[number * 3 % len(OFFICES)],
                headline=headline,
                skills=skills[: 1 + number % 3],
                joined_on=date(2015, 1, 5) + timedelta(days=number * 29),
            )
            await ctx.create(profile)

    await entering.atomically(store)
    return ready


app = App(resources=[Profile], demo=demo)
