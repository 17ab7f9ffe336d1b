"""Plain HTTP clients for the tests that are about processes rather than about octets (see raw.py for those).

Rules of this file: each wait has TIMEOUT seconds, as a guard against hanging and not as a verdict.
"""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.server import RunningServer

TIMEOUT = 30.0


def get(url: str) -> Any:
    """GET a JSON value."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        return json.load(response)


def connect_unix(path: Path | str) -> socket.socket:
    """A connection to a Unix socket."""
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(TIMEOUT)
    peer.connect(str(path))
    return peer


def exchange(peer: socket.socket, path: str = "/scope") -> Any:
    """The JSON value that one request on a connected socket is answered with; closes the socket."""
    with peer:
        peer.settimeout(TIMEOUT)
        peer.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        text = read_all(peer)
    assert text.startswith(b"HTTP/1.1 200 ")
    return json.loads(text.partition(b"\r\n\r\n")[2])


def send(server: RunningServer, text: str) -> socket.socket:
    """A connection on which `text` was sent, each line of it ended as HTTP has it."""
    peer = socket.create_connection((server.host, server.port), timeout=TIMEOUT)
    peer.sendall(text.replace("\n", "\r\n").encode())
    return peer


def hang(server: RunningServer, path: str = "/hang") -> socket.socket:
    """A request that lifecycle_app.py does not answer, and has begun with."""
    peer = send(server, f"GET {path} HTTP/1.1\nHost: a\n\n")
    server.wait_for_log("app: hanging")
    return peer


def read_all(peer: socket.socket) -> bytes:
    """What comes until the end of the connection, be it a reset."""
    chunks = []
    try:
        while chunk := peer.recv(65536):
            chunks.append(chunk)
    except ConnectionError:
        pass
    return b"".join(chunks)
