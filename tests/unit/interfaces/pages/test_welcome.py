"""The first page says what is there, and nothing that is not for everybody."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
import pytest

from ramet import App, Context, Hidden, Length, Resource, Settings, SignIn, action
from ramet.declare.catalog import Catalog
from ramet.identity.service import RESOURCES
from ramet.interfaces.pages.assets import Page
from ramet.interfaces.pages.welcome import title_of, welcome
from ramet.testing import Client


class Letter(Resource):
    """A <b>letter</b> & its `stamp`."""

    body: Annotated[str, Length(max=20_000)] = ""
    weight: int = 0
    subject: str = ""
    seal: Annotated[str, Hidden] = ""

    @action(reads=True)
    @classmethod
    async def totals(cls, ctx: Context) -> dict[str, int]:
        """Counts."""
        return {"all": await ctx.count(cls)}

    @action(reads=True)
    @classmethod
    async def heavier(cls, ctx: Context, than: int) -> int:
        """Takes an input, so that it is no figure."""
        return await ctx.count(cls, weight__gt=than)


class Drawer(Resource):
    """No interface offers it."""

    operations = ()


READY = SignIn("ann@example.com", 'a "quoted" <secret>', "Also bob@example.com")
app = App(resources=[Letter, Drawer])


def pages(sign_in: SignIn | None = None, **settings: str) -> dict[str, Page]:
    catalog = Catalog((*RESOURCES, Letter, Drawer))
    return welcome(catalog, Settings.read({f"RAMET_{key.upper()}": text for key, text in settings.items()}), sign_in)


async def text_of(page: Page) -> str:
    return (await page(Asked())).body.decode()


class Asked:
    """A request with one header at most."""

    method, path, query, flaw, peer, scheme = "GET", "/", "", None, "127.0.0.1", "http"

    def __init__(self, **headers: str) -> None:
        self.headers = headers

    def header(self, name: str, /) -> str | None:
        return self.headers.get(name.replace("-", "_"))

    async def body(self, limit: int) -> bytes:
        return b""


def facts_in(page: str) -> dict[str, list[dict[str, object]]]:
    found = re.search(r'<script type="application/json" id="facts">(.*)</script>', page)
    assert found is not None
    facts: dict[str, list[dict[str, object]]] = msgspec.json.decode(found[1])
    return facts


async def test_it_names_what_is_offered_and_nothing_else() -> None:
    page = await text_of(pages()["/"])
    facts = facts_in(page)

    assert [resource["href"] for resource in facts["resources"]] == [
        "/api/v1/letters",
        "/api/v1/users",
        "/api/v1/sessions",
    ]
    assert [figure["href"] for figure in facts["figures"]] == ["/api/v1/letters/totals"]
    columns = facts["resources"][0]["columns"]
    assert isinstance(columns, list)
    assert [column["name"] for column in columns] == ["subject", "weight", "created_at"]
    for absent in ("Drawer", "drawers", "seal", "password_hash", "ramet-keys"):
        assert absent not in page
    for link in ("/api/docs", "/api/openapi.json", "/health", "/ready", "/metrics", "/api/v1/letters"):
        assert f'href="{link}"' in page
    assert "{{" not in page


async def test_what_is_switched_off_is_not_offered() -> None:
    page = await text_of(pages(metrics="false", registration="false")["/"])

    assert "/metrics" not in page
    assert facts_in(page)["registration"] is False


async def test_a_sign_in_is_filled_in_only_for_a_demo() -> None:
    plain, demo = await text_of(pages()["/"]), await text_of(pages(READY)["/"])

    assert "ann@example.com" not in plain
    assert 'value="ann@example.com"' in demo
    assert 'value="a &quot;quoted&quot; &lt;secret&gt;"' in demo
    assert "Also bob@example.com" in demo


async def test_declarations_are_text_not_markup() -> None:
    page = await text_of(pages()["/"])

    assert "A &lt;b&gt;letter&lt;/b&gt; &amp; its <code>stamp</code>." in page
    assert "<b>letter" not in page


async def test_it_needs_nothing_but_its_own_files() -> None:
    served = pages()
    page = await text_of(served["/"])

    wanted = set(re.findall(r'(?:src|href)="(/welcome/[^"]+)"', page))
    for path in [path for path in served if path.endswith(".js")]:
        code = await text_of(served[path])
        wanted |= {f"/welcome/{name}" for name in re.findall(r'from "\./([\w.]+)"', code)}
        assert "innerHTML" not in code
    assert wanted == set(served) - {"/"}
    everything = "".join([await text_of(served[path]) for path in served if not path.endswith(".svg")])
    assert "https:" not in everything
    assert not re.search(r"<script(?! type=)|<style|\sstyle=|\son\w+=", page)


@pytest.mark.parametrize("path", ["/", "/welcome/main.js", "/welcome/base.css"])
async def test_unchanged_files_are_not_sent_again(path: str) -> None:
    page = pages()[path]
    first = dict((await page(Asked())).headers)

    again = await page(Asked(if_none_match=first["etag"]))
    coded = await page(Asked(accept_encoding="gzip"))

    assert (again.status, again.body) == (304, b"")
    assert dict(coded.headers)["etag"] != first["etag"]
    assert first["cache-control"] == "no-cache"
    assert first["x-content-type-options"] == "nosniff"


async def test_the_browser_keeps_the_page_to_itself() -> None:
    async with Client(app) as client:
        answer = await client.get("/")
        posted = await client.post("/")

    policy = answer.headers["content-security-policy"]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert posted.status == 405


def test_the_title_comes_from_the_docstring_of_the_application() -> None:
    assert title_of(Catalog(RESOURCES)) == ("Ramet", "")
    assert title_of(app.catalog) == ("Your application", __doc__)
