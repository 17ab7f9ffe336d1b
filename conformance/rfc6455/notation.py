"""How a case is written: clauses, octets in, what the application does, frames and events out.

Rules of this file:
- It knows RFC 6455 and RFC 7692 and no server. What a client sends may be as wrong as a case wants.
- A case's client opens with `request`, then sends `received`, then says goodbye with a close frame
  (1000) if the connection is still open, so that every case has an end. With `lost` its TCP ends
  instead.
- Frames out are compared in their order, but for pongs, which have an order of their own: nothing
  says whether a pong comes before the answer to an earlier message. A close frame is always last.
- What the application is told comes without `websocket.connect`; None when it must not be called.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
RSV1, RSV2, RSV3 = 4, 2, 1

#: The limit for messages that the server under test is started with.
MAX_SIZE = 70_000

Event: TypeAlias = dict[str, Any]

# Octets in.

#: The masking key of the example in 5.7.
KEY = bytes.fromhex("37fa213d")


class Wait(NamedTuple):
    """Stands in `received`: the client reads until it has this many frames."""

    frames: int


Received: TypeAlias = "bytes | tuple[bytes | Wait, ...]"


def octets(hexadecimal: str) -> bytes:
    """Octets as the documents write them: "0x81 0x05 0x48", or "81 05 48"."""
    return bytes.fromhex(hexadecimal.replace("0x", ""))


def frame(
    opcode: int,
    payload: bytes | str = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = KEY,
    form: int = 0,
    length: int | None = None,
) -> bytes:
    """A frame as a client sends it (5.2, 5.3).

    `rsv` is three bits in one number; without a `key` it is not masked; `form` forces the length
    into 7, 16 or 64 bits; `length` announces another one than the payload's.
    """
    data = payload.encode() if isinstance(payload, str) else payload
    size = len(data) if length is None else length
    form = form or (7 if size < 126 else 16 if size < 1 << 16 else 64)
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    mask = 0 if key is None else 0x80
    short = {7: size, 16: 126, 64: 127}[form]
    extended = b"" if form == 7 else size.to_bytes(form // 8, "big")
    header = bytes((first, mask | short)) + extended
    if key is None:
        return header + data
    return header + key + bytes(octet ^ key[i % 4] for i, octet in enumerate(data))


def text(payload: bytes | str = b"", **options: Any) -> bytes:
    return frame(TEXT, payload, **options)


def binary(payload: bytes = b"", **options: Any) -> bytes:
    return frame(BINARY, payload, **options)


def more(payload: bytes | str = b"", **options: Any) -> bytes:
    """A continuation frame that is not the last."""
    return frame(CONT, payload, fin=False, **options)


def last(payload: bytes | str = b"", **options: Any) -> bytes:
    """The last fragment of a message."""
    return frame(CONT, payload, **options)


def ping(payload: bytes | str = b"", **options: Any) -> bytes:
    return frame(PING, payload, **options)


def pong(payload: bytes | str = b"", **options: Any) -> bytes:
    return frame(PONG, payload, **options)


def close(code: int | None = None, reason: bytes | str = b"", **options: Any) -> bytes:
    """A close frame; without a code its body is empty."""
    tail = reason.encode() if isinstance(reason, str) else reason
    body = b"" if code is None else code.to_bytes(2, "big") + tail
    return frame(CLOSE, body, **options)


class Deflater:
    """A client's compressor (RFC 7692, 7.2.1); it keeps its window from message to message."""

    def __init__(self, bits: int = 15) -> None:
        self._stream = zlib.compressobj(wbits=-bits)

    def piece(self, data: bytes | str) -> bytes:
        """The data of a fragment that is not the last: flushed to an octet's boundary."""
        raw = data.encode() if isinstance(data, str) else data
        return self._stream.compress(raw) + self._stream.flush(zlib.Z_SYNC_FLUSH)

    def message(self, data: bytes | str) -> bytes:
        """The data of a whole message, or of its last fragment."""
        return self.piece(data)[:-4]


def deflated(data: bytes | str, bits: int = 15) -> bytes:
    """A message compressed with an empty window."""
    return Deflater(bits).message(data)


#: "Hello" as section 7.2.3.1 of RFC 7692 compresses it.
HELLO = octets("0xf2 0x48 0xcd 0xc9 0xc9 0x07 0x00")

# The opening handshake. `{path}` is where the runner of the table has the application.

SAMPLE_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_FIELDS = (
    ("Host", "server.example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", SAMPLE_KEY),
    ("Sec-WebSocket-Version", "13"),
)


def opening(
    *fields: tuple[str, str], without: Iterable[str] = (), line: str = "GET {path} HTTP/1.1"
) -> str:
    """A client's opening handshake (4.1). One of `fields` takes the place of the usual one of its
    name, in whatever case, and comes last."""
    gone = {name.lower() for name in without} | {name.lower() for name, _ in fields}
    kept = [field for field in _FIELDS if field[0].lower() not in gone]
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in (*kept, *fields)), "", ""])


def offering(*values: str) -> str:
    """An opening handshake with these lines of `Sec-WebSocket-Extensions`."""
    return opening(*(("Sec-WebSocket-Extensions", value) for value in values))


OPENING = opening()
DEFLATE = offering("permessage-deflate")

# What the application does: ASGI events are sent, and these are done.

ECHO = "echo"  # send back every message until the end
LISTEN = "listen"  # receive until the end
RECEIVE = "receive"  # one event
SUBPROTOCOLS = "subprotocols"  # note what the client speaks, as the scope has it
RAISE = "raise"
Step: TypeAlias = "str | Event"

ACCEPT: Event = {"type": "websocket.accept"}
DENY: Event = {"type": "websocket.close"}  # in place of ACCEPT


def accept(**content: Any) -> Event:
    return {**ACCEPT, **content}


def send(content: str | bytes) -> Event:
    return {"type": "websocket.send", _kind(content): content}


def end(code: int | None = None, reason: str | None = None) -> Event:
    """`websocket.close`, as the application sends it."""
    event: Event = {"type": "websocket.close"}
    if code is not None:
        event["code"] = code
    if reason is not None:
        event["reason"] = reason
    return event


def _kind(content: str | bytes) -> str:
    return "text" if isinstance(content, str) else "bytes"


# What it is told.

#: What the application sent last was refused: `send()` raised.
REFUSED: Event = {"type": "refused"}


def received(content: str | bytes) -> Event:
    return {"type": "websocket.receive", _kind(content): content}


def disconnect(code: int, reason: str | None = "") -> Event:
    """`websocket.disconnect`; None stands for any reason."""
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


# Frames out.


class Frame(NamedTuple):
    """One frame: its first octet and its payload."""

    first: int
    payload: bytes


class Message(NamedTuple):
    """A message where compression was agreed: compressed or not, once inflated."""

    content: str | bytes


class Closed(NamedTuple):
    """A close frame; without a code its body is empty. None stands for any reason."""

    code: int | None
    reason: str | None = None


Sent: TypeAlias = "Frame | Message | Closed"


def plain(content: str | bytes) -> Frame:
    """A message in one frame."""
    if isinstance(content, str):
        return Frame(0x80 | TEXT, content.encode())
    return Frame(0x80 | BINARY, content)


def ponged(payload: bytes | str = b"") -> Frame:
    return Frame(0x80 | PONG, payload.encode() if isinstance(payload, str) else payload)


class Agreed(NamedTuple):
    """What a response may say of permessage-deflate (RFC 7692, 7.1), in bounds of what is legal.

    `server_no_context_takeover` must be confirmed; the windows are the most that may be named, and
    `confirm` says that the server's must be. `client_max_window_bits` None: must not be there.
    """

    server_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    confirm: bool = False
    client_max_window_bits: int | None = None


class Case(NamedTuple):
    """One connection from its opening handshake to its end; the rules of this file tell the rest.

    `status` and `head` are those of the response to the opening handshake; for a name with None in
    `head` there must be no field. `extension` None: no extension may be agreed.
    """

    id: str
    what: str
    received: Received = b""
    sent: tuple[Sent, ...] = ()
    told: tuple[Event, ...] | None = ()
    does: tuple[Step, ...] = (ACCEPT, ECHO)
    request: str = OPENING
    status: int = 101
    head: tuple[tuple[str, str | None], ...] = ()
    extension: Agreed | None = None
    lost: bool = False

    @property
    def ends(self) -> bool:
        """Whether it comes to its end without a goodbye."""
        told = self.told
        if told is None or (self.sent and isinstance(self.sent[-1], Closed)):
            return True
        return bool(told) and told[-1]["type"] == "websocket.disconnect"


class Clause(NamedTuple):
    """A normative sentence: the section, its words, the cases under it, other cases that hold it
    too, and why there is none where there is none."""

    section: str
    words: str
    cases: tuple[Case, ...] = ()
    also: tuple[str, ...] = ()
    why: str = ""


def clause(
    section: str, words: str, *cases: Case, also: Iterable[str] = (), why: str = ""
) -> Clause:
    return Clause(section, words, cases, tuple(also), why)


# The usual shapes of a case.


def echoes(id: str, what: str, data: Received, *contents: str | bytes, **more: Any) -> Case:
    """The messages reach the application and are sent back as they came."""
    answer: Any = Message if more.get("extension") else plain
    return Case(
        id, what, data, tuple(map(answer, contents)), tuple(map(received, contents)), **more
    )


def pongs(id: str, what: str, data: Received, *payloads: bytes | str, **more: Any) -> Case:
    """Pings are answered, and the application hears nothing of them."""
    return Case(id, what, data, tuple(map(ponged, payloads)), **more)


def fails(id: str, what: str, data: Received, code: int, *before: str | bytes, **more: Any) -> Case:
    """The connection is failed with `code`, after the messages before were answered."""
    case = echoes(id, what, data, *before, **more)
    told = (*(case.told or ()), disconnect(code, None))
    return case._replace(sent=(*case.sent, Closed(code)), told=told)


def closes(
    id: str, what: str, data: Received, code: int | None, reason: str = "", **more: Any
) -> Case:
    """The client closes: its code and reason are echoed, and told to the application."""
    told = disconnect(1005 if code is None else code, reason)
    return Case(id, what, data, (Closed(code, reason),), (told,), **more)


def refused(id: str, what: str, request: str, status: int = 400, **more: Any) -> Case:
    """The server refuses the handshake by itself."""
    return Case(id, what, request=request, status=status, told=None, **more)
