"""The opening handshake of a server (RFC 6455, 4.2), from a request head that is already parsed.

Rules of this file: it reads a head and answers with facts or a HandshakeError; it writes no HTTP. Each check
quotes the item of section 4.2.1 that it implements.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import sys
from typing import Protocol

from asgiws.fields import TOKEN
from asgiws.websocket import deflate, extensions
from asgiws.websocket.compression import Compression
from asgiws.websocket.errors import HandshakeError

#: 1.3: appended to the key before it is hashed.
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION = b"13"

_TOKEN = re.compile(TOKEN)


class Head(Protocol):
    """What the handshake needs from a request head: names in lower case, values without outer white space."""

    method: str
    http_version: str
    headers: list[tuple[bytes, bytes]]


class Handshake:
    """A valid opening handshake: `accept` is the value that proves it was read, `subprotocols` are those of the
    client in its order of preference, `offers` the extensions that it offers."""

    __slots__ = ("accept", "offers", "subprotocols")

    def __init__(
        self, accept: bytes, subprotocols: list[str], offers: list[extensions.Extension]
    ) -> None:
        self.accept = accept
        self.subprotocols = subprotocols
        self.offers = offers


def check(head: Head) -> Handshake:
    """Check an upgrade request against section 4.2.1.

    Raises HandshakeError: 400 for a malformed request, 405 for a method other than GET, 426 for another
    version.
    """
    if head.method != "GET":
        # "1. An HTTP/1.1 or higher GET request"
        raise HandshakeError(405, "a WebSocket handshake uses GET", [(b"allow", b"GET")])
    if head.http_version < "1.1":
        raise HandshakeError(400, "a WebSocket handshake needs HTTP/1.1")
    keys, versions, protocols, offers = [], [], [], []
    upgrade, connection = False, False
    for name, value in head.headers:
        if name == b"sec-websocket-key":
            keys.append(value)
        elif name == b"sec-websocket-version":
            versions.append(value)
        elif name == b"sec-websocket-protocol":
            protocols.append(value)
        elif name == b"sec-websocket-extensions":
            offers.append(value)
        elif name == b"upgrade":
            upgrade = upgrade or b"websocket" in _tokens(value)
        elif name == b"connection":
            connection = connection or b"upgrade" in _tokens(value)
    if not upgrade:
        # "3. An |Upgrade| header field containing the value "websocket", treated as an ASCII
        # case-insensitive value."
        raise HandshakeError(400, "the Upgrade header does not name websocket")
    if not connection:
        # "4. A |Connection| header field that includes the token "Upgrade""
        raise HandshakeError(400, "the Connection header does not include Upgrade")
    if versions != [VERSION]:
        # "6. A |Sec-WebSocket-Version| header field, with a value of 13."; 4.4: the answer to other versions
        # lists the supported ones. RFC 9110, 15.5.22: "The server MUST send an Upgrade header field in a 426
        # response"; 7.8: with the option in Connection.
        reason = "this server speaks version 13 of the WebSocket protocol"
        spoken = [
            (b"sec-websocket-version", VERSION),
            (b"upgrade", b"websocket"),
            (b"connection", b"upgrade"),
        ]
        raise HandshakeError(426, reason, spoken)
    return Handshake(_accept(keys), _subprotocols(protocols), _offers(offers))


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip(b" \t") for token in value.lower().split(b",")]


def _accept(keys: list[bytes]) -> bytes:
    # "5. A |Sec-WebSocket-Key| header field with a base64-encoded value that, when decoded, is 16 bytes in
    # length."
    if len(keys) != 1:
        problem = "missing" if not keys else "repeated"
        raise HandshakeError(400, f"the Sec-WebSocket-Key header is {problem}")
    try:
        nonce = _decoded(keys[0])
    except binascii.Error:
        nonce = b""
    if len(nonce) != 16:
        raise HandshakeError(400, "the Sec-WebSocket-Key header is not 16 octets in base64")
    digest = hashlib.sha1(keys[0] + GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False)


def _decoded(value: bytes) -> bytes:
    """`value` decoded from base64. Raises binascii.Error if it is not base64."""
    if sys.version_info >= (3, 11):
        decoded = binascii.a2b_base64(value, strict_mode=True)
    else:
        decoded = base64.b64decode(value, validate=True)
    return decoded


def _subprotocols(values: list[bytes]) -> list[str]:
    # "8. Optionally, a |Sec-WebSocket-Protocol| header field, with a list of values"; 4.1: tokens, "and MUST
    # all be unique strings".
    found: dict[str, None] = {}  # in order, and fast to look up: a client may name thousands
    for value in values:
        for item in value.split(b","):
            token = item.strip(b" \t")
            if not token:
                continue
            if not _TOKEN.fullmatch(token):
                raise HandshakeError(400, "the Sec-WebSocket-Protocol header is malformed")
            name = token.decode("ascii")
            if name in found:
                raise HandshakeError(
                    400, "the Sec-WebSocket-Protocol header names a protocol twice"
                )
            found[name] = None
    return list(found)


def _offers(values: list[bytes]) -> list[extensions.Extension]:
    try:
        return extensions.parse(values) if values else []
    except ValueError as error:
        raise HandshakeError(400, str(error)) from None


def response(
    handshake: Handshake, subprotocol: str | None, compression: Compression | None
) -> tuple[list[tuple[bytes, bytes]], deflate.Parameters | None]:
    """The header fields of the 101 response (4.2.2, item 5) except Connection, and the agreed compression.

    `compression` is the worker's, or None if it compresses nothing.

    Raises ValueError for a subprotocol that the client did not request: the client would have to fail the
    connection (4.1), so the application is told first.
    """
    headers = [
        (b"upgrade", b"websocket"),
        (b"sec-websocket-accept", handshake.accept),
    ]
    if subprotocol is not None:
        if subprotocol not in handshake.subprotocols:
            offered = ", ".join(handshake.subprotocols) or "none"
            raise ValueError(
                f"subprotocol {subprotocol!r} was not offered by the client ({offered})"
            )
        headers.append((b"sec-websocket-protocol", subprotocol.encode("ascii")))
    agreed = None
    if compression is not None and handshake.offers:
        agreed = deflate.negotiate(handshake.offers, compression.settings, compression.may_promise)
    if agreed is None:
        return headers, None
    headers.append((b"sec-websocket-extensions", str(agreed[0]).encode("ascii")))
    return headers, agreed[1]
