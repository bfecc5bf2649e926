"""Loading the application that a command is about."""

from __future__ import annotations

from ramet.app import App
from ramet.cli.failures import Refused
from ramet.topology.loading import load_app


def load(reference: str) -> App:
    """The application. Raises DeclarationError when it is wrong or not found, Refused when it is no `App` of ramet."""
    app = load_app(reference)
    if not isinstance(app, App):
        raise Refused(f"{reference}: this command needs an `App` of ramet, not {type(app).__name__}.")
    return app
