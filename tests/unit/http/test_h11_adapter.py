from __future__ import annotations

import pytest

from asgiws.http.h11_adapter import H11Parser
from asgiws.http.parser import ParserRefused

GET = b"GET /p?q HTTP/1.1\r\nHost: a\r\n\r\n"


def test_parts() -> None:
    parser = H11Parser()
    for _ in range(2):
        assert parser.parse(GET) == (b"/p?q", [(b"host", b"a")])


def test_values_keep_their_case() -> None:
    headers = H11Parser().parse(
        b"POST / HTTP/1.1\r\nHost: A\r\nTransfer-Encoding: Chunked\r\nX: \t Y Z \r\n\r\n"
    )[1]
    assert headers == [(b"host", b"A"), (b"transfer-encoding", b"Chunked"), (b"x", b"Y Z")]


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5, 5\r\n",
    ],
)
def test_what_h11_repairs_is_refused(fields: bytes) -> None:
    with pytest.raises(ParserRefused, match="repaired"):
        H11Parser().parse(b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")


def test_what_h11_refuses() -> None:
    with pytest.raises(ParserRefused):
        H11Parser().parse(b"GET / HTTP/1.1\r\n\r\n")
