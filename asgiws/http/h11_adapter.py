"""Request heads parsed by h11, for environments without C extensions.

Rules of this file:
- As in `httptools_adapter.py`: one complete, checked head in, its parts out, nothing kept.
- h11 repairs framing fields (it drops a repeated Content-Length and unfolds "5, 5"). A head that it
  does not return as it was sent is rejected, so that both parsers reject the same heads; so is the
  one thing that only llhttp objects to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import h11

from asgiws.http import grammar
from asgiws.http.head import Headers
from asgiws.http.parser import HeadParser, ParserRefused

# A server in front that looks for "chunked" at the end of the line would not find it.
_tab_behind_coding = re.compile(rb"\r\ntransfer-encoding:[^\r]*\t *\r", re.IGNORECASE)


def _folded(fields: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The fields with their values in lower case: h11 writes `Transfer-Encoding` in lower case."""
    return [(name, value.lower()) for name, value in fields]


class H11Parser(HeadParser):
    """h11's server side behind the interface of HeadParser; a new connection for each head."""

    __slots__ = ()

    name = "h11"

    def parse(self, head: bytes) -> tuple[bytes, Headers]:
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(head)
        try:
            request = connection.next_event()
        except h11.RemoteProtocolError as error:
            raise ParserRefused(str(error)) from None
        assert isinstance(request, h11.Request)
        if _tab_behind_coding.search(head) is not None:
            raise ParserRefused("a tab after the Transfer-Encoding")
        headers = grammar.split_fields(head)
        if _folded(request.headers) != _folded(headers):
            raise ParserRefused("h11 repaired the header fields")
        return request.target, headers
