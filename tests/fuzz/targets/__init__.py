"""The fuzz targets: each a function that takes octets, and raises when a promise was broken.

Rules of this package:
- A target needs no fuzzer. Nothing is kept between two calls that could change the second.
- What a peer can make happen is an event or one of the package's own errors; any other exception is a finding.
- Each runs in the pure build and, where there is one, in the compiled build, and both must say the same.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.targets import chunked, deflate, handshake, http, origins, proxies, websocket

TARGETS: dict[str, Callable[[bytes], None]] = {
    "http-httptools": http.httptools,
    "http-h11": http.h11,
    "http-differential": http.differential,
    "chunked": chunked.target,
    "websocket": websocket.target,
    "inflate": deflate.inflate,
    "deflate": deflate.deflate,
    "handshake": handshake.target,
    "origins": origins.target,
    "proxies": proxies.target,
}

#: Those of `asgiws.websocket`.
WEBSOCKET = ("websocket", "inflate", "deflate", "handshake", "origins")
