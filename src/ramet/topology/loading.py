"""Finding the application that a team wrote, by the path of its file or by the name of its module."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from ramet.errors import DeclarationError
from ramet.settings import Settings

_NEEDED = ("prepare", "configure", "startup", "drain", "shutdown", "__rsgi__")


class Application(Protocol):
    """What a topology runs. Each process calls `prepare`, `configure`, `startup`, at its end `drain`, `shutdown`."""

    draining: bool
    """Whether it has been told that the process is stopping: readiness answers 503 from then on."""

    def prepare(self, settings: Settings, revision: str = "", /) -> bool:
        """Whether the database has the declared schema, made now when it is new, and its newest migration."""

    def configure(self, settings: Settings) -> None: ...
    async def startup(self) -> None: ...
    async def drain(self) -> None:
        """Says that the process is stopping, and ends long streams while requests are still answered."""

    async def shutdown(self) -> None: ...
    async def __rsgi__(self, scope: Any, protocol: Any) -> None: ...


def load_app(reference: str) -> Application:
    """The application named by "path/to/app.py" or "package.module", either with ":attribute" (`app` without).

    The folder of a file, or the current one, is put in front of `sys.path`, so that an application may consist of
    several files. Raises DeclarationError with what was wrong and how to mend it; what the application's own code
    raises while it is imported passes through.
    """
    target, attribute = _split(reference)
    module = _load_file(Path(target)) if _is_file(target) else _load_module(target)
    if not hasattr(module, attribute):
        raise DeclarationError(f"{target}: there is no `{attribute}` in it.{_suggestion(module, target)}")
    app: Application = getattr(module, attribute)
    missing = [name for name in _NEEDED if not callable(getattr(app, name, None))]
    if missing or isinstance(app, type):
        raise DeclarationError(
            f"{target}: `{attribute}` is {_kind(app)}, not a Ramet application. "
            f"Write `{attribute} = App(resources=[...])` with `from ramet import App`."
        )
    return app


def folder_of(reference: str) -> Path:
    """The folder that holds the application's code: what is watched for changes."""
    target, _ = _split(reference)
    if not _is_file(target):
        return Path.cwd()
    path = Path(target).resolve()
    return path if path.is_dir() else path.parent


def migrations_of(reference: str) -> Path:
    """The folder, beside the application's file, with the revisions of its database."""
    return folder_of(reference) / "migrations"


def newest_revision(reference: str) -> str:
    """The application's newest revision; empty when it has none. Files are called NUMBER_WHAT.py."""
    numbers = [path.name.partition("_")[0] for path in migrations_of(reference).glob("[0-9]*_*.py")]
    return max(numbers, default="")


def _split(reference: str) -> tuple[str, str]:
    target, colon, attribute = reference.rpartition(":")
    if not colon or not attribute.isidentifier():
        target, attribute = reference, "app"
    if not target:
        raise DeclarationError(
            f"{reference!r} names no file or module. Give it as path/to/app.py or package.module:app."
        )
    return target, attribute


def _is_file(target: str) -> bool:
    return target.endswith(".py") or "/" in target or Path(target).is_dir()


def _load_file(path: Path) -> ModuleType:
    if path.is_dir():
        path /= "app.py"
    if not path.is_file():
        raise DeclarationError(f"{path}: there is no such file. Give the path of the file that makes the `App`.")
    path = path.resolve()
    _put_first(path.parent)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise DeclarationError(f"{path}: this is not a Python file. Its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


def _load_module(name: str) -> ModuleType:
    _put_first(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise  # the application's own import is what failed
        raise DeclarationError(
            f"{name}: there is no module of this name ({error.name} was not found). Run from the folder that has it, "
            "or give the path of its file, as path/to/app.py."
        ) from None


def _put_first(folder: Path) -> None:
    text = str(folder)
    if text not in sys.path:
        sys.path.insert(0, text)


def _suggestion(module: ModuleType, target: str) -> str:
    found = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, type)
        and all(callable(getattr(value, need, None)) for need in _NEEDED)
    ]
    if found:
        return f" Did you mean {target}:{found[0]}?"
    return " Make one with `app = App(resources=[...])`, from `from ramet import App`."


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"of type {type(value).__name__}"
