"""The seam between a request's exchange and what carries it: an interface, no behaviour.

Rules of this file:
- A Carrier belongs to one request. Its users need not know whether that is the request in progress on an
  HTTP/1.1 connection (`http_carrier.py`) or a stream of HTTP/2.
- It is a separate object and not the connection's driver: a stream is not a driver, and a compiled class has
  only one base. It lives as long as its request, so an idle connection has none.
"""

from __future__ import annotations

from typing import Any

from asgiws.asgi.types import Headers, Scope
from asgiws.bridge.exchange import Exchange
from asgiws.http.errors import HTTPError
from asgiws.http.response import HeaderPairs


class Carrier:
    """What carries one request and its response."""

    __slots__ = ()

    # The request.

    def scope(self) -> Scope:
        """The scope that the application is called with."""
        raise NotImplementedError

    def client(self) -> str:
        """The client's name for a log line."""
        raise NotImplementedError

    def ask_for_body(self) -> None:
        """The application waits for the body: tell the client to send it, if it waits for that."""
        raise NotImplementedError

    def body_taken(self, more: bool) -> None:
        """The application has received the part of the body that was there; with `more`, the rest follows."""
        raise NotImplementedError

    # The response. What cannot be sent raises InvalidResponse, before any of it is sent.

    def start(self, status: int, headers: HeaderPairs, trailers: bool) -> None:
        """The head of the response, which is sent with the first part of the body; `trailers` says whether
        trailers follow the body. Until something was sent, another response may replace it."""
        raise NotImplementedError

    def send(self, data: bytes, more: bool) -> None:
        """The next octets of the body: the last ones, unless there is `more`."""
        raise NotImplementedError

    def send_trailers(self, trailers: HeaderPairs) -> None:
        """The trailers of a response that was started with `trailers`."""
        raise NotImplementedError

    def inform(self, status: int, headers: HeaderPairs) -> None:
        """An interim response. It is left out if the client knows none, and once the head was sent."""
        raise NotImplementedError

    def start_file(self, size: int, more: bool) -> None:
        """`size` octets of a file follow: the last of the body, unless there is `more`. Afterwards call
        `send_file`, if `sends_body()` and `size` is not 0, and then `end_file`."""
        raise NotImplementedError

    async def send_file(self, file: Any, size: int) -> int:
        """Send them, like `Outlet.send_file`."""
        raise NotImplementedError

    def end_file(self, size: int, more: bool) -> None:
        """The octets of the file were sent."""
        raise NotImplementedError

    def sends_files(self) -> bool:
        """True if the kernel sends files."""
        raise NotImplementedError

    def has_started(self) -> bool:
        """True once a part of the response was sent."""
        raise NotImplementedError

    def sends_body(self) -> bool:
        """False for a response without a body: to HEAD, a 204, a 304."""
        raise NotImplementedError

    def expects_trailers(self) -> bool:
        """True if the body is complete and trailers are to follow."""
        raise NotImplementedError

    # The client.

    def is_full(self) -> bool:
        """True while too much data waits to be sent, and once nothing can be sent any more: see `drain`."""
        raise NotImplementedError

    async def drain(self) -> None:
        """Wait until `is_full` is false or nothing can be sent any more; `is_closing` says which."""
        raise NotImplementedError

    def is_closing(self) -> bool:
        """True once nothing more can be sent."""
        raise NotImplementedError

    # The end.

    def done(self) -> None:
        """The response is complete."""
        raise NotImplementedError

    def done_early(self) -> None:
        """The response is complete for the client, because it has no body; the application is still sending
        it."""
        raise NotImplementedError

    def left(self, exchange: Exchange) -> None:
        """The application has returned, or has finished its response, after `done_early` or after it was told
        that the client has gone."""
        raise NotImplementedError

    def respond(self, status: int, headers: Headers, body: bytes, is_logged: bool = True) -> None:
        """A complete response in place of the application's, of which nothing was sent; with `is_logged` it
        gets a line in the access log."""
        raise NotImplementedError

    def reject(self, error: HTTPError) -> None:
        """The same, with `error`, for a request that must not reach the application."""
        raise NotImplementedError

    def fail(self) -> None:
        """The application has ended without a complete response."""
        raise NotImplementedError

    def cancel(self) -> None:
        """The application was cancelled before its response was complete."""
        raise NotImplementedError
