"""What nginx is told of one application: where it listens, whom it passes requests to, and where it writes.

Everything here becomes part of a configuration, so nothing is taken that could end a word of it and begin another.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address

import msgspec

from ramet.errors import SettingsError

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\Z")
_NAME = re.compile(rf"(?=.{{1,253}}\Z)(\*\.)?{_LABEL}(\.{_LABEL})*\Z")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")
_PATH = re.compile(r"[^\x00-\x1f\x7f\"'\\$;{}]{1,1024}\Z")


class Front(msgspec.Struct, frozen=True, kw_only=True):
    """Raises SettingsError, naming the option, for what cannot stand in a configuration.

    `upstreams` are HOST:PORT, `server_names` the hosts that are answered (all without one). With `certificate` and
    `key` it serves TLS, and `plain_port` sends whoever comes without it there. Empty paths are nginx's own.
    """

    upstreams: tuple[str, ...]
    server_names: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ("0.0.0.0",)
    port: int = 80
    plain_port: int = 80
    certificate: str = ""
    key: str = ""
    access_log: str = "/var/log/nginx/access.log"
    error_log: str = "/var/log/nginx/error.log"
    pid: str = "/run/nginx.pid"
    temporary: str = ""
    """A folder for bodies on their way, where nginx's own cannot be used."""
    user: str = ""
    """Whom its workers run as, when it is started by root."""
    workers: int = 0
    """Its processes; 0 is one for each core."""

    def __post_init__(self) -> None:
        if not self.upstreams:
            raise SettingsError("--upstream: name at least one instance, as HOST:PORT.")
        for text in self.upstreams:
            upstream(text)
        for name in self.server_names:
            if not _NAME.match(name):
                raise SettingsError(f"--server-name: {name!r} is not a host, such as app.example.com.")
        for host in self.hosts:
            listening(host, self.port)
        for number in (self.port, self.plain_port):
            if not 1 <= number <= 65_535:
                raise SettingsError(f"--port: {number} is not a TCP port.")
        if bool(self.certificate) != bool(self.key):
            raise SettingsError("--tls-cert: a certificate and its --tls-key belong together: give both.")
        if self.tls and self.port == self.plain_port:
            raise SettingsError(f"--port: {self.port} is where those without TLS are sent on from. Choose another.")
        for option, path in (
            ("--tls-cert", self.certificate),
            ("--tls-key", self.key),
            ("--access-log", self.access_log),
            ("--error-log", self.error_log),
            ("--pid", self.pid),
            ("--temporary", self.temporary),
        ):
            if path and not _PATH.match(path):
                raise SettingsError(f"{option}: {path!r} has characters that a configuration of nginx cannot hold.")
        if self.user and not _USER.match(self.user):
            raise SettingsError(f"--user: {self.user!r} is not the name of a user.")

    @property
    def tls(self) -> bool:
        """Whether it ends TLS."""
        return bool(self.certificate)


def upstream(text: str) -> str:
    """HOST:PORT as it was given. Raises SettingsError when it is none."""
    host, colon, port = text.rpartition(":")
    number = int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0
    if not colon or not 1 <= number <= 65_535 or not _is_host(host):
        raise SettingsError(f"--upstream: {text!r} is not HOST:PORT, such as 10.0.0.5:8000 or [2001:db8::5]:8000.")
    return text


def listening(host: str, port: int) -> str:
    """The address as `listen` takes it. Raises SettingsError when it is none."""
    try:
        address = ip_address(host)
    except ValueError:
        raise SettingsError(f"--host: {host!r} is not an IP address.") from None
    if getattr(address, "scope_id", None):
        raise SettingsError(f"--host: {host!r} has a zone, which nginx does not know.")
    return f"[{address}]:{port}" if isinstance(address, IPv6Address) else f"{address}:{port}"


def _is_host(text: str) -> bool:
    if text.startswith("[") and text.endswith("]"):
        try:
            return getattr(IPv6Address(text[1:-1]), "scope_id", None) is None
        except ValueError:
            return False
    return _HOST.match(text) is not None
