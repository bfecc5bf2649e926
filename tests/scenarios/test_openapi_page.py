"""The reference page: its own files only, held to them by its policy, and every anchor that problems point to."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ramet.interfaces.pages import reference

from .bad_input_world import Call, World, in_process

ASSETS = Path(reference.__file__).with_name("reference_assets")
FOREIGN = re.compile(r"(?:https?:)?//(?!www\.w3\.org/|example\.org/)[\w.-]+\.\w+")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with in_process(tmp_path) as world:
        yield world


async def test_the_page_may_load_its_own_files_only(world: World) -> None:
    page = await world.send(Call("GET", "/api/docs"), "")
    policy = dict(part.strip().partition(" ")[::2] for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in page.headers["content-security-policy"]
    assert policy["frame-ancestors"] == "'none'"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert " style=" not in page.text
    assert not re.search(r"<script(?! type=\"module\" src=)", page.text)


async def test_everything_the_page_names_is_served(world: World) -> None:
    page = await world.send(Call("GET", "/api/docs"), "")
    named = set(re.findall(r'(?:href|src)="(docs/[^"]+)"', page.text))
    named |= {
        f"docs/{name}" for file in ASSETS.glob("*.js") for name in re.findall(r'from "\./([^"]+)"', file.read_text())
    }
    assert {name.partition("/")[2] for name in named} == {file.name for file in ASSETS.iterdir()} - {"index.html"}
    for name in sorted(named):
        answer = await world.send(Call("GET", f"/api/{name}"), "")
        again = await world.send(Call("GET", f"/api/{name}", headers={"if-none-match": answer.headers["etag"]}), "")
        assert (answer.status_code, again.status_code) == (200, 304), name
        assert answer.headers["content-type"].split(";")[0] in ("text/css", "text/javascript", "image/svg+xml")


def test_no_file_asks_anybody_else() -> None:
    for file in ASSETS.iterdir():
        assert FOREIGN.findall(file.read_text()) == [], file.name


def test_problems_point_to_rows_that_the_page_makes() -> None:
    assert "`error-${error.code}`" in (ASSETS / "errors.js").read_text()


async def test_nothing_beside_the_assets_is_served(world: World) -> None:
    for name in ("index.html", "reference.py", "__init__.py", "../reference.py", "main.js/x", "MAIN.JS"):
        assert (await world.send(Call("GET", f"/api/docs/{name}"), "")).status_code == 404
