"""What we compress, an independent decoder gives back."""

from __future__ import annotations

import gzip
import random

import brotli  # type: ignore[import-untyped]  # it has no types
import msgspec
import pytest
import zstandard

from ramet.interfaces.http.compression import MIN_SIZE, compress
from ramet.interfaces.http.negotiation import ENCODINGS

DECODERS = {"gzip": gzip.decompress, "br": brotli.decompress, "zstd": zstandard.decompress}
_chance = random.Random(7)
LIST = msgspec.json.encode(
    [
        {"id": _chance.randbytes(8).hex(), "title": " ".join(_chance.choices(["call", "the", "plumber", "today"], k=5))}
        for _ in range(60)
    ]
)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_is_smaller_and_comes_back_whole(encoding: str, cached: bool) -> None:
    assert len(LIST) > MIN_SIZE
    coded = compress(LIST, encoding, cached=cached)
    assert len(coded) < len(LIST) / 2
    assert DECODERS[encoding](coded) == LIST


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_cached_body_is_not_larger_than_one_made_once(encoding: str) -> None:
    assert len(compress(LIST, encoding, cached=True)) <= len(compress(LIST, encoding))


def test_without_an_encoding_the_body_stays_the_same_object() -> None:
    assert compress(LIST, "") is LIST


def test_the_same_body_always_gives_the_same_bytes() -> None:
    for encoding in ENCODINGS:
        assert compress(LIST, encoding) == compress(LIST, encoding)
