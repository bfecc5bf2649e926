"""Ramet: a Python backend that a team declares once and never rewrites to grow.

The public names are found when they are first asked for, so that a process takes in only what it needs: a command
line or a supervisor holds no application. `__init__.pyi` says the same to type checkers, and a test that they agree.
"""

import importlib
from typing import Any

_PLACES = {
    "ramet.app": ("App",),
    "ramet.declare.demo": ("SignIn",),
    "ramet.declare.resource": ("Resource", "action", "after", "before"),
    "ramet.declare.rules": (
        "Access",
        "everyone",
        "exists",
        "me",
        "nobody",
        "outer",
        "owner_only",
        "public_read",
        "read_only",
        "role",
        "roles_only",
        "signed_in",
        "that",
        "this",
    ),
    "ramet.declare.types": (
        "Digits",
        "Email",
        "Help",
        "Hidden",
        "Index",
        "Items",
        "Json",
        "Length",
        "Pattern",
        "Range",
        "ReadOnly",
        "Ref",
        "Unique",
        "Url",
        "WriteOnce",
    ),
    "ramet.errors": ("Problem",),
    "ramet.identity.sessions": ("Session",),
    "ramet.identity.users": ("User",),
    "ramet.operations.context": ("Context",),
    "ramet.settings": ("Settings",),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    """A public name, from the module that makes it."""
    if name not in _MODULES:
        raise AttributeError(f"module 'ramet' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
