"""The body of a batch: each operation written as the request it would be."""

from __future__ import annotations

from typing import Any

import msgspec

from ramet.errors import Fault, Problem
from ramet.operations.inputs import parse_json

METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")


class Part(msgspec.Struct, forbid_unknown_fields=True):
    """One operation: `path` with its query, `body` its JSON, `if_match` and `idempotency_key` as headers."""

    method: str
    path: str
    body: dict[str, Any] | None = None
    if_match: str = ""
    idempotency_key: str = ""


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    """`atomic`: all in one transaction or none; otherwise each on its own."""

    operations: list[Part]
    atomic: bool = True


def read_batch(body: bytes, limit: int) -> Batch:
    """The batch in a body. Raises Problem with every fault."""
    try:
        batch = msgspec.convert(parse_json(body), Batch)
    except msgspec.ValidationError as error:
        sentence, _, place = str(error).partition(" - at `$")
        pointer = place.rstrip("`").replace("[", "/").replace("]", "").replace(".", "/")
        raise Problem("invalid_input", faults=[Fault(pointer, "invalid_value", sentence + ".")]) from None
    if not 1 <= len(batch.operations) <= limit:
        fault = Fault("/operations", "invalid_value", f"Expected 1 to {limit} operations.")
        raise Problem("invalid_input", faults=[fault])
    faults = [
        Fault(f"/operations/{number}/method", "invalid_value", f"Expected one of {', '.join(METHODS)}.")
        for number, part in enumerate(batch.operations)
        if part.method not in METHODS
    ]
    if faults:
        raise Problem("invalid_input", faults=faults)
    return batch


def split_path(path: str) -> tuple[str, str]:
    """Path and query of a part."""
    address, _, query = path.partition("?")
    return address, query


def misplaced(problem: Problem, number: int) -> Problem:
    """The refusal of a whole batch because one of its operations, the one of this number, cannot be understood."""
    faults = problem.faults or [Fault("", problem.kind.code, problem.detail)]
    placed = [Fault(f"/operations/{number}{_inside(fault.pointer)}", fault.code, fault.detail) for fault in faults]
    return Problem("invalid_input", f"Operation {number}: {problem.detail}", faults=placed)


def _inside(pointer: str) -> str:
    return "/path" if pointer.startswith("?") else pointer
