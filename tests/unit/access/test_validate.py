"""A rule that can't be meant is refused at start, naming file, class, rule and mend."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest

from ramet.access.validate import validate
from ramet.declare.catalog import Catalog
from ramet.declare.resource import Resource, action
from ramet.declare.rules import Access, everyone, exists, me, outer, owner_only, role, that, this
from ramet.declare.types import Digits, Json, Length
from ramet.errors import DeclarationError


class Member(Resource):
    item: str | None = None
    user: str | None = None
    rank: int = 0


class Item(Resource):
    title: Annotated[str, Length(1, 20)] = "x"
    status: Literal["open", "done"] = "open"
    size: int = 0
    weight: float = 0.0
    price: Annotated[Decimal, Digits(6, 2)] | None = None
    fee: Annotated[Decimal, Digits(6, 3)] | None = None
    public: bool = False
    day: date | None = None
    at: datetime | None = None
    tags: list[str] = []
    extra: Json = None

    @action
    async def close(self, ctx: Any) -> None:
        """Closes it."""

    @action
    @classmethod
    async def recount(cls, ctx: Any) -> None:
        """Counts again."""


def check(access: Access) -> None:
    catalog = Catalog([Item, Member])
    info = catalog.of("Item")
    info.access = access
    validate(info, catalog)


MEANT = [
    owner_only(also=role("admin")),
    Access(read=(this.status == "open") | this.status.in_(["open", "done"])),
    Access(read=(this.size < 3) & (this.weight >= 1) & (this.size < this.weight) & (this.weight != 1.5)),
    Access(read=(this.price <= Decimal("1.50")) & (this.fee > Decimal("1.555"))),
    Access(read=(this.day < date(2026, 1, 1)) | (this.at < datetime(2026, 1, 1, tzinfo=UTC)) | this.public),
    Access(read=this.tags.is_null() | ~this.extra.is_null()),
    Access(read=this.title.in_(me.roles) | (this.title == me.id)),
    Access(read=exists("Member", that.item == this.id, that.user == me.id, that.rank > this.size)),
    Access(read=exists("Item", that.id == this.title, exists(Member, that.item == outer.id))),
    Access(fields={"price": role("hr")}, write_fields={"fee": role("hr")}, actions={"close": everyone}),
    Access(actions={"recount": exists("Member", that.user == me.id)}),
]

NOT_MEANT = [
    (Access(read=this.ownr == me.id), r"test_validate.py: Item.access.read: .*no field 'ownr'. Did you mean 'owner'\?"),
    (
        Access(create=this.nothing_like_it == 1),
        r"access.create: .*no field 'nothing_like_it'. Its fields are id, owner",
    ),
    (Access(read=exists("Membr", that.user == me.id)), "Membr is not a resource .* Did you mean 'Member'"),
    (Access(read=exists("Member", that.usr == me.id)), "Member has no field 'usr'. Did you mean 'user'"),
    (Access(read=exists("Member", that.item == this.idd)), "Item has no field 'idd'"),
    (Access(read=that.owner == me.id), "no `that` outside exists; write this.owner"),
    (Access(read=exists("Member", outer.owner == me.id)), "`outer`"),
    (Access(read=this.status == "opne"), "'opne' can never be a value of 'status'"),
    (Access(read=this.status.in_(["open", "dnoe"])), "'dnoe' can never be"),
    (Access(read=this.title == 5), "can never be a value of 'title'"),
    (Access(read=this.title == "x" * 21), "can never be a value of 'title'"),
    (Access(read=this.size == "5"), "can never be a value of 'size'"),
    (Access(read=this.size == 1.0), "can never be a value of 'size'"),
    (Access(read=this.size == True), "can never be a value of 'size'"),  # noqa: E712  # a boolean is no number
    (Access(read=this.size & this.public), "can never be a value of 'size'"),
    (Access(read=this.size < 2**64), "can never be a value of 'size'"),
    (Access(read=this.weight == 2**53 + 1), "can never be a value of 'weight'"),
    (Access(read=this.price < Decimal("1.555")), "digits after the point"),
    (Access(read=this.price < 1), "can never be a value of 'price'"),
    (Access(read=this.price < "1.50"), "can never be a value of 'price'"),
    (Access(read=this.day < datetime(2026, 1, 1, tzinfo=UTC)), "can never be a value of 'day'"),
    (Access(read=this.at < date(2026, 1, 1)), "can never be a value of 'at'"),
    (Access(read=this.public > False), "have no order"),
    (Access(read=this.tags == "a"), "can't compare; use .is_null"),
    (Access(read=this.extra == "a"), "can't compare; use .is_null"),
    (Access(read=this.price == this.fee), "stored differently"),
    (Access(read=this.day == this.at), "stored differently"),
    (Access(read=this.size == me.id), "name a text field"),
    (Access(read=this.size.in_(me.roles)), "name a text field"),
    (Access(fields={"prize": everyone}), r"access.fields: there is no field 'prize'. Did you mean 'price'\?"),
    (Access(write_fields={"prize": everyone}), "access.write_fields: .*'price'"),
    (Access(actions={"clse": everyone}), r"access.actions: there is no action 'clse'. Did you mean 'close'\?"),
    (Access(fields={"id": role("admin")}), "every record shows its id"),
    (Access(fields={"price": this.sie == 1}), r"access.fields\['price'\]: .*'sie'"),
    (Access(write_fields={"price": this.sie == 1}), r"access.write_fields\['price'\]: .*'sie'"),
    (Access(actions={"close": this.sie == 1}), r"access.actions\['close'\]: .*'sie'"),
    (Access(actions={"recount": this.owner == me.id}), "no record to be `this`"),
]


@pytest.mark.parametrize("access", MEANT)
def test_what_can_be_meant_is_taken(access: Access) -> None:
    check(access)


@pytest.mark.parametrize(("access", "mend"), NOT_MEANT)
def test_what_cannot_be_meant_is_refused_with_its_mend(access: Access, mend: str) -> None:
    with pytest.raises(DeclarationError, match=mend):
        check(access)
