"""Writes the pages of docs/reference that are generated from Ramet's own tables: `make docs`.

`pages()` gives every page by its path below docs/reference; tests/test_docs.py compares them with what is stored.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from ramet import settings
from ramet.errors import ERRORS
from ramet.observe import EVENTS
from scripts.commands import Parameter, all_commands

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
NOTE = "<!-- Written by `make docs` from {source}. Change it there. -->"
TYPE_NAMES: Mapping[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    type(None): "nothing",
}


def pages() -> dict[str, str]:
    """The text of every generated page."""
    return {
        "cli.md": commands_page(),
        "settings.md": settings_page(),
        "errors.md": errors_page(),
        "events.md": events_page(),
    }


def commands_page() -> str:
    """Every command with its usage, arguments and options."""
    sections = []
    for command in all_commands().values():
        parts = [f"## {' '.join(command.path)}", f"```text\n{command.usage}\n```", command.help]
        rows = [parameter_row(parameter) for parameter in command.parameters]
        if rows:
            parts.append(table(("Argument or option", "What it does", "Default"), rows))
        sections.append("\n\n".join(parts))
    return page(
        "Commands",
        "src/ramet/cli",
        "`ramet COMMAND --help` says the same. Exit codes: 0 done, 1 refused or failed, 2 wrong usage. "
        "Every setting can also be given in the environment: see [settings](settings.md).",
        "\n\n".join(sections),
    )


def parameter_row(parameter: Parameter) -> tuple[str, str, str]:
    """One argument or option as a row."""
    named = ", ".join(f"`{name} {parameter.value}`" if parameter.value else f"`{name}`" for name in parameter.names)
    also = f" Also `{parameter.environment}`." if parameter.environment else ""
    return named, parameter.help + also, f"`{parameter.default}`" if parameter.default else ""


def settings_page() -> str:
    """Every row of the table of settings."""
    defaults = settings.Settings()
    rows = []
    for name, (kind, row) in settings.table().items():
        also = f" (also `{row.also}`)" if row.also else ""
        secret = " Never shown." if row.secret else ""
        default = getattr(defaults, name)
        rows.append((f"`RAMET_{name.upper()}`{also}", taken(kind, row), shown(default), row.help + secret))
    return page(
        "Settings",
        "src/ramet/settings.py",
        "Each is read from the environment once, at start. A value that cannot be used stops the start and names the "
        "setting. Times are seconds and sizes bytes unless the text says otherwise.",
        table(("Setting", "Type", "Default", "What it is for"), rows),
    )


def taken(kind: Any, row: settings.Setting) -> str:
    """The type of a setting, and what a number may be."""
    bounds = settings.bounds(kind, row)
    if bounds is None:
        return type_name(kind)
    least, most = bounds
    return f"{type_name(kind)}, {least:g} to {most:.15g}" if row.most else f"{type_name(kind)}, {least:g} or more"


def errors_page() -> str:
    """Every row of the table of errors."""
    rows = [(f"`{e.code}`", str(e.status), e.title, e.hint) for e in ERRORS.values()]
    return page(
        "Errors",
        "src/ramet/errors.py",
        "Every refusal is an `application/problem+json` document (RFC 9457) with one of these codes. A code never "
        "changes its meaning once released. `errors` lists each fault of an input with its JSON pointer.",
        table(("Code", "Status", "What was wrong", "What to do"), rows),
    )


def events_page() -> str:
    """Every event that logs, metrics and traces subscribe to, with its fields."""
    sections = []
    for event in EVENTS:
        hints = get_type_hints(event)
        fields = table(
            ("Field", "Type"), [(f"`{field}`", type_name(hints[field])) for field in event.__struct_fields__]
        )
        sections.append(f"## {event.__name__}\n\n{inspect.getdoc(event)}\n\n{fields}")
    return page(
        "Events",
        "src/ramet/observe.py",
        "Logs, metrics and traces are made from these events and from nothing else.",
        "\n\n".join(sections),
    )


def page(title: str, source: str, introduction: str, body: str) -> str:
    """One page: its note about where it comes from, its title, a paragraph, and the rest."""
    return f"{NOTE.format(source=source)}\n\n# {title}\n\n{introduction}\n\n{body}\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def type_name(kind: Any) -> str:
    """A type as a reader of the reference says it."""
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return f"list of {type_name(inner)}"
    if get_args(kind):
        return " or ".join(type_name(part) for part in get_args(kind))
    names: Mapping[Any, str] = {
        str: "text",
        int: "integer",
        float: "number",
        bool: "true or false",
        type(None): "nothing",
    }
    return names.get(kind, kind.__name__)


def shown(value: Any) -> str:
    """A default as it would be written in the environment."""
    if value in ("", ()):
        return "empty"
    return f"`{msgspec.json.encode(value).decode() if not isinstance(value, str) else value}`"


def main() -> None:
    """Write every page that differs, and say which."""
    for name, text in pages().items():
        path = REFERENCE / name
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote docs/reference/{name}")


if __name__ == "__main__":
    main()
