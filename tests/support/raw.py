"""Raw clients for the tests: octets over a blocking socket, and just enough HTTP and WebSocket.

Rules of this file:
- It shares no code with the server and none with a client library: what it sends may be as wrong
  as a test wants, and what it receives is checked as strictly as the RFCs allow.
- Each wait has TIMEOUT seconds, as a guard against hanging and not as a verdict.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import ssl
import struct
from types import TracebackType
from typing import Any, NamedTuple

from tests.support.server import RunningServer

TIMEOUT = 25.0
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Response(NamedTuple):
    """An HTTP response; `headers` in lower case, in order; `body` with its framing undone."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    trailers: list[tuple[str, str]]
    version: str

    def get(self, name: str) -> str | None:
        """The value of a field that may stand there once."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name} stands there {len(values)} times"
        return values[0] if values else None

    def json(self) -> Any:
        return json.loads(self.body)


class Frame(NamedTuple):
    opcode: int
    payload: bytes
    fin: bool = True
    rsv1: bool = False


class Raw:
    """A connection that reads and writes octets."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(TIMEOUT)
        self.buffer = b""

    @classmethod
    def connect(cls, server: RunningServer, receive_buffer: int = 0) -> Raw:
        """Connect over TCP; with a small receive buffer the server soon finds the client slow."""
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect((server.host, server.port))
        return cls(sock)

    def __enter__(self) -> Raw:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """End the connection by a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def shut(self) -> None:
        """Send no more: a FIN."""
        self.sock.shutdown(socket.SHUT_WR)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def _more(self) -> bool:
        """Read once; False at the end of the stream."""
        data = self.sock.recv(262144)
        self.buffer += data
        return bool(data)

    def read(self, size: int) -> bytes:
        """Exactly `size` octets."""
        if len(self.buffer) < size:
            collected = bytearray(self.buffer)
            self.buffer = b""
            while len(collected) < size:
                data = self.sock.recv(1 << 20)
                assert data, f"the stream ended after {bytes(collected)[-200:]!r}"
                collected += data
            self.buffer = bytes(collected)
        result, self.buffer = self.buffer[:size], self.buffer[size:]
        return result

    def read_until(self, end: bytes) -> bytes:
        """What comes up to `end`, and that."""
        while end not in self.buffer:
            assert self._more(), f"the stream ended after {self.buffer[-200:]!r}"
        result, found, self.buffer = self.buffer.partition(end)
        return result + found

    def read_all(self) -> bytes:
        """What comes until the peer has closed its side. A reset fails the test."""
        collected = bytearray(self.buffer)
        self.buffer = b""
        while data := self.sock.recv(1 << 20):
            collected += data
        return bytes(collected)

    def is_lost(self) -> bool:
        """Read on until the end: True when the connection was cut rather than closed."""
        try:
            self.read_all()
        except (ConnectionResetError, ssl.SSLError):
            return True
        return False

    # HTTP

    def request(self, request: bytes, method: str = "") -> Response:
        """Send a request and read the response to it."""
        self.send(request)
        return self.response(method or request.split(b" ", 1)[0].decode())

    def head(self) -> tuple[str, int, list[tuple[str, str]]]:
        """A response's version, status and header."""
        lines = self.read_until(b"\r\n\r\n")[:-4].decode("latin-1").split("\r\n")
        version, status, _ = lines[0].split(" ", 2)
        assert version == "HTTP/1.1", lines[0]
        return version, int(status), [_field(line) for line in lines[1:]]

    def response(self, method: str = "GET") -> Response:
        """The next response, to a request of that method (HEAD has no body)."""
        version, status, headers = self.head()
        fields = dict(headers)
        names = [name for name, _ in headers]
        for name in ("content-length", "transfer-encoding", "date", "connection"):
            assert names.count(name) <= 1, headers
        trailers: list[tuple[str, str]] = []
        if method == "HEAD" or status < 200 or status in (204, 304):
            body = b""
        elif "transfer-encoding" in fields:
            assert fields["transfer-encoding"] == "chunked"
            assert "content-length" not in fields
            body, trailers = self._chunked()
        elif "content-length" in fields:
            body = self.read(int(fields["content-length"]))
        else:
            assert fields.get("connection") == "close", headers
            body = self.read_all()
        return Response(status, headers, body, trailers, version)

    def _chunked(self) -> tuple[bytes, list[tuple[str, str]]]:
        body = bytearray()
        while True:
            size = int(self.read_until(b"\r\n")[:-2], 16)
            if not size:
                break
            body += self.read(size)
            assert self.read(2) == b"\r\n"
        trailers = []
        while (line := self.read_until(b"\r\n")) != b"\r\n":
            trailers.append(_field(line[:-2].decode("latin-1")))
        return bytes(body), trailers

    # WebSocket

    def upgrade(self, path: str = "/", *headers: str, tail: bytes = b"") -> Response:
        """A right opening handshake, with `tail` in the same segment; the 101 is checked."""
        response = self.request(handshake(path, *headers) + tail, "HEAD")
        assert response.status == 101, response
        accept = base64.b64encode(hashlib.sha1((KEY + GUID).encode()).digest()).decode()
        assert response.get("sec-websocket-accept") == accept
        assert (response.get("upgrade") or "").lower() == "websocket"
        assert (response.get("connection") or "").lower() == "upgrade"
        assert response.get("content-length") is None
        assert response.get("transfer-encoding") is None
        return response

    def send_frame(self, opcode: int, payload: bytes = b"", **options: Any) -> None:
        self.send(frame(opcode, payload, **options))

    def frame(self) -> Frame:
        """The next frame, which must not be masked, and must be in its shortest form."""
        first, second = self.read(2)
        assert not second & 0x80, "a frame from the server is masked"
        assert not first & 0x30, "a reserved bit is set"
        length = second
        if second == 126:
            length = int.from_bytes(self.read(2), "big")
            assert length > 125
        elif second == 127:
            length = int.from_bytes(self.read(8), "big")
            assert length > 65535
        opcode = first & 0x0F
        if opcode >= CLOSE:
            assert length <= 125
            assert first & 0x80
        return Frame(opcode, self.read(length), bool(first & 0x80), bool(first & 0x40))

    def message(self) -> str | bytes:
        """The next frame, which is a whole message."""
        got = self.frame()
        assert got.fin, got
        assert got.opcode in (TEXT, BINARY), got
        return got.payload.decode() if got.opcode == TEXT else got.payload

    def close_frame(self) -> tuple[int, str]:
        """The next frame, which must be a close frame: its code, 1005 for none, and reason."""
        got = self.frame()
        assert got.opcode == CLOSE, got
        if not got.payload:
            return 1005, ""
        return int.from_bytes(got.payload[:2], "big"), got.payload[2:].decode()

    def closed_by_server(self) -> tuple[int, str]:
        """The server's last words: a close frame, nothing behind it, an orderly end of TCP."""
        code, reason = self.close_frame()
        rest = self.read_all()
        assert rest == b"", f"behind the close frame came {rest[:80]!r}"
        return code, reason


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    assert colon, line
    assert name, line
    assert name == name.strip(), line
    return name.lower(), value.strip()


def request(
    path: str, *headers: str, method: str = "GET", version: str = "1.1", body: bytes = b""
) -> bytes:
    """A request with `headers` behind Host."""
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def handshake(path: str = "/", *headers: str, host: str = "localhost") -> bytes:
    """An opening handshake with `headers` at its end; one given there replaces the usual one."""
    usual = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    for header in headers:
        usual.pop(header.partition(":")[0], None)
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in usual.items())]
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x37\xfa\x21\x3d",
    length: int | None = None,
    form: int = 0,
) -> bytes:
    """A client's frame. `length` is announced instead of the payload's; `form` 16 or 64 takes
    that length field although a shorter one would do."""
    size = len(payload) if length is None else length
    masked = 0x80 if mask is not None else 0
    data = bytearray([(0x80 if fin else 0) | rsv << 4 | opcode])
    if size < 126 and not form:
        data.append(masked | size)
    elif size < 65536 and form != 64:
        data.append(masked | 126)
        data += size.to_bytes(2, "big")
    else:
        data.append(masked | 127)
        data += size.to_bytes(8, "big")
    if mask is None:
        return bytes(data + payload)
    return bytes(data + mask + xor(payload, mask))


def xor(payload: bytes, mask: bytes) -> bytes:
    """The payload masked, or unmasked."""
    if not payload:
        return b""
    size = len(payload)
    pattern = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")).to_bytes(size, "big")


def close_frame(code: int | None = 1000, reason: bytes | str = b"") -> bytes:
    """A client's close frame; None for one without a body."""
    if code is None:
        return frame(CLOSE)
    encoded = reason.encode() if isinstance(reason, str) else reason
    return frame(CLOSE, code.to_bytes(2, "big") + encoded)


def unused_name() -> str:
    """A name that no other test uses, on any worker."""
    return os.urandom(8).hex()


class Desk:
    """The tests' line to `apps.py`, beside the connection that is tested.

    It opens a connection for each call, so that nothing of one test is left for the next.
    """

    def __init__(self, server: RunningServer, tls: ssl.SSLContext | None = None) -> None:
        self.server = server
        self.tls = tls

    def ask(self, path: str) -> Any:
        """GET a JSON value."""
        raw = Raw.connect(self.server)
        if self.tls is not None:
            raw.sock = self.tls.wrap_socket(raw.sock, server_hostname="localhost")
        with raw:
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            response = raw.request(request.encode())
        assert response.status == 200, response
        return response.json()

    def report(self, name: str) -> dict[str, Any]:
        """What the application of that name saw; waits until it has ended."""
        result = self.ask(f"/report?{name}")
        assert isinstance(result, dict)
        return result

    def wait_for(self, name: str, step: str) -> None:
        """Wait until the application of that name has come to a step."""
        self.ask(f"/wait?{name}&{step}")

    def release(self, name: str) -> None:
        """Let the application of that name go on from where it waits."""
        self.ask(f"/release?{name}")

    def memory(self) -> int:
        """The server's resident memory in octets."""
        return int(self.ask("/memory"))
