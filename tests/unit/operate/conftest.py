"""Events as the pipeline makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ramet.observe import RequestDone


@pytest.fixture
def done() -> Callable[..., RequestDone]:
    def make(**changes: Any) -> RequestDone:
        usual: dict[str, Any] = {
            "operation": "tasks.list",
            "method": "GET",
            "path": "/api/v1/tasks",
            "status": 200,
            "seconds": 0.0012345678,
            "size": 2048,
            "cache": "near",
            "caller": "018f6b3e-7b1a-7c3d-9e55-1234567890ab",
            "address": "203.0.113.9",
            "request_id": "4f3a9c2be1d0f7a8",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "code": "",
        }
        return RequestDone(**(usual | changes))

    return make
