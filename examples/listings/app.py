"""Listings: homes for sale. Everybody reads, agents write.

The demo data are real: 932 sales around Sacramento, see data/README.md.

    ramet serve examples/listings/app.py --demo
"""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ramet import App, Context, Digits, Help, Index, Length, Pattern, Range, Resource, SignIn, before, public_read, role

SALES = Path(__file__).parent / "data" / "sacramento.csv"

agent = role("agent")


class Listing(Resource):
    """A home, as an agent offers it."""

    city: Annotated[str, Length(1, 80)]
    zip: Annotated[str, Pattern(r"\d{5}")]
    price: Annotated[int, Range(1, 1_000_000_000), Help("US dollars.")]
    size: Annotated[int, Range(1, 1_000_000), Help("Square feet.")]
    headline: Annotated[str, Length(max=120)] = ""
    description: Annotated[str, Length(max=5_000)] = ""
    kind: Literal["house", "condo", "multi_family"] = "house"
    beds: Annotated[int, Range(0, 100)] = 0
    baths: Annotated[Decimal, Digits(4, 1), Range(0, 100)] = Decimal(0)
    latitude: Annotated[float, Range(-90, 90)] | None = None
    longitude: Annotated[float, Range(-180, 180)] | None = None
    remarks: Annotated[str, Length(max=2_000), Help("For agents only, such as where the keys are.")] = ""

    access = public_read(write=agent, fields={"remarks": agent})
    indexes = [Index("city", "price"), Index("price"), Index("size"), Index("-created_at")]
    search = ("headline", "description", "city")
    cache = 300

    @before("create")
    async def write_headline(self, ctx: Context) -> None:
        """A listing without a headline gets one that says what it is."""
        if not self.headline:
            kind = self.kind.replace("multi_family", "multi-family home")
            self.headline = f"{self.beds}-bedroom {kind} in {self.city}"


def read_sales(path: Path = SALES) -> list[Listing]:
    """The table as listings: a resource is a Struct, so msgspec turns the texts of a CSV row into its types."""
    with path.open(newline="", encoding="utf-8") as file:
        return [msgspec.convert(row, Listing, strict=False) for row in csv.DictReader(file)]


async def demo(ctx: Context) -> SignIn:
    """The sales of the table, all in one transaction, offered by one agent."""
    ready = SignIn("nora@listings.example", "open-house-sunday")
    nora = await app.create_user(ready.email, ready.password, roles=["agent"], name="Nora Vance")

    async def store(ctx: Context) -> None:
        for listing in read_sales():
            await ctx.create(listing)

    await ctx.as_user(nora).atomically(store)
    return ready


app = App(resources=[Listing], demo=demo)
