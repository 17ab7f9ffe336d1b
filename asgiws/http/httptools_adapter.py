"""Request heads parsed by httptools (llhttp).

Rules of this file:
- It gets one complete head, checked by `grammar`, and returns its parts; nothing is kept between
  heads, so one adapter serves all connections of a worker.
- llhttp's parser object is reused only if it is certain to be at the start of a message: after a head
  without a body that requests neither an upgrade nor the end of the connection.
- All leniencies stay off.
"""

from __future__ import annotations

import httptools

from asgiws.http.head import Headers
from asgiws.http.parser import HeadParser, ParserRefused

#: Field names that nearly every request has: open connections share one object for each.
_NAMES = {
    name: name
    for name in (
        *(b"accept", b"accept-encoding", b"accept-language", b"authorization", b"cache-control"),
        *(
            b"connection",
            b"cookie",
            b"host",
            b"origin",
            b"pragma",
            b"referer",
            b"upgrade",
            b"user-agent",
        ),
        *(b"sec-websocket-extensions", b"sec-websocket-key", b"sec-websocket-protocol"),
        *(b"sec-websocket-version", b"x-forwarded-for", b"x-forwarded-proto", b"x-real-ip"),
    )
}


class HttptoolsParser(HeadParser):
    """llhttp behind the interface of HeadParser."""

    __slots__ = ("_headers", "_parser", "_reusable", "_target")

    name = "httptools"

    def __init__(self) -> None:
        self._target = b""
        self._headers: Headers = []
        self._reusable = False
        self._parser = httptools.HttpRequestParser(self)

    # llhttp's callbacks

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._headers.append((_NAMES.get(name, name), value.rstrip(b" \t")))

    def on_message_complete(self) -> None:
        self._reusable = self._parser.should_keep_alive()

    def parse(self, head: bytes) -> tuple[bytes, Headers]:
        self._target = b""
        headers: Headers = []
        self._headers = headers
        self._reusable = False
        parser = self._parser
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            # Any `Upgrade:` ends here, h2c too, with the whole head parsed. The code that decides
            # about it has the headers, and llhttp is not to read the body.
            self._reusable = False
        except httptools.HttpParserError as error:
            self._parser = httptools.HttpRequestParser(self)
            raise ParserRefused(str(error)) from None
        if not self._reusable:
            self._parser = httptools.HttpRequestParser(self)
        return self._target, headers
