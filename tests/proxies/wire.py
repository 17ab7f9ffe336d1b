"""Octets to a server and back, and a backend that records what a proxy sends to it.

Rules of this file: the reader here is as strict as can be, and of its own making. It is for what proxies send,
which is HTTP/1.1 in its plainest form; what it does not know it does not guess at.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import threading
from typing import NamedTuple

#: A guard against hanging, and not a verdict.
TIMEOUT = 20.0

Address = tuple[str, int]


def exchange(address: Address, data: bytes, patience: float = 0.0) -> bytes:
    """Send `data`, and read until the server closes, or cuts, the connection.

    Our own side is closed when nothing has come for `patience` seconds: HAProxy serves no further request of a
    client that has closed it, and would wait for one that has sent half a request and has not.
    """
    received = b""
    with socket.create_connection(address, TIMEOUT) as sock:
        # Who has refused the head of it may be gone before the end is sent.
        with contextlib.suppress(ConnectionError):
            sock.sendall(data)
        with contextlib.suppress(ConnectionError):
            while select.select([sock], [], [], patience)[0]:
                more = sock.recv(65536)
                if not more:
                    return received
                received += more
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while more := sock.recv(65536):
                received += more
    return received


def body_of(response: bytes) -> bytes:
    """The body of one whole response that has a Content-Length."""
    head, _, body = response.partition(b"\r\n\r\n")
    match = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    assert head.startswith(b"HTTP/1.1 200"), response
    assert match is not None, response
    assert len(body) == int(match[1]), response
    return body


class Request(NamedTuple):
    """A request as the wire has it; `body` is None while it is not complete."""

    method: str
    target: str
    host: str
    body: str | None


class NotPlain(Exception):
    """What came is not HTTP/1.1 in its plainest form."""


_LINE = re.compile(rb"([!-~]+) ([\x21-\xff]+) HTTP/[0-9]\.[0-9]")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n]*)")


def read_request(data: bytes) -> tuple[Request | None, int]:
    """The first request in `data`, as far as it is there, and its length; 0 while it is not complete.

    Raises NotPlain.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None, 0
    first, *rest = data[:end].split(b"\r\n")
    line = _LINE.fullmatch(first)
    fields = [_FIELD.fullmatch(one) for one in rest]
    if line is None or not all(fields):
        raise NotPlain(data[:end])
    values: dict[bytes, list[bytes]] = {}
    for field in fields:
        assert field is not None
        values.setdefault(field[1].lower(), []).append(field[2].rstrip(b" \t"))
    lengths = values.get(b"content-length", [])
    codings = values.get(b"transfer-encoding", [])
    hosts = values.get(b"host", [])
    # HAProxy passes empty members on.
    codings = [one for one in b",".join(codings).replace(b" ", b"").split(b",") if one]
    if len(lengths) + len(codings) > 1 or len(hosts) > 1:
        raise NotPlain(data[:end])
    position = end + 4
    body: bytes | None = b""
    if lengths:
        # HAProxy passes more digits on, and takes them modulo 2**64.
        if not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
            raise NotPlain(data[:end])
        size = int(lengths[0])
        body = data[position : position + size] if len(data) >= position + size else None
        position += size
    elif codings:
        if codings[0].lower() != b"chunked":
            raise NotPlain(data[:end])
        body, position = _read_chunks(data, position)
    method, target, host = (part.decode("latin-1") for part in (line[1], line[2], b"".join(hosts)))
    text = None if body is None else body.decode("latin-1")
    return Request(method, target, host, text), 0 if body is None else position


def _read_chunks(data: bytes, position: int) -> tuple[bytes | None, int]:
    body = b""
    while (end := data.find(b"\r\n", position)) >= 0:
        size = re.fullmatch(rb"[0-9A-Fa-f]{1,15}", data[position:end])
        if size is None:
            raise NotPlain(data[position:end])
        count = int(size[0], 16)
        position = end + 2
        if count == 0:
            while (end := data.find(b"\r\n", position)) >= 0:
                trailer, position = data[position:end], end + 2
                if not trailer:
                    return body, position
                if _FIELD.fullmatch(trailer) is None:
                    raise NotPlain(trailer)
            return None, 0
        if len(data) < position + count + 2:
            return None, 0
        if data[position + count : position + count + 2] != b"\r\n":
            raise NotPlain(data[position : position + count + 2])
        body += data[position : position + count]
        position += count + 2
    return None, 0


class Recorder:
    """A backend that answers each request with 200, and keeps what came, octet by octet.

    It drops the connection at what is not plain.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        #: Everything that came, in order; the half of a request at its end included.
        self.octets = b""
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: Address = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def take(self) -> tuple[list[Request], bytes]:
        """The requests and the octets since this was called last."""
        with self._lock:
            result = self.requests, self.octets
            self.requests, self.octets = [], b""
        return result

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        data = b""
        #: Where the request stands that has begun and is not complete.
        begun: int | None = None
        with sock, contextlib.suppress(ConnectionError, NotPlain):
            while more := sock.recv(65536):
                data += more
                answers = []
                with self._lock:
                    self.octets += more
                    while data:
                        request, size = read_request(data)
                        if request is not None:
                            begun = self._note(begun, request)
                        if not size:
                            break
                        assert request is not None
                        answers.append(self._answer(request))
                        data = data[size:]
                        begun = None
                sock.sendall(b"".join(answers))

    def _note(self, begun: int | None, request: Request) -> int:
        """Note a request, in the place where it has begun."""
        if begun is None or begun >= len(self.requests):
            self.requests.append(request)
            return len(self.requests) - 1
        self.requests[begun] = request
        return begun

    @staticmethod
    def _answer(request: Request) -> bytes:
        if request.method == "CONNECT":  # or the proxy would make a tunnel of it
            return b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n"
        if request.method == "HEAD":
            return b"HTTP/1.1 200 OK\r\n\r\n"
        body = request.target.encode("latin-1")
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
