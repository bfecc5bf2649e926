"""What nginx answers by itself, in the form that the application answers in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from ramet.errors import ERRORS, Problem

ANSWERS: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", ""),
    404: ("not_found", ""),
    405: ("method_not_allowed", "Nobody takes this method."),
    413: ("body_too_large", ""),
    414: ("uri_too_long", ""),
    429: ("rate_limited", ""),
    494: ("headers_too_large", ""),
    502: ("no_answer", ""),
    504: ("no_answer", "The instance that was asked did not answer in time."),
}
"""The code, and a sentence where the code's own does not fit, by the status that nginx comes to."""
PLACE = "/.nginx/problem_"
"""Where the documents are, for nginx alone. A named location would do but for requests without an address: what nginx
could not read has none, and is then answered with 500."""


def error_pages(but: frozenset[int] = frozenset()) -> Iterator[str]:
    """For the whole server, and again for each place that has an `error_page` of its own: those do not add up."""
    for status, (code, _) in ANSWERS.items():
        if status in but:
            continue
        yield f"error_page {status} ={ERRORS[code].status} {PLACE}{status};"


def locations() -> Iterator[str]:
    """The documents."""
    for status, (code, detail) in ANSWERS.items():
        document = msgspec.json.encode(Problem(code, detail).as_document()).decode()
        text = document.replace("\\", "\\\\").replace("'", "\\'")
        yield f"location = {PLACE}{status} {{"
        yield "    internal;"
        yield "    default_type application/problem+json;"
        yield f"    return {ERRORS[code].status} '{text}';"
        yield "}"
