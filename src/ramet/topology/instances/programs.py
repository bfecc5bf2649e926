"""The programs of others that a topology is made of, and the packages that bring them."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from ramet.errors import SettingsError

PACKAGES: Mapping[str, str] = {
    "postgres": "postgresql",
    "redis-server": "redis-server",
    "nginx": "nginx",
    "pgbouncer": "pgbouncer",
}
"""Each program with its package in Debian and Ubuntu."""
_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # where people who are not root have no PATH to
_POSTGRES = Path("/usr/lib/postgresql")
_ACCOUNTS = ("postgres", "nobody")


class Programs:
    """Raises SettingsError, saying which packages to install, when one of `names` is missing."""

    def __init__(self, names: Iterable[str]) -> None:
        self._found = {name: _find(name) for name in names}
        missing = [name for name, path in self._found.items() if path is None]
        if missing:
            packages = " ".join(dict.fromkeys(PACKAGES[name] for name in missing))
            raise SettingsError(
                f"Missing programs: {', '.join(missing)}. On Debian or Ubuntu install them with:\n"
                f"  sudo apt-get install --no-install-recommends {packages}"
            )

    def __getitem__(self, name: str) -> str:
        """The path of a program; those of PostgreSQL lie beside its server."""
        known = self._found.get(name)
        if known is not None:
            return str(known)
        server = self._found["postgres"]
        if server is None:
            raise KeyError(name)
        return str(server.parent / name)


def account() -> str | None:
    """Who runs servers that refuse to be root's, when we are root; else None.

    Raises SettingsError when there is nobody for it.
    """
    if os.geteuid():
        return None
    for name in _ACCOUNTS:
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise SettingsError("PostgreSQL refuses to run as root, and there is no user postgres. Start this as another user.")


def _find(name: str) -> Path | None:
    if name == "postgres":
        found = [path for path in _POSTGRES.glob("*/bin/postgres") if path.parts[-3].isdigit()]
        if found:
            return max(found, key=lambda path: int(path.parts[-3]))
    path = shutil.which(name) or shutil.which(name, path=os.pathsep.join(_FOLDERS))
    if path is None:
        return None
    # Redis is several programs in one file and goes by its name; those of PostgreSQL lie where a link leads.
    return Path(path).resolve() if name == "postgres" else Path(path).absolute()
