"""The application of `tests.process.copies`, to be served."""

from __future__ import annotations

from ramet import App
from tests.process.copies import RESOURCES

app = App(resources=RESOURCES)
