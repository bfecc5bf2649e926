"""Opening connections the way Ramet needs them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from ramet.data.postgres.hosts import connect
from ramet.data.postgres.values import decode_moment, encode_moment
from ramet.errors import SettingsError

STATEMENTS = 256
"""Prepared statements that a connection keeps: each takes memory of the server, and callers choose their shapes."""
NAME = "ramet"
TIMELINE = (
    "CASE WHEN pg_is_in_recovery() THEN '' ELSE upper(lpad(to_hex(hashtext("
    "left(pg_walfile_name(pg_current_wal_lsn()), 8) || extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time())"
    ")), 8, '0')) END"
)
"""Names the history of a primary: another one after each fail-over and each crash. Empty on a replica.

After a crash transactions may have numbers that were seen before, of some that came to nothing. The statistics of the
server begin anew then, and go on over a restart; everybody may read since when they have been kept.
"""
SILENCE = 5.0
PATIENCE = 2.0
"""Seconds beyond its time-out after which a statement is given up, though its server has not."""


class Link(msgspec.Struct, eq=False):
    """One open connection and what is known of its other end. `epoch` is that of its pool when it was opened.

    `pooled`: a pooler stands between that gives each transaction any of its connections, so nothing may be left for
    the next one: no prepared statement, no setting, no listening.
    """

    driver: Any
    pooled: bool
    timeline: str
    epoch: int = 0


def address(url: str, *, writes: bool = True) -> str:
    """The address as drivers take it. With `writes` the one of several hosts is chosen that takes them.

    Raises SettingsError for what cannot be an address.
    """
    parts = urlsplit(url)
    if not parts.path.strip("/") or parts.fragment:
        raise SettingsError("RAMET_DATABASE_URL: expected postgresql://USER:PASSWORD@HOST:PORT/NAME.")
    query = dict(parse_qsl(parts.query))
    if writes and "," in parts.netloc:
        query.setdefault("target_session_attrs", "read-write")
    return urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(query), ""))


async def open_link(
    url: str, *, timeout: float, limit: float, silence: float = SILENCE, pooled: bool | None = None
) -> Link:
    """A connection, ready for statements. `timeout` bounds its opening, `limit` each statement, both in seconds.

    It is dead when the network has not confirmed for `silence` seconds what was sent.
    Whether there is a pooler is found out unless `pooled` says it. Raises what the driver raises.
    """
    driver = await connect(
        url,
        silence=silence,
        timeout=timeout,
        command_timeout=limit + (0 if pooled else PATIENCE),
        # A cache would name statements that another transaction's connection does not have.
        statement_cache_size=0 if pooled is not False else STATEMENTS,
        max_cached_statement_lifetime=0,
        server_settings={"application_name": NAME},
    )
    try:
        async with driver.transaction(readonly=True):
            pid, timeline = await driver.fetchrow(f"SELECT pg_backend_pid(), {TIMELINE}")
            await _convert(driver)
        # Whoever answers for a server gives another process number than the server itself.
        found = pid != driver.get_server_pid()
        if pooled is None and not found:
            await driver.close()
            return await open_link(url, timeout=timeout, limit=limit, silence=silence, pooled=False)
        if not found:
            bound = int(limit * 1000)
            await driver.execute(
                f"SET statement_timeout = {bound}; SET idle_in_transaction_session_timeout = {2 * bound}; SET jit = off"
            )
    except BaseException:
        driver.terminate()
        raise
    return Link(driver, found, timeline)


async def _convert(driver: Any) -> None:
    """Values go in and out as `ramet.data.postgres.values` says."""
    await driver.set_type_codec(
        "timestamptz", schema="pg_catalog", format="tuple", encoder=encode_moment, decoder=decode_moment
    )
    for name in ("date", "numeric"):
        await driver.set_type_codec(name, schema="pg_catalog", format="text", encoder=str, decoder=str)
