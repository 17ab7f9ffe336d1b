"""The answers to health probes (`--health-path`), in which the application has no part.

Rules of this file: a probe is about the worker, not about what it serves. A worker that answers is alive; it is
ready until its drain begins. Answers must not be cached.
"""

from __future__ import annotations

from asgiws.asgi.types import Headers
from asgiws.http.head import RequestHead

_TEXT: Headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
_NOT_ALLOWED: Headers = [*_TEXT, (b"allow", b"GET, HEAD")]  # RFC 9110, 15.5.6

Answer = tuple[int, Headers, bytes]


class Health:
    """Answers probes of `path`, and of `path` followed by `/ready`."""

    def __init__(self, path: str) -> None:
        self.alive = path.encode("ascii")
        self.ready = path.rstrip("/").encode("ascii") + b"/ready"

    def answer(self, head: RequestHead, is_ready: bool) -> Answer | None:
        """Status, headers and body for a probe; None for every other request."""
        path = head.raw_path
        if path not in (self.alive, self.ready):
            return None
        if head.method not in ("GET", "HEAD"):
            return 405, _NOT_ALLOWED, b"Method Not Allowed"
        if path == self.alive:
            return 200, _TEXT, b"alive"
        return (200, _TEXT, b"ready") if is_ready else (503, _TEXT, b"not ready")
