"""Where a declaration stands, for messages that name file, class and field."""

from __future__ import annotations

import dis
import inspect
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, get_type_hints

from ramet.errors import DeclarationError


def refuse(cls: type, field: str, sentence: str) -> NoReturn:
    """Raises DeclarationError: `file.py: Class.field sentence.`"""
    try:
        file = Path(inspect.getfile(cls)).name
    except (OSError, TypeError):
        file = cls.__module__
    place = f"{cls.__name__}.{field}" if field else cls.__name__
    raise DeclarationError(f"{file}: {place}: {sentence.rstrip('.')}.")


def misused(sentence: str) -> DeclarationError:
    """The error of what stands where no resource is made yet: `file.py: Class.name: sentence`, or a line for a name."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "ramet":
        frame = frame.f_back
    if frame is None:
        return DeclarationError(sentence)
    file = Path(frame.f_code.co_filename).name
    if "__qualname__" not in frame.f_locals:  # no body of a class
        return DeclarationError(f"{file}: line {frame.f_lineno}: {sentence}")
    stored = (step for step in dis.get_instructions(frame.f_code) if step.offset > frame.f_lasti)
    name = next((f".{step.argval}" for step in stored if step.opname == "STORE_NAME"), "")
    return DeclarationError(f"{file}: {frame.f_code.co_name}{name}: {sentence}")


def declared_annotations(cls: type) -> dict[str, Any]:
    """The annotations of a class with names resolved and `Annotated` kept; refuses names that do not resolve."""
    try:
        return get_type_hints(cls, include_extras=True)
    except NameError as error:
        refuse(cls, str(getattr(error, "name", "")), f"{error}; import it in this file, outside any function")
    except Exception as error:  # whatever evaluating an annotation may raise
        refuse(cls, _failing(cls), f"has a type that cannot be read ({error}): mend it")


def _failing(cls: type) -> str:
    """The attribute whose annotation cannot be evaluated."""
    for base in cls.__mro__:
        known = vars(sys.modules.get(base.__module__, object))
        for name, annotation in vars(base).get("__annotations__", {}).items():
            try:
                get_type_hints(type(base.__name__, (), {"__annotations__": {name: annotation}}), dict(known), {})
            except Exception:  # as above
                return str(name)
    return ""
