"""The whole configuration of an nginx in front of instances, consistent with the settings these run with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from ramet.errors import SettingsError
from ramet.settings import Settings
from ramet.topology.nginx.front import Front, listening
from ramet.topology.nginx.problems import error_pages, locations

CONNECTIONS = 16_384
"""Connections of one worker process of nginx: each request has two."""
KEPT = 64
"""Idle connections to instances that one worker process keeps."""
CONNECT = 2.0
"""Seconds in which an instance must take a connection."""
MARGIN = 5.0
"""Seconds beyond the instances' own bounds: who has bounds of his own answers better than nginx can."""
BODY = 20.0
"""Seconds between two parts of a request's body."""
ADDRESS_SHARE = 4
"""Many callers may share one address: nginx lets through so many times what one caller may ask for."""
GUARDED = ("/api/v1/auth/sign-in", "/api/v1/auth/change-password")
"""Where passwords are guessed."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""What some address takes: what nginx tells of a method that it refuses itself."""
_UNSENT = frozenset({502, 504})
_LOG = (
    ("time", '"$time_iso8601"'),
    ("request_id", '"$ramet_request_id"'),
    ("address", '"$remote_addr"'),
    ("method", '"$request_method"'),
    ("path", '"$ramet_path"'),
    ("protocol", '"$server_protocol"'),
    ("status", "$ramet_status"),
    ("size", "$body_bytes_sent"),
    ("seconds", "$request_time"),
    ("instance", '"$upstream_addr"'),
    ("instance_status", '"$upstream_status"'),
    ("instance_seconds", '"$upstream_response_time"'),
)


def configuration(front: Front, settings: Settings) -> str:
    """The text of nginx.conf. Raises SettingsError for settings that do not fit."""
    lines = [
        "# Written by `ramet render nginx`: a whole nginx.conf, for nginx 1.20 or newer. Write it again when a setting",
        "# of the instances changes, for limits and times here follow from them.",
        *([f"user {front.user};"] if front.user else []),
        f"worker_processes {front.workers or 'auto'};",
        "worker_rlimit_nofile 65536;",
        "# Old worker processes of a reload keep WebSockets and streams for so long.",
        "worker_shutdown_timeout 5m;",
        f'pid "{front.pid}";',
        f'error_log "{front.error_log}" warn;',
        *block("events", [f"worker_connections {CONNECTIONS};"]),
        *block("http", _http(front, settings)),
    ]
    return "\n".join(lines) + "\n"


def block(head: str, lines: Iterable[str]) -> Iterator[str]:
    """A block with its lines indented."""
    yield f"{head} {{"
    yield from (f"    {line}" for line in lines)
    yield "}"


def time(seconds: float) -> str:
    """A time as nginx writes it."""
    return f"{math.ceil(seconds * 1000)}ms"


def kept_idle(settings: Settings) -> float:
    """Seconds for which nginx keeps an idle connection to an instance: less than the instance does, in every state."""
    bound = settings.drain_delay if settings.drain_delay else settings.idle_timeout
    return min(60.0, bound / 2, settings.idle_timeout / 2)


def _http(front: Front, settings: Settings) -> Iterator[str]:
    yield "server_tokens off;"
    yield "default_type application/octet-stream;"
    yield "log_format ramet escape=json"
    yield "    '{" + ",".join(f'"{name}":{value}' for name, value in _LOG) + "}';"
    yield f'access_log "{front.access_log}" ramet;'
    if front.temporary:
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
            yield f'{name}_temp_path "{front.temporary}/{name}";'
    yield "# The application compresses what gains by it, and keeps it compressed."
    yield "gzip off;"
    yield "client_header_timeout 15s;"
    yield f"client_body_timeout {time(BODY)};"
    yield "send_timeout 30s;"
    yield "keepalive_timeout 75s;"
    yield "keepalive_requests 10000;"
    yield "reset_timedout_connection on;"
    yield "# The application refuses long addresses and many headers itself, with a better answer; these are wider."
    yield "large_client_header_buffers 4 16k;"
    yield f"client_max_body_size {settings.body_limit};"
    yield from _maps()
    yield from _zones(settings)
    yield from _upstreams(front, settings)
    yield from _servers(front, settings)


def _maps() -> Iterator[str]:
    yield "# A client's id is passed on if the application would take it, so that both logs have the same."
    yield from block(
        "map $http_x_request_id $ramet_request_id",
        ['"~^(?!rt_|eyJ)[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" $http_x_request_id;', "default $request_id;"],
    )
    yield "# Queries may hold what is nobody's business."
    yield from block("map $request_uri $ramet_path", ['"~^(?<ramet_bare>[^?]*)" $ramet_bare;'])
    yield from block("map $status $ramet_status", ["default $status;", '"000" 0;', '"009" 9;'])
    yield "# Only what is a WebSocket may change the protocol."
    yield from block("map $http_upgrade $ramet_upgrade", ['default "";', '"~*^websocket$" websocket;'])
    yield from block("map $http_upgrade $ramet_connection", ['default "";', '"~*^websocket$" upgrade;'])
    yield "# nginx repeats a POST or PATCH only if nothing of it was sent, but would repeat these; see @once."
    safe = ("GET", "HEAD", "OPTIONS", "POST", "PATCH")
    yield from block("map $request_method $ramet_once", ["default 1;", *(f'{method} "";' for method in safe)])
    yield "# Headers that the application sets are its own; here is what it, or another behind it, leaves out."
    for header, variable, value in _SECURITY:
        name = header.lower().replace("-", "_")
        yield from block(f"map $upstream_http_{name} ${variable}", [f'"" "{value}";', 'default "";'])
    framed = 'map "$upstream_http_x_frame_options$upstream_http_content_security_policy" $ramet_frames'
    yield from block(framed, ['"" DENY;', 'default "";'])
    yield from block("map $upstream_http_x_request_id $ramet_shown_id", ['"" $ramet_request_id;', 'default "";'])
    waits = [f'"{status}" 1;' for status in (429, 502, 503)]
    yield from block('map "$status$upstream_http_retry_after" $ramet_retry_after', [*waits, 'default "";'])
    allowed = f'"405" "{", ".join(METHODS)}";'
    yield from block('map "$status$upstream_http_allow" $ramet_allow', [allowed, 'default "";'])


_SECURITY = (
    ("X-Content-Type-Options", "ramet_sniffing", "nosniff"),
    ("Referrer-Policy", "ramet_referrer", "no-referrer"),
)


def _zones(settings: Settings) -> Iterator[str]:
    if not settings.limits:
        return
    yield "# The application limits each caller exactly. These are wider, and keep floods of one address from it."
    general = max(_rate(settings.limit_caller), _rate(settings.limit_address)) * ADDRESS_SHARE
    yield f"limit_req_zone $binary_remote_addr zone=ramet_requests:10m rate={_shown(general)};"
    sign_in = _rate(settings.limit_sign_in) * ADDRESS_SHARE
    guarded = [f"{path} $binary_remote_addr;" for path in GUARDED]
    yield from block("map $uri $ramet_guesser", [*guarded, 'default "";'])
    yield f"limit_req_zone $ramet_guesser zone=ramet_guesses:10m rate={_shown(sign_in)};"
    yield "limit_conn_zone $binary_remote_addr zone=ramet_held:10m;"
    yield "limit_req_status 429;"
    yield "limit_conn_status 429;"
    yield "limit_req_log_level warn;"


def _upstreams(front: Front, settings: Settings) -> Iterator[str]:
    yield "# An instance that fails three times in 5 s is left out for 5 s. There is no slow start: what comes back"
    yield "# gets its share at once, so instances must be warm before they listen, as Ramet's are."
    servers = [f"server {text} max_fails=3 fail_timeout=5s;" for text in front.upstreams]
    kept = [
        f"keepalive {KEPT};",
        "# Less than the instances keep them: who closes an idle connection must be the one who would use it.",
        *(
            []
            if settings.drain_delay
            else ["# Set RAMET_DRAIN_DELAY to 4 or more, so that this holds while they stop."]
        ),
        f"keepalive_timeout {time(kept_idle(settings))};",
    ]
    yield from block("upstream ramet", ["zone ramet 256k;", "least_conn;", *servers, *kept])
    yield "# Streams are counted by themselves. A full or stopping instance refuses them: another may have room."
    servers = [f"server {text} max_fails=0;" for text in front.upstreams]
    yield from block("upstream ramet_streams", ["zone ramet_streams 256k;", "least_conn;", *servers])


def _servers(front: Front, settings: Settings) -> Iterator[str]:
    tls = " ssl http2" if front.tls else ""
    first = "" if front.server_names else " default_server"
    names = " ".join(front.server_names) or "_"
    if front.server_names:
        yield "# Other names are nobody's."
        yield from block("server", _nobody(front, tls))
    if front.tls:
        yield from block("server", _redirect(front, names, first))
    yield from block("server", _application(front, settings, tls, names, first))


def _nobody(front: Front, tls: str) -> Iterator[str]:
    for host in front.hosts:
        yield f"listen {listening(host, front.port)} default_server{tls};"
        if front.tls:
            yield f"listen {listening(host, front.plain_port)} default_server;"
    yield "server_name _;"
    if front.tls:
        yield "ssl_reject_handshake on;"
    yield "return 421;"


def _redirect(front: Front, names: str, first: str) -> Iterator[str]:
    port = "" if front.port == 443 else f":{front.port}"
    for host in front.hosts:
        yield f"listen {listening(host, front.plain_port)}{first};"
    yield f"server_name {names};"
    yield f"return 308 https://$host{port}$request_uri;"


def _application(front: Front, settings: Settings, tls: str, names: str, first: str) -> Iterator[str]:
    for host in front.hosts:
        yield f"listen {listening(host, front.port)}{first}{tls};"
    yield f"server_name {names};"
    if front.tls:
        yield from _tls(front)
    yield from _headers(front)
    yield from _passing()
    yield from error_pages()
    yield "recursive_error_pages on;"
    if settings.limits:
        burst = math.ceil(max(_rate(settings.limit_caller), _rate(settings.limit_address)) * ADDRESS_SHARE)
        yield f"limit_req zone=ramet_requests burst={burst} nodelay;"
        yield f"limit_req zone=ramet_guesses burst={math.ceil(_count(settings.limit_sign_in))} nodelay;"
    yield f"proxy_read_timeout {time(settings.request_timeout + MARGIN)};"
    yield f"proxy_send_timeout {time(BODY)};"
    yield from block("location /", _repeating())
    yield "# PUT, DELETE and what nginx does not know go to one instance; to another only if nothing of them was sent."
    yield from block("location @once", [*_once(), "error_page 502 504 = @unsent;", *error_pages(_UNSENT)])
    yield from block("location @unsent", ['if ($upstream_bytes_sent != "0") { return 502; }', *_once()])
    for path in ("/api/v1/events", "/api/v1/live"):
        yield from block(f"location = {path}", _streams(front, settings))
    yield "# Figures of one instance: ask each of them itself."
    yield from block("location = /metrics", ["return 404;"])
    yield from locations()


def _tls(front: Front) -> Iterator[str]:
    yield f'ssl_certificate "{front.certificate}";'
    yield f'ssl_certificate_key "{front.key}";'
    yield "ssl_protocols TLSv1.2 TLSv1.3;"
    yield (
        "ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
        "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305;"
    )
    yield "ssl_prefer_server_ciphers off;"
    yield "ssl_session_cache shared:ramet_tls:10m;"
    yield "ssl_session_timeout 1d;"
    yield "ssl_session_tickets off;"


def _headers(front: Front) -> Iterator[str]:
    for header, variable, _ in _SECURITY:
        yield f"add_header {header} ${variable} always;"
    yield "add_header X-Frame-Options $ramet_frames always;"
    yield "add_header X-Request-Id $ramet_shown_id always;"
    yield "add_header Retry-After $ramet_retry_after always;"
    yield "add_header Allow $ramet_allow always;"
    if front.tls:
        yield 'add_header Strict-Transport-Security "max-age=63072000" always;'


def _passing() -> Iterator[str]:
    """What every request to an instance has: nothing of where it comes from is what the client says."""
    yield "proxy_http_version 1.1;"
    yield "proxy_set_header Host $http_host;"
    yield "proxy_set_header Connection $ramet_connection;"
    yield "proxy_set_header Upgrade $ramet_upgrade;"
    yield "proxy_set_header X-Request-Id $ramet_request_id;"
    yield "proxy_set_header X-Forwarded-For $remote_addr;"
    yield "proxy_set_header X-Forwarded-Proto $scheme;"
    yield "proxy_set_header X-Forwarded-Host $http_host;"
    yield "proxy_set_header X-Forwarded-Port $server_port;"
    for name in (
        "Forwarded",
        "X-Real-IP",
        "X-Forwarded-Prefix",
        "X-Forwarded-Server",
        "X-Original-URL",
        "X-Rewrite-URL",
    ):
        yield f'proxy_set_header {name} "";'
    yield f"proxy_connect_timeout {time(CONNECT)};"
    yield "proxy_socket_keepalive on;"
    yield "proxy_buffer_size 16k;"
    yield "proxy_buffers 16 16k;"


def _repeating() -> Iterator[str]:
    """A place whose safe requests are asked again of another instance when one gives no answer.

    An instance's own 503 is an answer: asking the others as well would make an overload worse.
    """
    yield from error_pages()
    yield "error_page 418 = @once;"
    yield "if ($ramet_once) { return 418; }"
    yield "proxy_next_upstream error timeout;"
    yield from _tries()
    yield "proxy_pass http://ramet;"


def _once() -> Iterator[str]:
    yield "proxy_next_upstream off;"
    yield "proxy_pass http://ramet;"


def _streams(front: Front, settings: Settings) -> Iterator[str]:
    """A stream is alive as long as its signs of life come."""
    yield "proxy_buffering off;"
    yield "proxy_next_upstream error timeout http_503;"
    yield from _tries()
    yield f"proxy_read_timeout {time(max(60.0, 3 * settings.stream_heartbeat))};"
    if settings.limits:
        yield f"limit_conn ramet_held {settings.stream_limit_address * len(front.upstreams)};"
    yield "proxy_pass http://ramet_streams;"


def _tries() -> Iterator[str]:
    yield "proxy_next_upstream_tries 3;"
    yield f"proxy_next_upstream_timeout {time(3 * CONNECT)};"


def _count(text: str) -> float:
    count, _, window = text.partition("/")
    try:
        found = int(count), int(window)
    except ValueError:
        found = (0, 0)
    if min(found) < 1:
        raise SettingsError(f"RAMET_LIMIT_…: {text!r} is not COUNT/SECONDS, such as 600/60.")
    return found[0]


def _rate(text: str) -> float:
    """Requests a second."""
    return _count(text) / int(text.partition("/")[2])


def _shown(rate: float) -> str:
    """A rate as nginx writes it: whole requests a second, or a minute."""
    return f"{math.ceil(rate)}r/s" if rate >= 1 else f"{max(1, math.ceil(rate * 60))}r/m"
