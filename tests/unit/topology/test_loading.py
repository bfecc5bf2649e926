"""An application is found by file or module, and when it is not, the message says how to mend it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ramet.errors import DeclarationError
from ramet.topology.loading import folder_of, load_app

APP = """
class App:
    draining = False
    name = NAME
    def prepare(self, settings, revision=""): return True
    def configure(self, settings): pass
    async def startup(self): pass
    async def drain(self): self.draining = True
    async def shutdown(self): pass
    async def __rsgi__(self, scope, protocol): pass

ATTRIBUTE = App()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is the current one; what it imports is forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(path: Path, attribute: str = "app", name: str = "'plain'", before: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(before + APP.replace("ATTRIBUTE", attribute).replace("NAME", name))


def refusal(reference: str) -> str:
    with pytest.raises(DeclarationError) as refused:
        load_app(reference)
    return str(refused.value)


def test_a_file(folder: Path) -> None:
    write(folder / "site" / "app.py", before="import beside\n", name="beside.NAME")
    (folder / "site" / "beside.py").write_text("NAME = 'from a file beside'\n")
    app = load_app("site/app.py")
    assert app.name == "from a file beside"  # type: ignore[attr-defined]  # the test's own
    assert sys.modules["app"].app is app
    assert load_app(str(folder / "site" / "app.py")) is not app


def test_a_folder_with_an_app_file(folder: Path) -> None:
    write(folder / "site" / "app.py")
    assert load_app("site").draining is False


def test_another_attribute(folder: Path) -> None:
    write(folder / "site.py", attribute="api")
    assert load_app("site.py:api").draining is False


def test_a_module(folder: Path) -> None:
    write(folder / "shop_a" / "main.py", attribute="api")
    assert load_app("shop_a.main:api") is load_app("shop_a.main:api")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("none.py", "none.py: there is no such file."),
        ("folder/", "there is no such file."),
        ("no_such_module_here", "there is no module of this name"),
        ("no_such.module:app", "(no_such was not found)"),
        (":app", "names no file or module"),
        ("", "names no file or module"),
    ],
)
def test_what_is_not_there(folder: Path, reference: str, said: str) -> None:
    assert said in refusal(reference)


def test_a_missing_attribute_suggests_the_one_that_is_there(folder: Path) -> None:
    write(folder / "site.py", attribute="api")
    assert refusal("site.py") == "site.py: there is no `app` in it. Did you mean site.py:api?"
    (folder / "empty.py").write_text("")
    assert "Make one with `app = App(resources=[...])`" in refusal("empty.py")


def test_what_is_no_application(folder: Path) -> None:
    (folder / "site.py").write_text("app = 5\n")
    assert "site.py: `app` is of type int, not a Ramet application." in refusal("site.py")
    write(folder / "shop.py")
    assert "`App` is the class App" in refusal("shop.py:App")


def test_errors_of_the_application_itself_pass_through(folder: Path) -> None:
    (folder / "shopfront.py").write_text("import no_such_dependency\napp = 1\n")
    for reference in ("shopfront.py", "shopfront"):
        with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
            load_app(reference)
    assert "shopfront" not in sys.modules


def test_the_folder_that_is_watched(folder: Path) -> None:
    write(folder / "shop" / "app.py")
    assert folder_of("shop/app.py") == folder / "shop"
    assert folder_of("shop") == folder / "shop"
    assert folder_of("shop.app:app") == folder
