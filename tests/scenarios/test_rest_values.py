"""Every field type there and back: what is sent is stored, given back, and found by filters, for any value."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ramet import Digits, Json, Length, Resource, owner_only
from tests.scenarios.core_world import World, person, running

A = person(1)


class Value(Resource):
    text: str = ""
    small: Annotated[str, Length(max=3)] | None = None
    whole: int | None = None
    real: float | None = None
    price: Annotated[Decimal, Digits(18, 4)] | None = None
    whole_price: Annotated[Decimal, Digits(18, 0)] | None = None
    yes: bool | None = None
    day: date | None = None
    at: datetime | None = None
    kind: Literal["a", "b", "ä"] | None = None
    items: list[str] | None = None
    anything: Json = None
    access = owner_only()


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=zones).map(datetime.isoformat)
decimals = st.integers(-(10**18) + 1, 10**18 - 1).map(lambda n: f"{Decimal(n).scaleb(-4):f}")
leaves = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), texts)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "text": texts,
        "small": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3),
        "whole": st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([-(2**63), 2**63 - 1, 0])),
        "real": st.floats(allow_nan=False, allow_infinity=False),
        "price": decimals,
        "whole_price": st.integers(-(10**18) + 1, 10**18 - 1).map(str),
        "yes": st.booleans(),
        "day": st.one_of(st.dates(), st.sampled_from([date(1, 1, 1), date(9999, 12, 31)])).map(date.isoformat),
        "at": MOMENTS,
        "kind": st.sampled_from(["a", "b", "ä"]),
        "items": st.lists(texts, max_size=5),
        "anything": st.recursive(
            leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
        ),
    },
)
SAME: dict[str, Callable[[Any], Any]] = {
    "price": Decimal,
    "whole_price": Decimal,
    "at": lambda text: datetime.fromisoformat(text).astimezone(UTC),
}


def same(name: str, value: Any) -> Any:
    return SAME[name](value) if name in SAME and value is not None else value


async def there_and_back(world: World, records: list[dict[str, Any]]) -> None:
    for sent in records:
        record = await world.create("/values", A, **sent)
        stored = (await world.ask("GET", f"/values/{record['id']}", A)).json
        assert stored == record
        for name in ("text", "small", "whole", "real", "price", "yes", "day", "at", "kind", "items", "anything"):
            expected = sent.get(name, "" if name == "text" else None)
            assert same(name, stored[name]) == same(name, expected), name
        loaded = await world.app.as_system().get(Value, record["id"])
        assert loaded.at is None or loaded.at.tzinfo is not None
        back = {name: stored[name] for name in sent}
        assert (await world.ask("PUT", f"/values/{record['id']}", A, back)).json == {
            **stored,
            "version": 2,
            "updated_at": stored["updated_at"],
        }
        await filters(world, record["id"], sent)


async def filters(world: World, record_id: str, sent: dict[str, Any]) -> None:
    """A record is found by each of its values, and not by asking for others."""
    for name, value in sent.items():
        if name in ("items", "anything") or value is None:
            continue
        text = json.dumps(value) if isinstance(value, bool | float) else str(value)

        async def found(word: str, name: str = name, text: str = text) -> bool:
            query = urlencode({f"{name}{word}": text, "id": record_id})
            answer = await world.ask("GET", f"/values?{query}", A)
            assert answer.status == 200, answer
            return bool(answer.json["items"])

        assert await found("")
        assert not await found("[not]")
        if "," not in text:
            assert await found("[in]")
        if name not in ("yes",):
            assert await found("[lte]")
            assert not await found("[lt]")
        if name == "text" and text:
            assert await found("[contains]")
            assert await found("[starts]")


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(st.lists(RECORDS, min_size=1, max_size=4))
def test_values_come_back_as_they_were_sent(records: list[dict[str, Any]]) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with running(Path(folder) / "data.db", [Value]) as world:
                await there_and_back(world, records)

    asyncio.run(run())


async def test_the_order_of_stored_values_is_that_of_the_values(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Value]) as world:
        rows: dict[str, list[Any]] = {
            "whole": [-(2**63), -1, 0, 5, 10, 2**63 - 1],
            "real": [-1e300, -0.5, 0.0, 1e-300, 2, 1e300],
            "price": ["-99999999999999.9999", "-1", "0.0001", "2", "10", "99999999999999.9999"],
            "day": ["0001-01-01", "0999-12-31", "1000-01-01", "2024-02-29", "2024-03-01", "9999-12-31"],
            "at": [
                "0001-01-03T00:00:00Z",
                "2024-01-01T00:30:00+01:00",
                "2024-01-01T00:00:00Z",
                "2024-01-01T00:00:00.000001Z",
                "2024-01-01T00:00:00-01:00",
                "9999-12-29T00:00:00Z",
            ],
        }
        for number in range(6):
            await world.create(
                "/values", A, text=str(number), **{name: values[number] for name, values in rows.items()}
            )
        for name in rows:
            answer = await world.ask("GET", f"/values?sort={name}", A)
            assert [item["text"] for item in answer.json["items"]] == list("012345"), name


async def test_a_backslash_before_u0000_is_text_and_a_nul_is_refused_wherever_it_hides(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Value]) as world:
        fine = await world.ask("POST", "/values", A, raw=b'{"text": "a\\\\u0000"}')
        assert (fine.status, fine.json["text"]) == (201, "a\\u0000")
        nul = "a\0"
        for body in ({"text": nul}, {"anything": {"deep": [nul]}}, {"anything": {nul: 1}}, {"items": [nul]}):
            answer = await world.ask("POST", "/values", A, body)
            assert (answer.status, answer.code) == (422, "invalid_input")
            assert answer.json["errors"]
            part = {"method": "POST", "path": "/api/v1/values", "body": body}
            assert (await world.ask("POST", "/batch", A, {"operations": [part]})).status == 422
