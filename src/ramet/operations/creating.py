"""Creates that need nothing but to be stored: no hook, rule or reference to look at, whatever the values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ramet.data.store import Settle
from ramet.operations.inputs import decode_input
from ramet.operations.operation import Operation
from ramet.operations.writing import Writing, own_fields


class Creation:
    """The creates of one resource by one caller."""

    __slots__ = ("_caller", "_decoder", "_info", "_names", "_whole", "_writing")

    def __init__(self, writing: Writing, operation: Operation, decoder: msgspec.json.Decoder[Any]) -> None:
        self._writing = writing
        self._info = operation.info
        self._caller = operation.caller
        self._decoder = decoder
        self._names = own_fields(operation.info)
        self._whole = decoder.type.__struct_fields__ == self._names

    def begin(self, body: bytes, settle: Settle) -> tuple[str, bytes]:
        """The id of the record that `body` gives, and its JSON; its place in the log is told once it is stored.

        Raises Problem for what the body gets wrong, and when the store takes no more writes.
        """
        info = self._info
        given = decode_input(body, self._decoder, info.fields, info.inputs.checked)
        if self._whole:
            values: Sequence[Any] = msgspec.structs.astuple(given)
        else:
            values = [getattr(given, name, msgspec.UNSET) for name in self._names]
        row, record = self._writing.create_simple(info, values, self._caller, settle)
        return row[0], record
