"""One request on an HTTP/1.1 connection, and its response on the wire.

Rules of this file:
- There is one for each request from its head on, whether or not the application answers it. It has no state:
  HTTPConnection has the protocol's state, and the driver, known here as a Pipeline, has the connection's.
- A response is complete only in `done`, `done_early` and `respond`; `Pipeline.cut` ends it before that. Every
  response of which something was sent gets its line in the access log: there, or where the connection ends.
"""

from __future__ import annotations

from typing import Any

from asgiws.asgi.types import Headers, Scope
from asgiws.bridge.exchange import Exchange
from asgiws.bridge.outlet import Driver, Outlet
from asgiws.drivers.carrier import Carrier
from asgiws.drivers.http_parts import HTTPParts
from asgiws.drivers.scope import http_scope
from asgiws.http.connection import HTTPConnection
from asgiws.http.errors import HTTPError
from asgiws.http.head import RequestHead
from asgiws.http.response import HeaderPairs
from asgiws.services.runtime import Runtime, access_logger, peer_name

_TEXT_AND_CLOSE: Headers = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"connection", b"close"),
]


class Pipeline(Driver):
    """The connection as its requests know it: what their carriers need from its driver.

    `http` is the state of the protocol. During an upgrade, and for the driver that takes over, its sending
    methods answer the request for the upgrade.
    """

    __slots__ = ("http", "outlet", "parts", "runtime")

    http: HTTPConnection
    outlet: Outlet
    parts: HTTPParts
    runtime: Runtime

    def client(self) -> str:
        """The client's name for a log line, by the connection's address."""
        raise NotImplementedError

    def body_asked_for(self) -> None:
        """The client was told to continue and send the body."""
        raise NotImplementedError

    def body_taken(self, more: bool) -> None:
        """The application has received the part of the body that was there; with `more`, the rest follows."""
        raise NotImplementedError

    def answered(self) -> None:
        """The response in progress is complete: continue with the connection."""
        raise NotImplementedError

    def answered_early(self) -> None:
        """The same, while its application is still sending it."""
        raise NotImplementedError

    def left(self, exchange: Exchange) -> None:
        """`exchange` need not be told anything any more."""
        raise NotImplementedError

    def cut(self) -> None:
        """End the connection in the middle of the response, in such a way that the client notices."""
        raise NotImplementedError


def carry(pipeline: Pipeline, head: RequestHead) -> HTTPCarrier:
    """The carrier of the request with that head, on that connection."""
    # Without argument parsing, which took 500 instructions per request.
    carrier = HTTPCarrier.__new__(HTTPCarrier)
    carrier.pipeline = pipeline
    carrier._head = head
    return carrier


class HTTPCarrier(Carrier):
    """A request on an HTTP/1.1 connection; made by `carry`."""

    __slots__ = ("_head", "pipeline")

    pipeline: Pipeline
    _head: RequestHead

    def scope(self) -> Scope:
        pipeline = self.pipeline
        return http_scope(pipeline.runtime, self._head, pipeline.outlet)

    def client(self) -> str:
        origin = self._head.origin
        return self.pipeline.client() if origin is None else peer_name(origin.client)

    def ask_for_body(self) -> None:
        pipeline = self.pipeline
        if pipeline.http.expects_continue:
            interim = pipeline.http.send_continue()
            if interim:
                pipeline.outlet.write(interim)
                pipeline.body_asked_for()

    def body_taken(self, more: bool) -> None:
        self.pipeline.body_taken(more)

    def start(self, status: int, headers: HeaderPairs, trailers: bool) -> None:
        self.pipeline.http.start_response(status, headers, trailers)

    def send(self, data: bytes, more: bool) -> None:
        pipeline = self.pipeline
        pieces = pipeline.http.send_body(data, more)
        if len(pieces) == 1:
            pipeline.outlet.write(pieces[0])
        elif pieces:
            pipeline.outlet.writelines(pieces)

    def send_trailers(self, trailers: HeaderPairs) -> None:
        self._write(self.pipeline.http.send_trailers(trailers))

    def inform(self, status: int, headers: HeaderPairs) -> None:
        self._write(self.pipeline.http.informational(status, headers))

    def start_file(self, size: int, more: bool) -> None:
        self._write(self.pipeline.http.start_file(size, more))

    async def send_file(self, file: Any, size: int) -> int:
        return await self.pipeline.outlet.send_file(file, size)

    def end_file(self, size: int, more: bool) -> None:
        self._write(self.pipeline.http.end_file(size, more))

    def _write(self, data: bytes) -> None:
        if data:
            self.pipeline.outlet.write(data)

    def sends_files(self) -> bool:
        return self.pipeline.outlet.sends_files()

    def has_started(self) -> bool:
        return self.pipeline.http.response_started()

    def sends_body(self) -> bool:
        return self.pipeline.http.sends_body()

    def expects_trailers(self) -> bool:
        return self.pipeline.http.expects_trailers()

    def is_full(self) -> bool:
        return self.pipeline.outlet.write_paused

    async def drain(self) -> None:
        await self.pipeline.outlet.drain()

    def is_closing(self) -> bool:
        return self.pipeline.outlet.is_closing()

    def done(self) -> None:
        self.log()
        self.pipeline.answered()

    def done_early(self) -> None:
        self.pipeline.http.end_bodiless()
        self.log()
        self.pipeline.answered_early()

    def left(self, exchange: Exchange) -> None:
        self.pipeline.left(exchange)

    def respond(self, status: int, headers: Headers, body: bytes, is_logged: bool = True) -> None:
        self.start(status, headers, False)
        self.send(body, False)
        if is_logged:
            self.log()
        self.pipeline.answered()

    def reject(self, error: HTTPError) -> None:
        self.pipeline.parts.tell(self.client(), error)
        headers = [*_TEXT_AND_CLOSE, *error.headers]
        self.respond(error.status, headers, error.message.encode() + b"\n")

    def fail(self) -> None:
        # 500, or a cut if the response has begun.
        if self.has_started():
            self.pipeline.cut()
        else:
            self.respond(500, _TEXT_AND_CLOSE, b"Internal Server Error")

    def cancel(self) -> None:
        self.pipeline.cut()

    def log(self) -> None:
        """Write the response's line in the access log."""
        pipeline = self.pipeline
        if pipeline.parts.access_log:
            head = self._head
            origin = head.origin
            root_path = pipeline.runtime.config.root_path if origin is None else origin.root_path
            access_logger.info(
                '%s - "%s %s HTTP/%s" %d',
                self.client(),
                head.method,
                root_path + head.target.decode("ascii"),
                head.http_version,
                pipeline.http.status(),
            )
