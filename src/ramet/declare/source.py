"""Where a declaration stands, for messages that name file, class and field."""

from __future__ import annotations

import inspect
from pathlib import Path
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


def declared_annotations(cls: type) -> dict[str, Any]:
    """The annotations of a class with names resolved and `Annotated` kept; refuses names that do not resolve."""
    try:
        return get_type_hints(cls, include_extras=True)
    except NameError as error:
        refuse(cls, str(getattr(error, "name", "")), f"{error}; import it in this file, outside any function")
