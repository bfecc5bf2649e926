"""The one table of errors: a stable code, a status, what was wrong, and how to mend it.

Every refusal a caller can see is a `Problem` whose code stands in `ERRORS`. Interfaces render it as RFC 9457
`application/problem+json`; `docs/reference/errors.md` is generated from this table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


class ErrorKind(msgspec.Struct, frozen=True):
    """One row of the table: `code` never changes once released; `hint` says how to mend it."""

    code: str
    status: int
    title: str
    hint: str


class Fault(msgspec.Struct, frozen=True):
    """One thing wrong with an input. `pointer` is an RFC 6901 JSON pointer into the body, or `?name` for a query parameter."""

    pointer: str
    code: str
    detail: str


# A table: one row, one line.
# fmt: off
_TABLE = (
    ErrorKind("bad_request", 400, "The request could not be understood.", "Compare it with /api/docs."),
    ErrorKind("invalid_json", 400, "The body is not valid JSON.", "Send one UTF-8 JSON value, without duplicate keys."),
    ErrorKind("invalid_query", 400, "A query parameter is wrong.", "See the parameters of this operation in /api/docs."),
    ErrorKind("invalid_cursor", 400, "The page cursor is not one of ours, or belongs to another list.",
              "Use `next` or `previous` of an answer to the same filters and sort, unchanged."),
    ErrorKind("invalid_header", 400, "A header has a wrong value.", "See the headers of this operation in /api/docs."),
    ErrorKind("unauthenticated", 401, "This needs a signed-in caller.", "Send `Authorization: Bearer <access token>`."),
    ErrorKind("invalid_token", 401, "The access token is not valid.", "Refresh it, or sign in again."),
    ErrorKind("invalid_credentials", 401, "The e-mail address or the password is wrong.", "Check both and try again."),
    ErrorKind("session_ended", 401, "This session has ended.", "Sign in again."),
    ErrorKind("forbidden", 403, "The caller may not do this.", "Ask the owner or an administrator for access."),
    ErrorKind("cross_site", 403, "A cookie-authenticated request came from another site.",
              "Send it from the same origin, or use a bearer token."),
    ErrorKind("not_found", 404, "There is nothing here that the caller may see.", "Check the address and the identifier."),
    ErrorKind("method_not_allowed", 405, "This address does not support the method.", "Use a method listed in `Allow`."),
    ErrorKind("not_acceptable", 406, "None of the accepted media types can be produced.", "Accept application/json."),
    ErrorKind("request_timeout", 408, "The request did not arrive in time.", "Send it again."),
    ErrorKind("conflict", 409, "The request conflicts with what is stored.", "Read the current record and try again."),
    ErrorKind("not_unique", 409, "Another record already has this value.", "Choose another value."),
    ErrorKind("still_referenced", 409, "Other records refer to this one.", "Delete or change them first."),
    ErrorKind("idempotency_conflict", 409, "This idempotency key was used with another request.", "Use a new key."),
    ErrorKind("version_mismatch", 412, "The record has changed since it was read.", "Read it again, then repeat the change."),
    ErrorKind("body_too_large", 413, "The body is too large.", "Send less at once."),
    ErrorKind("uri_too_long", 414, "The address is too long.", "Use fewer or shorter parameters."),
    ErrorKind("unsupported_media_type", 415, "The body is not JSON.", "Send `Content-Type: application/json`."),
    ErrorKind("invalid_input", 422, "The input does not fit the declaration.", "Mend each listed fault."),
    ErrorKind("precondition_required", 428, "This change needs `If-Match`.", "Send the record's ETag in `If-Match`."),
    ErrorKind("rate_limited", 429, "Too many requests.", "Wait as long as `Retry-After` says."),
    ErrorKind("headers_too_large", 431, "The headers are too large.", "Send fewer or shorter headers."),
    ErrorKind("internal", 500, "Something went wrong here.", "Try again; the request id helps to find the cause."),
    ErrorKind("no_answer", 502, "The instance that was asked ended before it answered.",
              "A change may have been made: look, or send it again with the same `Idempotency-Key`."),
    ErrorKind("overloaded", 503, "The server has more work than it can take.", "Try again after `Retry-After`."),
    ErrorKind("unavailable", 503, "A part that this needs is not available.", "Try again after `Retry-After`."),
    ErrorKind("query_too_costly", 503, "The query took more work than is allowed.", "Narrow the filters, or use an indexed field."),
    ErrorKind("timed_out", 504, "The operation took too long and was undone.", "Try again later."),
    ErrorKind("storage_full", 507, "The disk is full; nothing was changed.", "Free some space, then try again."),
)
# fmt: on

ERRORS: Mapping[str, ErrorKind] = {kind.code: kind for kind in _TABLE}


class Problem(Exception):
    """A refusal with a code of `ERRORS`.

    `detail` is one sentence about this occurrence; `faults` lists every fault of an input; `retry_after` is in
    seconds; `headers` are added to the answer.
    """

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        faults: Sequence[Fault] = (),
        retry_after: float | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.kind = ERRORS[code]
        self.detail = detail or self.kind.title
        self.faults = tuple(faults)
        self.retry_after = retry_after
        self.headers = tuple(headers)
        super().__init__(f"{code}: {self.detail}")

    @property
    def status(self) -> int:
        return self.kind.status

    def as_document(self, instance: str = "") -> dict[str, Any]:
        """The RFC 9457 document: type, title, status, detail, code, hint and, for inputs, errors."""
        document: dict[str, Any] = {
            "type": f"/api/docs#error-{self.kind.code}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "code": self.kind.code,
            "hint": self.kind.hint,
        }
        if instance:
            document["instance"] = instance
        if self.faults:
            document["errors"] = [
                {"pointer": fault.pointer, "code": fault.code, "detail": fault.detail} for fault in self.faults
            ]
        return document


class DeclarationError(Exception):
    """A wrong declaration, refused at start. The message names file, class and field and says how to mend it."""


class SettingsError(Exception):
    """A setting that cannot be used. The message names it and says what it takes."""


class Unready(SettingsError):
    """A database that cannot be used yet. The message says what is missing and what to run; it is fit for callers."""
