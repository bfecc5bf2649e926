"""Every command of `ramet` with its arguments and options, read from the command line itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

import typer

from ramet.cli.main import commands


class Parameter(NamedTuple):
    """An argument or option: `names` as they are typed, `value` what follows them ("" for a switch)."""

    names: tuple[str, ...]
    value: str
    help: str
    default: str
    environment: str
    is_option: bool


class Command(NamedTuple):
    """One command: `path` are the words that call it, such as `ramet user create`."""

    path: tuple[str, ...]
    usage: str
    help: str
    parameters: tuple[Parameter, ...]


def all_commands() -> dict[tuple[str, ...], Command]:
    """The commands that do something, by their words, in the order of the help."""
    root = typer.main.get_command(commands)
    return {command.path: command for command in _walk(root, typer.Context(root, info_name="ramet"))}


def _walk(command: Any, context: Any) -> Iterator[Command]:
    names = command.list_commands(context) if hasattr(command, "list_commands") else []
    for name in names:
        inner = command.get_command(context, name)
        if not inner.hidden:
            yield from _walk(inner, typer.Context(inner, info_name=name, parent=context))
    if not names:
        yield Command(
            path=tuple(context.command_path.split()),
            usage=" ".join((context.command_path, *command.collect_usage_pieces(context))),
            help=inspect.cleandoc(command.help or ""),
            parameters=tuple(_parameter(given) for given in command.params if not getattr(given, "hidden", False)),
        )


def _parameter(given: Any) -> Parameter:
    is_option = given.opts[0].startswith("-")
    value = given.metavar or given.name.upper()
    switch = is_option and given.is_flag
    has_default = given.default not in (None, False, "", ()) and not callable(given.default)
    return Parameter(
        names=(*given.opts, *given.secondary_opts) if is_option else (value,),
        value=value if is_option and not switch else "",
        help=given.help or "",
        default=str(given.default) if has_default else "",
        environment=given.envvar or "",
        is_option=is_option,
    )
