"""What is said on the WebSocket: JSON objects told apart by `type`, in text frames."""

from __future__ import annotations

from typing import Any

import msgspec

from ramet.errors import Fault, Problem

LONGEST = 16_384
"""Characters of one message of a client."""
_encode = msgspec.json.Encoder().encode


class Subscribe(msgspec.Struct, tag_field="type", tag="subscribe", forbid_unknown_fields=True):
    """Subscribe under a name of the client's choice; `query` is that of /api/v1/events."""

    subscription: str
    query: str
    last_event_id: str = ""


class Unsubscribe(msgspec.Struct, tag_field="type", tag="unsubscribe", forbid_unknown_fields=True):
    """End a subscription."""

    subscription: str


class Authenticate(msgspec.Struct, tag_field="type", tag="authenticate", forbid_unknown_fields=True):
    """An access token, for clients that can't send headers, and in place of one that is about to expire."""

    token: str


class Ping(msgspec.Struct, tag_field="type", tag="ping", forbid_unknown_fields=True):
    """To be answered by a pong, which tells that everything before it has arrived."""

    id: str = ""


Message = Subscribe | Unsubscribe | Authenticate | Ping
_decode = msgspec.json.Decoder(Message).decode


def read(text: str | bytes) -> Message:
    """Raises Problem `invalid_json`, `invalid_input` or `body_too_large`."""
    if len(text) > LONGEST:
        raise Problem("body_too_large", f"A message may have {LONGEST:,} characters.")
    try:
        message: Message = _decode(text)
    except msgspec.ValidationError as error:
        sentence, _, place = str(error).partition(" - at `$.")
        raise Problem(
            "invalid_input", faults=[Fault("/" + place.rstrip("`"), "invalid_value", sentence + ".")]
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Problem("invalid_json") from None
    if isinstance(message, Subscribe | Unsubscribe) and not 1 <= len(message.subscription) <= 64:
        raise Problem("invalid_input", faults=[Fault("/subscription", "invalid_value", "Expected 1 to 64 characters.")])
    return message


def write(kind: str, **content: Any) -> bytes:
    """A message of ours."""
    return _encode({"type": kind, **content})


def event(name: str, body: bytes) -> bytes:
    """An event of a subscription, whose other members are in `body`."""
    return b'{"type":"event","subscription":%s,%s' % (_encode(name), body[1:])
