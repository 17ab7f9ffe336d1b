"""Close codes and the body of a close frame (RFC 6455, 5.5.1 and 7.4).

Rules of this file: numbers, their names, and the two conversions between a close frame's body and
(code, reason); nothing here decides when to close.
"""

from __future__ import annotations

from asgiws.websocket.errors import ProtocolError

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
UNSUPPORTED_DATA = 1003
NO_STATUS_RECEIVED = 1005
ABNORMAL_CLOSURE = 1006
INVALID_PAYLOAD = 1007
POLICY_VIOLATION = 1008
MESSAGE_TOO_BIG = 1009
MANDATORY_EXTENSION = 1010
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013
BAD_GATEWAY = 1014

#: Codes of the protocol's own range that are allowed in a close frame: those of RFC 6455, 7.4.1, and those
#: registered since (in the IANA registry that section 11.7 sets up). 1004 is reserved; 1005, 1006 and 1015
#: "MUST NOT be set as a status code in a Close control frame".
SENDABLE = frozenset(
    (
        *(NORMAL, GOING_AWAY, PROTOCOL_ERROR, UNSUPPORTED_DATA, INVALID_PAYLOAD, POLICY_VIOLATION),
        *(MESSAGE_TOO_BIG, MANDATORY_EXTENSION, INTERNAL_ERROR, SERVICE_RESTART, TRY_AGAIN_LATER),
        BAD_GATEWAY,
    )
)

#: A control frame carries at most 125 octets (5.5), two of them for the code.
MAX_REASON = 123


def is_sendable(code: int) -> bool:
    """True for a code that is allowed in a close frame (7.4.2: 3000-3999 registered, 4000-4999 private)."""
    return code in SENDABLE or 3000 <= code <= 4999


def parse(payload: bytes) -> tuple[int, str]:
    """(code, reason) from a close frame's body; (1005, "") for an empty one.

    Raises ProtocolError: 1002 for a body of one octet or a code that may not be sent, 1007 for a reason that
    is not UTF-8 (5.5.1).
    """
    if not payload:
        return NO_STATUS_RECEIVED, ""
    if len(payload) == 1:
        raise ProtocolError(PROTOCOL_ERROR, "close frame with a body of one octet")
    code = int.from_bytes(payload[:2], "big")
    if not is_sendable(code):
        raise ProtocolError(PROTOCOL_ERROR, f"close frame with the invalid code {code}")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolError(INVALID_PAYLOAD, "close reason is not UTF-8") from None


def serialise(code: int, reason: str = "") -> bytes:
    """The body of a close frame; empty for 1005.

    A reason of more than 123 octets is cut at a character boundary. Raises ValueError for a code that may not
    be sent, and for a reason that is not valid Unicode.
    """
    if code == NO_STATUS_RECEIVED:
        return b""
    if not is_sendable(code):
        raise ValueError(f"close code {code} may not be sent in a close frame (RFC 6455, 7.4)")
    encoded = reason.encode()
    if len(encoded) > MAX_REASON:
        encoded = encoded[:MAX_REASON].decode(errors="ignore").encode()
    return code.to_bytes(2, "big") + encoded
