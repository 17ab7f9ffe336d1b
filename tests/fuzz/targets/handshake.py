"""Opening handshakes: any header fields that HTTP lets through, and what is agreed of them.

The input: an octet of flags, one for the settings of compression, and header lines, `name: value`, each ended
by a line feed; lines that HTTP would refuse are left out. Flags: 1 another method, 2 HTTP/1.0, 4 without the
fields of a usual handshake in front.

What must hold:
- Nothing but HandshakeError comes out, with 400, 405 or 426, and with text and fields that can be sent.
- A handshake that is accepted has one key, and proves that it was read; its subprotocols are tokens, each once.
- The fields of the answer can be sent. It agrees to what the client offered and to nothing beyond (RFC 7692,
  7.1).
- Offers that are written down anew are read as the same offers.
"""

from __future__ import annotations

import base64
import hashlib
import re
from types import SimpleNamespace
from typing import Any

from asgiws.fields import FIELD_VALUE, TOKEN
from tests.fuzz.targets.wire import options
from tests.support.builds import Build, both

BUILDS = both("asgiws.websocket")
_LINE = re.compile(rb"(" + TOKEN + rb"):[ \t]*(" + FIELD_VALUE + rb")")
_TEXT = re.compile(rb"[\x20-\x7e]*")
USUAL = [
    (b"host", b"example.com"),
    (b"upgrade", b"websocket"),
    (b"connection", b"keep-alive, Upgrade"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
]
NAME = "permessage-deflate"
FLAGS = ("server_no_context_takeover", "client_no_context_takeover")


def _head(flags: int, wire: bytes) -> SimpleNamespace:
    fields = [] if flags & 4 else list(USUAL)
    for line in wire.split(b"\n"):
        match = _LINE.fullmatch(line)
        if match is not None:
            fields.append((match[1].lower(), match[2].strip(b" \t")))
    return SimpleNamespace(
        method="POST" if flags & 1 else "GET",
        http_version="1.0" if flags & 2 else "1.1",
        headers=fields,
    )


def _sendable(fields: list[tuple[bytes, bytes]]) -> None:
    for name, value in fields:
        assert re.fullmatch(TOKEN, name)
        assert _TEXT.fullmatch(value), value


def _refusal(error: Any) -> object:
    assert error.status in (400, 405, 426)
    assert _TEXT.fullmatch(error.reason.encode()), error.reason
    _sendable(error.headers)
    return error.status, error.reason, error.headers


def _answer(build: Build, head: SimpleNamespace, number: int) -> object:
    """What is answered, as plain values."""
    module = build["handshake"]
    try:
        handshake = module.check(head)
    except build["errors"].HandshakeError as error:
        return _refusal(error)
    keys = [value for name, value in head.headers if name == b"sec-websocket-key"]
    assert len(keys) == 1
    assert len(base64.b64decode(keys[0], validate=True)) == 16
    proof = hashlib.sha1(keys[0] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    assert base64.b64decode(handshake.accept) == proof
    names = handshake.subprotocols
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(TOKEN, name.encode("ascii")) for name in names)
    offers = [(offer.name, tuple(offer.parameters)) for offer in handshake.offers]
    again = build["extensions"].parse(
        [", ".join(map(str, handshake.offers)).encode("ascii")] if offers else []
    )
    assert [(offer.name, tuple(offer.parameters)) for offer in again] == offers
    settings = build["compression"].Settings(
        window_bits=9 + number % 7,
        client_window_bits=9 + (number >> 3) % 7,
        server_no_context_takeover=bool(number & 0x40),
        client_no_context_takeover=bool(number & 0x80),
    )
    compression = build["compression"].Compression(settings)
    subprotocol = names[-1] if names else None
    fields, parameters = module.response(handshake, subprotocol, compression)
    _sendable(fields)
    agreed = [value for name, value in fields if name == b"sec-websocket-extensions"]
    assert len(agreed) == (parameters is not None)
    if parameters is not None:
        _agreed(build, agreed[0].decode(), tuple(parameters), handshake.offers, settings)
    return handshake.accept, names, offers, fields, parameters and tuple(parameters)


def _agreed(build: Build, value: str, parameters: Any, offers: Any, settings: Any) -> None:
    """One of the offers must be there of which the answer is a proper one."""
    [answer] = build["extensions"].parse([value.encode()])
    assert answer.name == NAME
    said = dict(answer.parameters)
    assert len(said) == len(answer.parameters)
    assert parameters == (
        FLAGS[0] in said,
        FLAGS[1] in said,
        int(said.get("server_max_window_bits") or 15),
        int(said.get("client_max_window_bits") or 15),
    )
    assert parameters[2] <= settings.window_bits
    assert any(_fits(said, offer) for offer in offers), f"{value} answers no offer"


def _fits(said: dict[str, str | None], offer: Any) -> bool:
    offered = dict(offer.parameters)
    if offer.name != NAME or len(offered) != len(offer.parameters):
        return False
    if not set(offered) <= {*FLAGS, "server_max_window_bits", "client_max_window_bits"}:
        return False
    if any(offered.get(flag) is not None for flag in FLAGS):
        return False
    if FLAGS[0] in offered and FLAGS[0] not in said:
        return False
    window = _bits(offered.get("server_max_window_bits", "15"))
    if int(said.get("server_max_window_bits") or 15) > window:
        return False
    if "client_max_window_bits" in said:
        # Offered without a value, it may be answered with any (7.1.2.2).
        if "client_max_window_bits" not in offered:
            return False
        window = _bits(offered["client_max_window_bits"] or "15")
        return int(said["client_max_window_bits"] or 99) <= window
    return True


def _bits(value: str | None) -> int:
    """A window that may stand there, or 0, which nothing fits into."""
    return int(value) if value is not None and re.fullmatch("8|9|1[0-5]", value) else 0


def target(data: bytes) -> None:
    (flags, number), wire = options(data, 2)
    head = _head(flags, wire)
    answer, *others = (_answer(build, head, number) for build in BUILDS)
    for other in others:
        assert other == answer, f"the builds differ: {other} and {answer}"
