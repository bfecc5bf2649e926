"""The one table of settings: name, type, default, help, secret.

Each is read from `RAMET_<NAME>`; a few also from the name that platforms commonly set. This is the only module
that reads the environment.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from ramet.errors import SettingsError

TICK = 0.001
"""The shortest of the times that cannot be 0."""

_MOST: Mapping[Any, float] = {int: 10**15, float: 1e9}
"""What a number may be whose row does not say it: sizes and seconds that every clock, engine and driver can count."""

_ADDRESS = r"https?://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]\\]+)(:[0-9]{1,5})?(/[^\s?#]*)?"


class Setting(msgspec.Struct, frozen=True):
    """What a setting is for (`help`), whether it is shown (`secret`), and its other common name (`also`).

    A number takes what is from `least` to `most`, a text what has this `form`.
    """

    help: str
    secret: bool = False
    also: str = ""
    least: float = 0
    most: float | None = None
    form: str = ""


_s = Setting


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, checked once at start. Times are seconds and sizes bytes unless the name says otherwise."""

    # A table: one row, one line.
    # fmt: off
    host: Annotated[str, _s("Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, _s("TCP port to listen on; 0 takes a free one.", also="PORT", most=65_535)] = 8000
    workers: Annotated[int, _s("Processes that serve the port.", least=1, most=64)] = 1
    database_url: Annotated[str, _s("Where the data is: sqlite:///PATH or postgresql://HOST/NAME.", secret=True, also="DATABASE_URL")] = (
        "sqlite:///ramet.db"
    )
    replica_urls: Annotated[tuple[str, ...], _s("Replicas of a database server that lists and records may be read from, comma-separated.", secret=True)] = ()
    redis_url: Annotated[str, _s("What instances share besides the database: redis://, rediss:// (TLS), unix://, or redis+cluster://. Empty means nothing.", secret=True, also="REDIS_URL")] = ""
    redis_timeout: Annotated[float, _s("Longest time for one call to Redis.", least=TICK)] = 0.1
    redis_pool: Annotated[int, _s("Connections to Redis that one process keeps.", least=1)] = 16
    demo: Annotated[bool, _s("Fill an empty database with the application's demo data and show its sign-in on the first page.")] = False
    secret: Annotated[str, _s("Key material for cursors and stored keys; made and kept in the database when empty.", secret=True)] = ""
    public_url: Annotated[str, _s("The address users see, when a proxy is in front.", form=_ADDRESS)] = ""
    log_level: Annotated[str, _s("debug, info, warning or error.")] = "info"
    log_format: Annotated[str, _s("json, or text for people.")] = "json"
    access_log: Annotated[bool, _s("One line for each request.")] = True
    slow_query: Annotated[float, _s("Statements slower than this are logged with their plan.")] = 0.1
    trusted_proxies: Annotated[tuple[str, ...], _s("Networks whose forwarded addresses are believed, comma-separated CIDR.")] = ()
    cors_origins: Annotated[tuple[str, ...], _s("Origins that browsers may call from, comma-separated; empty means none.")] = ()
    body_limit: Annotated[int, _s("Largest request body.", least=1)] = 1_048_576
    batch_limit: Annotated[int, _s("Most operations in one batch request.", least=1)] = 100
    page_limit: Annotated[int, _s("Most records in one page.", least=1)] = 100
    request_timeout: Annotated[float, _s("Longest time for one operation.", least=TICK)] = 30.0
    take_turns: Annotated[bool, _s("Whether woken threads wait for the running one (SCHED_BATCH): more requests a second, some ms later beside other load.")] = True
    stop_timeout: Annotated[float, _s("How long a stopping process waits for work in flight.")] = 30.0
    drain_delay: Annotated[float, _s("How long a stopping process still takes requests, each the last of its connection, so that load balancers learn of it; Ctrl-C does not wait.")] = 0.0
    idle_timeout: Annotated[
        float, _s("How long a connection may be idle or send headers; more than the load balancer's own idle time.", least=TICK)
    ] = 75.0
    connection_limit: Annotated[int, _s("Connections one process holds, idle ones included; further ones wait.", least=1)] = 16_384
    in_flight_limit: Annotated[int, _s("Requests in flight beyond which new ones get 503.", least=1)] = 512
    write_queue_limit: Annotated[int, _s("Writes waiting beyond which new ones get 503.", least=1)] = 1024
    write_timeout: Annotated[float, _s("Longest time for one write, its hooks included.", least=TICK)] = 5.0
    read_steps: Annotated[int, _s("SQLite virtual-machine steps one read may take.", least=1)] = 20_000_000
    statement_timeout: Annotated[float, _s("Longest time for one statement on a database server.", least=TICK, most=1_000_000)] = 10.0
    database_pool: Annotated[int, _s("Connections to a database server that one process keeps.", least=1)] = 10
    database_wait: Annotated[float, _s("How long a statement waits for one of them, for a new one to be opened, or on a network that confirms nothing.", least=TICK)] = 5.0
    max_staleness: Annotated[float, _s("Age beyond which a process on a database server answers from no cache until it has seen the change log again.")] = 1.0
    outage_reads: Annotated[float, _s("How long reads go on from replicas and caches while the primary of a database server is down and nothing can be changed.")] = 300.0
    cache_size: Annotated[int, _s("Bytes the near cache may hold.")] = 33_554_432
    shared_answer_size: Annotated[int, _s("Bytes an answer may have that instances share in Redis; 0 shares none.")] = 262_144
    record_cache_size: Annotated[int, _s("Bytes of records' JSON kept for a second, to spare encoding anew what has the same version; 0 keeps nothing.")] = 8_388_608
    follow_interval: Annotated[float, _s("How often a process looks at the change log while nothing else makes it look.", least=TICK)] = 0.05
    changes_retention: Annotated[float, _s("How long the change log is kept.", least=1)] = 86_400.0
    idempotency_retention: Annotated[float, _s("How long an Idempotency-Key is remembered.")] = 86_400.0
    access_token_ttl: Annotated[float, _s("Life of an access token.", least=1)] = 900.0
    refresh_token_ttl: Annotated[float, _s("Life of an unused refresh token.", least=1)] = 2_592_000.0
    refresh_grace: Annotated[float, _s("Time in which a used refresh token still returns its one successor.")] = 10.0
    registration: Annotated[bool, _s("Whether anybody may register.")] = True
    signing_key_period: Annotated[float, _s("How long one key signs access tokens before a new one takes over.", least=1)] = 2_592_000.0
    password_threads: Annotated[int, _s("Threads that hash passwords.", least=1)] = 1
    password_memory: Annotated[int, _s("KiB of memory argon2id takes for one hash.", least=8, most=4_294_967_295)] = 19_456
    limits: Annotated[bool, _s("Whether rate limits are enforced.")] = True
    limit_caller: Annotated[str, _s("Requests for each signed-in caller, as COUNT/SECONDS.")] = "6000/60"
    limit_address: Annotated[str, _s("Requests for each address without a sign-in.")] = "3000/60"
    limit_sign_in: Annotated[str, _s("Sign-ins for each address.")] = "20/60"
    limit_register: Annotated[str, _s("Registrations for each address.")] = "20/3600"
    limit_refresh: Annotated[str, _s("Refreshes for each address.")] = "120/60"
    limit_account: Annotated[str, _s("Failed sign-ins for each account, over all addresses.")] = "10/300"
    stream_limit: Annotated[int, _s("Event streams and WebSockets one process holds; further ones get 503.")] = 10_000
    stream_limit_caller: Annotated[int, _s("Event streams and WebSockets of one caller in one process.", least=1)] = 20
    stream_limit_address: Annotated[int, _s("Event streams and WebSockets of one address in one process.", least=1)] = 200
    stream_buffer: Annotated[int, _s("Bytes sent to a stream that may be on their way; beyond them it is told to reload.", least=1)] = 262_144
    stream_patience: Annotated[float, _s("How long a stream may take nothing of what is on its way, before it is cut off.", least=TICK)] = 30.0
    stream_heartbeat: Annotated[float, _s("How often a stream is sent a sign of life.", least=TICK)] = 20.0
    subscription_limit: Annotated[int, _s("Subscriptions on one WebSocket.", least=1)] = 50
    run_dir: Annotated[str, _s("Folder that the workers of one machine share for limits and metrics; `serve` makes it.")] = ""
    metrics: Annotated[bool, _s("Whether /metrics answers.")] = True
    # fmt: on

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Settings from the environment; `overrides` (from the command line) win. Raises SettingsError, naming every wrong one."""
        source, rows = os.environ if environ is None else environ, table()
        values: dict[str, Any] = {}
        wrong: list[str] = []
        for name, (kind, setting) in rows.items():
            key = f"RAMET_{name.upper()}"
            text = source.get(key, source.get(setting.also) if setting.also else None)
            if text is None or text == "":
                continue
            try:
                values[name] = _parse(text, kind)
            except (ValueError, KeyError):
                shown = "its value" if setting.secret else repr(text)
                wrong.append(f"{key}: {shown} is not {_describe(kind)}. {setting.help}")
        values.update({name: value for name, value in overrides.items() if value is not None})
        for name, (kind, setting) in rows.items():
            if name in values and (fault := _fault(values[name], kind, setting)):
                wrong.append(f"RAMET_{name.upper()}: {fault} {setting.help}")
        if wrong:
            raise SettingsError("\n".join(wrong))
        return cls(**values)


def table() -> dict[str, tuple[Any, Setting]]:
    """Every setting by name, with its type and its row."""
    rows: dict[str, tuple[Any, Setting]] = {}
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        if get_origin(hint) is Annotated:
            kind, setting = get_args(hint)
            rows[name] = (kind, setting)
    return rows


def bounds(kind: Any, setting: Setting) -> tuple[float, float] | None:
    """The least and the most that a setting takes; None when it is no number."""
    most = _MOST.get(kind)
    return None if most is None else (setting.least, most if setting.most is None else setting.most)


def _fault(value: Any, kind: Any, setting: Setting) -> str:
    """What is wrong with a value of the right type, as a sentence; empty when it can be used."""
    found = bounds(kind, setting)
    if found is not None and value < found[0]:
        return f"{value!r} is less than {found[0]:.15g}, the least it takes."
    if found is not None and value > found[1]:
        return f"{value!r} is more than {found[1]:.15g}, the most it takes."
    if setting.form and value and not re.fullmatch(setting.form, value, re.IGNORECASE):
        return f"{value!r} is not an address such as https://app.example.com."
    return ""


def _parse(text: str, kind: Any) -> Any:
    if kind is bool:
        return {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }[text.strip().lower()]
    if get_origin(kind) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is float and not math.isfinite(float(text)):
        raise ValueError(text)
    return kind(text)


def _describe(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return "a comma-separated list"
    return {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, "text")
