"""Ramet: a Python backend that a team declares once and never rewrites to grow."""

from ramet.app import App
from ramet.declare.demo import SignIn
from ramet.declare.resource import Resource, action, after, before
from ramet.declare.rules import (
    Access,
    everyone,
    exists,
    me,
    nobody,
    outer,
    owner_only,
    public_read,
    read_only,
    role,
    roles_only,
    signed_in,
    that,
    this,
)
from ramet.declare.types import (
    Digits,
    Email,
    Help,
    Hidden,
    Index,
    Items,
    Json,
    Length,
    Pattern,
    Range,
    ReadOnly,
    Ref,
    Unique,
    Url,
    WriteOnce,
)
from ramet.errors import Problem
from ramet.identity.sessions import Session
from ramet.identity.users import User
from ramet.operations.context import Context
from ramet.settings import Settings

__all__ = [
    "Access",
    "App",
    "Context",
    "Digits",
    "Email",
    "Help",
    "Hidden",
    "Index",
    "Items",
    "Json",
    "Length",
    "Pattern",
    "Problem",
    "Range",
    "ReadOnly",
    "Ref",
    "Resource",
    "Session",
    "Settings",
    "SignIn",
    "Unique",
    "Url",
    "User",
    "WriteOnce",
    "action",
    "after",
    "before",
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
]
