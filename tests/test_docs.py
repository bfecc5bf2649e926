"""Docs can't lie: generated pages equal their tables, Python compiles or runs, commands exist, links resolve."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts import reference
from scripts.commands import all_commands

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("examples/**/*.md"), *ROOT.glob("benchmarks/**/*.md")]
)
SHELLS = {"bash", "console", "sh", "shell"}
RUN = "<!-- run -->"
RUN_SECONDS = 60  # a bound on a hanging example, not a measure

FENCE = re.compile(r"^(?P<indent> *)(?P<marks>`{3,})(?P<language>[\w+-]*)[^`]*$")
CODE_SPAN = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#+ +(?P<title>.+?) *#*$", re.MULTILINE)
RAMET = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?(?P<words>ramet\b[^#|<>&;\n]*)", re.MULTILINE)
MAKE = re.compile(r"^(?:\$ )?make +(?P<target>[a-z-]+)", re.MULTILINE)


class Block(NamedTuple):
    """One fenced block of a page: `line` is where its text begins, `run` whether `<!-- run -->` stands before it."""

    page: Path
    line: int
    language: str
    text: str
    run: bool


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    lines = page.read_text(encoding="utf-8").splitlines()
    found = []
    at = 0
    while at < len(lines):
        opening = FENCE.match(lines[at])
        at += 1
        if opening:
            begin = at
            while at < len(lines) and lines[at].strip() != opening["marks"]:
                at += 1
            before = next((line.strip() for line in reversed(lines[: begin - 1]) if line.strip()), "")
            text = textwrap.dedent("\n".join(lines[begin:at])) + "\n"
            found.append(Block(page, begin + 1, opening["language"], text, before == RUN))
            at += 1
    return tuple(found)


def python_blocks() -> Iterator[Block]:
    return (block for page in PAGES for block in blocks(page) if block.language == "python")


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    lines = page.read_text(encoding="utf-8").splitlines()
    for block in reversed(blocks(page)):
        del lines[block.line - 1 : block.line - 1 + block.text.count("\n")]
    return "\n".join(lines)


def anchors(page: Path) -> set[str]:
    """The fragments that a rendered page answers to: its headings, and ids written out."""
    text = prose(page)
    titles = (re.sub(r"[^\w\- ]", "", heading["title"].lower()).replace(" ", "-") for heading in HEADING.finditer(text))
    return set(titles) | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))


def place(block: Block) -> str:
    return f"{block.page.relative_to(ROOT).as_posix()}:{block.line}"


@pytest.mark.parametrize("name", reference.pages())
def test_generated_page_is_up_to_date(name: str) -> None:
    stored = DOCS / "reference" / name
    assert stored.exists(), "run `make docs`"
    assert stored.read_text(encoding="utf-8") == reference.pages()[name], "run `make docs`"


def test_no_generated_page_is_left_over() -> None:
    marked = {page.name for page in (DOCS / "reference").glob("*.md") if page.read_text().startswith("<!-- Written by")}
    assert marked == set(reference.pages())


def test_python_in_docs_compiles() -> None:
    wrong = []
    for block in python_blocks():
        try:
            compile(block.text, place(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        except SyntaxError as error:
            wrong.append(f"{place(block)}: {error}")
    assert wrong == [], "\n" + "\n".join(wrong)


def test_python_in_docs_runs(tmp_path: Path) -> None:
    """All blocks of a page that are marked to run make one program, in their order, with the page's line numbers."""
    wrong = []
    for page in PAGES:
        program = ""
        for block in blocks(page):
            if block.run and block.language == "python":
                program += "\n" * (block.line - 1 - program.count("\n")) + block.text
        if program:
            wrong += run(program, page.relative_to(ROOT).as_posix(), tmp_path)
    assert wrong == [], "\n" + "\n".join(wrong)


def run(program: str, name: str, folder: Path) -> list[str]:
    """Run a page's program in a folder of its own; what it said when it failed."""
    script = folder / re.sub(r"\W", "_", name) / "example.py"
    script.parent.mkdir()
    script.write_text(program, encoding="utf-8")
    command = [sys.executable, "-W", "error", script.name]
    done = subprocess.run(command, cwd=script.parent, capture_output=True, text=True, timeout=RUN_SECONDS)
    return [f"{name}:\n{done.stderr}"] if done.returncode else []


def test_only_python_blocks_are_marked_to_run() -> None:
    wrong = [place(block) for page in PAGES for block in blocks(page) if block.run and block.language != "python"]
    assert wrong == []


def shell_lines(pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """The first group of each match in a block for the shell, with the place of the block."""
    for page in PAGES:
        for block in blocks(page):
            if block.language in SHELLS:
                yield from ((place(block), match[1].strip()) for match in pattern.finditer(block.text))


def test_make_targets_in_docs_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert [(where, target) for where, target in shell_lines(MAKE) if target not in targets] == []


def test_commands_in_docs_exist_with_their_options() -> None:
    known = {path: {name for p in command.parameters for name in p.names} for path, command in all_commands().items()}
    wrong = []
    for where, line in shell_lines(RAMET):
        words = line.split()
        path = max((path for path in known if tuple(words[: len(path)]) == path), key=len, default=None)
        options = {word.partition("=")[0] for word in words if word.startswith("-")} - {"--help"}
        asks_for_help = words[-1] == "--help" and any(list(path[: len(words) - 1]) == words[:-1] for path in known)
        if path is None and not asks_for_help:
            wrong.append(f"{where}: {line} is no command")
        elif path is not None and not options <= known[path]:
            wrong.append(f"{where}: {line} has unknown options {options - known[path]}")
    assert wrong == [], "\n" + "\n".join(wrong)


def test_links_within_the_project_resolve() -> None:
    wrong = []
    for page in PAGES:
        for match in LINK.finditer(CODE_SPAN.sub("", prose(page))):
            target, _, fragment = match["target"].partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            file = (page.parent / target).resolve() if target else page
            if not file.exists():
                wrong.append(f"{page.relative_to(ROOT)}: {target} does not exist")
            elif fragment and file.suffix == ".md" and fragment not in anchors(file):
                wrong.append(f"{page.relative_to(ROOT)}: {target}#{fragment} has no such heading")
    assert wrong == [], "\n" + "\n".join(wrong)
