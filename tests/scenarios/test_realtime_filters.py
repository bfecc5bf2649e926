"""The filters of a subscription mean in Python what those of a list mean in SQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ramet import App, Digits, Resource, owner_only
from ramet.operations.watching.filters import Filters
from ramet.operations.watching.logged import Logged, LoggedShape
from ramet.testing import Caller, Client

FOLDED = ["Straße", "STRASSE", "strasse", "\u017f", "İ", "i\u0307", "ß"]
TEXTS = ["", "a", "A", "ab", *FOLDED, "é", "e\u0301", "\U0001f33f", "a%_b", "Ω"]
NUMBERS = [-5, -1, 0, 1, 2, 2**40]
REALS = [-1.5, -0.0, 0.0, 0.1, 1.0, 1e300]
AMOUNTS = ["-1.00", "0.00", "0.01", "1.005", "1.00", "1.01", "99.99"]
DAYS = ["1999-12-31", "2024-02-29", "2026-01-01"]
MOMENTS = ["2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000001Z", "2024-02-29T01:00:00+01:00", "2026-01-01T00:00:00Z"]
VALUES: dict[str, list[Any]] = {
    "text": TEXTS,
    "kind": ["red", "green"],
    "number": NUMBERS,
    "real": REALS,
    "flag": ["true", "false"],
    "amount": AMOUNTS,
    "day": DAYS,
    "moment": MOMENTS,
}
WORDS = ["", "[not]", "[lt]", "[lte]", "[gt]", "[gte]", "[in]", "[contains]", "[starts]", "[is]"]


class Thing(Resource):
    """A field of each kind that lists can be filtered by; all may be null."""

    text: str | None = None
    kind: Literal["red", "green"] | None = None
    number: int | None = None
    real: float | None = None
    flag: bool | None = None
    amount: Annotated[Decimal, Digits(8, 2)] | None = None
    day: date | None = None
    moment: datetime | None = None
    data: list[str] | None = None

    access = owner_only()


def things() -> list[Thing]:
    made = [Thing(), Thing(data=[])]
    made += [Thing(text=text) for text in TEXTS]
    made += [Thing(number=number, kind="red") for number in NUMBERS]
    made += [Thing(real=real, flag=real > 0) for real in REALS]
    made += [Thing(amount=Decimal(amount).quantize(Decimal("0.01")), kind="green") for amount in AMOUNTS]
    made += [Thing(day=date.fromisoformat(day)) for day in DAYS]
    made += [Thing(moment=datetime.fromisoformat(moment).astimezone(UTC)) for moment in MOMENTS]
    return made


@st.composite
def parameters(draw: st.DrawFn) -> dict[str, str]:
    chosen = {}
    for _ in range(draw(st.integers(1, 2))):
        field = draw(st.sampled_from([*VALUES, "data"]))
        word = "[is]" if field == "data" else draw(st.sampled_from(WORDS))
        if word == "[is]":
            value = draw(st.sampled_from(["null", "not_null"]))
        elif word == "[in]":
            value = ",".join(map(str, draw(st.lists(st.sampled_from(VALUES[field]), min_size=1, max_size=3))))
        else:
            value = str(draw(st.sampled_from(VALUES[field])))
        chosen[field + word] = value
    return chosen


def test_filters_in_python_and_in_sql_agree() -> None:
    with asyncio.Runner() as runner:
        client = Client(App(resources=[Thing]))
        runner.run(client.__aenter__())
        try:
            ada = runner.run(client.sign_up("ada"))
            runner.run(store(client, ada))
            tried = compare(runner, client, ada)
        finally:
            runner.run(client.__aexit__(None, None, None))
    assert tried["agreed"] > 100
    assert tried["found"] > 50, "most filters found nothing"


async def store(client: Client, owner: Caller) -> None:
    for thing in things():
        thing.owner = owner.id
        await client.system.create(thing)


def compare(runner: asyncio.Runner, client: Client, ada: Caller) -> dict[str, int]:
    info = client.app.catalog.by_path["things"]
    codec = client.app.core.reads["Thing"].codec
    shape = LoggedShape(info, codec)
    all_things = runner.run(ada.get("things", {"limit": 100})).items
    logged = {record["id"]: Logged(msgspec.json.encode(record), shape) for record in all_things}
    tried = {"agreed": 0, "found": 0}

    @settings(max_examples=400)
    @given(parameters())
    def agree(chosen: dict[str, str]) -> None:
        listed = runner.run(ada.get("things", {**chosen, "limit": 100}))
        if listed.status == 400:
            return  # not a filter of this field
        query = client.app.realtime.asking.read(urlencode({"resource": "things", **chosen})).query
        filters = Filters(query.filters, codec)
        admitted = {record_id for record_id, record in logged.items() if filters.admit(record)}
        assert admitted == {record["id"] for record in listed.items}
        tried["agreed"] += 1
        tried["found"] += bool(admitted)

    agree()
    return tried
