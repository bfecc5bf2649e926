"""Every example comes up with its demo data, as its README says, and can be used at once."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path

import pytest

from tests.process.client import connected
from tests.process.harness import ROOT, ramet_serve
from tests.process.people import AUTH

EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/app.py"))
_SIGN_IN = re.compile(r"Sign in as (\S+) with the password (\S+)")


@pytest.mark.parametrize("example", EXAMPLES)
async def test_the_demo_comes_up_and_its_first_page_answers(tmp_path: Path, example: str) -> None:
    app = str(ROOT / "examples" / example / "app.py")
    with ramet_serve(tmp_path, "--demo", app=app) as server:
        async with connected(await asyncio.to_thread(server.port)) as (client,):
            page = await client.ask("GET", "/", headers={"accept": "text/html"})
            assert (page.status, page.header("content-type")) == (200, "text/html; charset=utf-8")
            links = re.findall(r'(?:href|src)="(/[^"#]*)"', page.body.decode())
            assert "/api/docs" in links
            for link in links:
                linked = await client.ask("GET", link, headers={"accept": "*/*"})
                assert linked.status in (200, 401), (link, linked)
            told = _SIGN_IN.search(server.text)
            assert told, server.text
            credentials = {"email": told[1], "password": told[2]}
            signed_in = await client.ask("POST", f"{AUTH}/sign-in", credentials)
            assert signed_in.status == 200, signed_in
            headers = {"authorization": f"Bearer {signed_in.json()['access_token']}"}
            assert (await client.ask("GET", "/api/v1/users/me", headers=headers)).json()["email"] == told[1]
        server.signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.ends) == 0
        assert "Traceback" not in server.text
