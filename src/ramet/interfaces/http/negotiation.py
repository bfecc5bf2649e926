"""What the client can take (`Accept`, `Accept-Encoding`) and what it sent (`Content-Type`), after RFC 9110 section 12.

Clients send few different values, so each answer is remembered by the header's text. What is longer than any client
needs is disregarded, as the RFC allows, so the time and the memory this takes are bounded.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ramet.errors import Problem

ENCODINGS = ("zstd", "br", "gzip")
"""What we can produce, the best first: chosen among those that the client likes equally."""

_REMEMBERED = 256
_LONGEST = 1_024
_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


def choose_encoding(header: str | None, *, small: bool = False) -> str:
    """The content coding for this `Accept-Encoding`: "zstd", "br", "gzip", or "" for none.

    A `small` body goes without coding where the client allows it. Raises Problem `not_acceptable` when the client
    refuses a body without coding and every coding we have.
    """
    if header is None or len(header) > _LONGEST:
        return ""
    chosen = _encoding(header, small)
    if chosen is None:
        raise Problem("not_acceptable", "None of the accepted encodings can be produced.")
    return chosen


def choose_media(header: str | None, offers: tuple[str, ...] = ("application/json",)) -> str:
    """The media type of `offers`, the best first, for this `Accept`. Raises Problem `not_acceptable`."""
    if header is None or len(header) > _LONGEST:
        return offers[0]
    chosen = _media(header, offers)
    if not chosen:
        raise Problem("not_acceptable", f"This can be given as {' or '.join(offers)}.")
    return chosen


def require_json(content_type: str | None, content_encoding: str | None = None, *also: str) -> None:
    """Refuse a body that is not plain UTF-8 JSON: `application/json`, or one of the media types in `also`.

    Raises Problem `unsupported_media_type`, with what would do in `Accept`.
    """
    if content_encoding is not None and content_encoding.strip().lower() not in {"", "identity"}:
        raise Problem(
            "unsupported_media_type",
            "The body must come without Content-Encoding.",
            headers=(("accept-encoding", "identity"),),
        )
    if content_type == "application/json":
        return
    text = content_type or ""
    fault = _json_fault(text, also) if len(text) <= _LONGEST else "The Content-Type is too long."
    if fault:
        accepted = ", ".join(("application/json", *also))
        raise Problem("unsupported_media_type", fault, headers=(("accept", accepted),))


def quality(text: str) -> float:
    """A weight: `text` is what follows `q=`. What is malformed weighs nothing."""
    return float(text) if _QUALITY.fullmatch(text) else 0.0


def weigh(header: str) -> list[tuple[str, float]]:
    """The elements of a list header in lower case with their weights; other parameters are left out."""
    weighed: list[tuple[str, float]] = []
    for element in header.lower().split(","):
        name, *parameters = (part.strip() for part in element.split(";"))
        if name:
            weights = [
                quality(value.strip()) for key, _, value in (p.partition("=") for p in parameters) if key.strip() == "q"
            ]
            weighed.append((name, weights[0] if weights else 1.0))
    return weighed


@lru_cache(maxsize=_REMEMBERED)
def _encoding(header: str, small: bool) -> str | None:
    weights = {"gzip" if name == "x-gzip" else name: weight for name, weight in weigh(header)}
    others = weights.get("*", 0.0)
    best, best_weight = None, 0.0
    for encoding in ENCODINGS:
        weight = weights.get(encoding, others)
        if weight > best_weight:
            best, best_weight = encoding, weight
    identity = weights.get("identity", weights.get("*", 1.0)) > 0
    preferred = weights.get("identity", 0.0) > best_weight
    if identity and (small or best is None or preferred):
        return ""
    return best


@lru_cache(maxsize=_REMEMBERED)
def _media(header: str, offers: tuple[str, ...]) -> str:
    weights: dict[str, float] = {}
    for name, weight in weigh(header):
        weights[name] = max(weight, weights.get(name, 0.0))
    best, best_weight = "", 0.0
    for offer in offers:
        family = offer.partition("/")[0] + "/*"
        weight = weights.get(offer, weights.get(family, weights.get("*/*", 0.0)))
        if weight > best_weight:
            best, best_weight = offer, weight
    return best


@lru_cache(maxsize=_REMEMBERED)
def _json_fault(content_type: str, also: tuple[str, ...]) -> str:
    name, *parameters = (part.strip() for part in content_type.lower().split(";"))
    if not name:
        return "The body has no Content-Type."
    if name != "application/json" and name not in also:
        return f"The body is {name[:100]!r}." if name.isascii() else "The Content-Type is not readable."
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "charset" and value.strip().strip('"') not in {"utf-8", "utf8"}:
            return "JSON must be UTF-8."
    return ""
