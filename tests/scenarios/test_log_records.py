"""What the log tells of a record is what its readers get, whichever statement wrote it."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from ramet import Access, Digits, Hidden, Json, Resource, everyone
from tests.scenarios.core_world import person, running

A = person(1)


class Every(Resource):
    """One field of each kind, and one that nobody sees."""

    text: str
    whole: int = 0
    real: float = 0.0
    exact: Annotated[Decimal, Digits(18, 4)] = Decimal(0)
    yes: bool = False
    day: date | None = None
    moment: datetime | None = None
    listed: list[str] = []
    anything: Json = None
    secret: Annotated[str, Hidden] = "s3cret"

    access = Access(read=everyone, create=everyone, update=everyone)


CHANGES: list[dict[str, Any]] = [
    {"text": 'quote " back \\ slash / line\n tab\t é 日本 \u2028 \U0001f600'},
    {"whole": -(2**53) + 1, "real": 0.1},
    {"real": 1e22},
    {"real": -1.5e-7, "exact": "-12345678901234.5678"},
    {"exact": "0.0000", "yes": True},
    {"day": "0001-01-01", "moment": "9999-12-30T23:59:59.999999Z"},
    {"day": "2026-02-28", "moment": "1969-12-31T23:59:59.5+02:00"},
    {"day": None, "moment": None},
    {"listed": ["a", "", '"'], "anything": {"b": 1, "a": [None, True, 1.50, "x"]}},
    {"anything": "text"},
    {"anything": None, "listed": []},
]


async def test_each_row_of_the_log_is_the_answer_to_its_change(tmp_path: Path) -> None:
    async with running(tmp_path / "data.db", [Every]) as world:
        answers = [await world.ask("POST", "/everies", A, {"text": "new"})]
        path = f"/everies/{answers[0].json['id']}"
        for change in CHANGES:
            answers.append(await world.ask("PATCH", path, A, change))
            assert answers[-1].json == (await world.ask("GET", path, A)).json
        assert {answer.status for answer in answers} == {200, 201}
        logged = [change for change in await world.logged() if change.resource == "Every"]
        assert [json.loads(change.record or b"") for change in logged] == [answer.json for answer in answers]
        assert [change.version for change in logged] == list(range(1, len(CHANGES) + 2))
        assert [change.kind for change in logged] == ["created", *["updated"] * len(CHANGES)]
        assert {(change.record_id, change.owner) for change in logged} == {(answers[0].json["id"], A.id)}
        assert b"s3cret" not in b"".join(change.record or b"" for change in logged)
