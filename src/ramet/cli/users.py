"""`ramet user`."""

from __future__ import annotations

import asyncio
import secrets
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ramet.app import App
from ramet.cli.application import running
from ramet.cli.failures import Refused
from ramet.cli.options import DEFAULT_APP, AppOption, Database
from ramet.identity.service import check_user
from ramet.identity.users import User, find_user, normalise

PAGE = 500

command = typer.Typer(help="Make and change users.", no_args_is_help=True)
Email = Annotated[str, typer.Argument(metavar="EMAIL", help="Whose account it is.")]


@command.command()
def create(
    email: Annotated[str, typer.Option(help="What the user signs in with.")],
    role: Annotated[list[str] | None, typer.Option(help="A role the user has; may be given several times.")] = None,
    name: Annotated[str, typer.Option(help="How the user is called.")] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of the standard input.")
    ] = False,
    app: AppOption = DEFAULT_APP,
    database: Database = None,
) -> None:
    """Make a user who may then sign in. Without --password-stdin a password is made and shown once."""
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else secrets.token_urlsafe(15)
    asyncio.run(_create(app, database, email, password, role or [], name))
    sys.stderr.write(f"Made {email}{' with the roles ' + ', '.join(role) if role else ''}.\n")
    if not password_stdin:
        sys.stdout.write(f"{password}\n")
        sys.stderr.write("This is the password. It is not shown again.\n")


@command.command("list")
def list_users(app: AppOption = DEFAULT_APP, database: Database = None) -> None:
    """Show all users in the order of their addresses."""
    table = Table("E-mail", "Name", "Roles", "State", box=None, pad_edge=False)
    for user in asyncio.run(_all(app, database)):
        table.add_row(user.email, user.name, ", ".join(user.roles), "disabled" if user.disabled else "")
    Console(highlight=False, markup=False, soft_wrap=True).print(table)


@command.command()
def disable(email: Email, app: AppOption = DEFAULT_APP, database: Database = None) -> None:
    """End all sessions of a user, who cannot sign in any more."""
    asyncio.run(_change(app, database, email, disabled=True))
    sys.stderr.write(f"{email} cannot sign in any more.\n")


@command.command()
def enable(email: Email, app: AppOption = DEFAULT_APP, database: Database = None) -> None:
    """Let a disabled user sign in again."""
    asyncio.run(_change(app, database, email, disabled=False))
    sys.stderr.write(f"{email} may sign in again.\n")


@command.command()
def roles(
    email: Email,
    role: Annotated[list[str] | None, typer.Argument(metavar="[ROLE]...", help="All roles it has from now on.")] = None,
    app: AppOption = DEFAULT_APP,
    database: Database = None,
) -> None:
    """Give a user these roles and no others. Access tokens with the former ones are refused at once."""
    asyncio.run(_change(app, database, email, roles=sorted(set(role or []))))
    sys.stderr.write(f"{email} has {'the roles ' + ', '.join(role) if role else 'no role'} now.\n")


async def _create(reference: str, database: str | None, email: str, password: str, roles: list[str], name: str) -> None:
    async with running(reference, database) as app:
        await app.create_user(email, password, roles, name)


async def _all(reference: str, database: str | None) -> list[User]:
    found: list[User] = []
    async with running(reference, database) as app:
        context = app.as_system()
        last = ""
        while page := await context.list(User, sort="email", limit=PAGE, email__gt=last):
            found += page
            last = page[-1].email
    return found


async def _change(reference: str, database: str | None, email: str, **changes: Any) -> None:
    async with running(reference, database) as app:
        user = await _find(app, email)
        check_user(user.email, changes.get("roles", ()))
        await app.as_system().update(user, **changes)


async def _find(app: App, email: str) -> User:
    found = await find_user(app.as_system(), User, normalise(email))
    if found is None:
        raise Refused(f"There is no user {email}. `ramet user list` shows all.")
    return found
