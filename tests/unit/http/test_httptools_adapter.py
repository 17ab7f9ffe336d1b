from __future__ import annotations

import pytest

from asgiws.http.httptools_adapter import HttptoolsParser
from asgiws.http.parser import ParserRefused

GET = b"GET /p?q HTTP/1.1\r\nHost: a\r\n\r\n"
PARTS = (b"/p?q", [(b"host", b"a")])


@pytest.mark.parametrize(
    "before",
    [
        GET,
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\n",
    ],
)
def test_no_head_disturbs_the_next(before: bytes) -> None:
    parser = HttptoolsParser()
    first = parser.parse(before)
    assert parser.parse(GET) == PARTS
    assert parser.parse(before) == first


def test_a_refusal_does_not_disturb_the_next() -> None:
    parser = HttptoolsParser()
    with pytest.raises(ParserRefused):
        parser.parse(b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n")
    assert parser.parse(GET) == PARTS


def test_whitespace_around_values_goes() -> None:
    headers = HttptoolsParser().parse(b"GET / HTTP/1.1\r\nA: \t b c \t\r\nD:\r\n\r\n")[1]
    assert headers == [(b"a", b"b c"), (b"d", b"")]
