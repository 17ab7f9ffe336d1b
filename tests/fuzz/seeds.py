"""What a fuzzer begins with: the vectors of the other tests, in the form that each target takes, and words.

Rules of this file:
- Vectors stay where they are kept; nothing here is a copy of them.
- Options and cuts differ from seed to seed, and are the same in each run.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable

from conformance.rfc6455.notation import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    RSV1,
    TEXT,
    Deflater,
    deflated,
    frame,
)
from conformance.rfc6455.table import CASES
from tests.support.smuggling import SMUGGLING

#: Longer ones slow a fuzzer down more than they help it.
LONGEST = 3000

_REQUESTS = sorted(
    {case.request.replace("{path}", "/p?q").encode("latin-1") for case in CASES.values()}
)
_CHUNKED = [
    b"0\r\n\r\n",
    b"3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
    b'3;a=b;c="\\"d" ; e\r\nabc\r\n00a\r\n0123456789\r\n000\r\nX: y\r\nA:  b \r\n\r\n',
    b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    b"FFFFFFFFFFFFFFFF\r\nabc",
    b"2\r\nabc\r\n0\r\n\r\n",
    b"3\nabc\n0\n\n",
    b"3 \r\nabc\r\n0\r\n\r\n",
    b"A\r\n0123456789\r\n1F\r\n" + b"b" * 31 + b"\r\n0\r\n\r\n",
    b"0x3\r\nabc\r\n0\r\n\r\n",
    b"3;" + b"a" * 20 + b"\r\nabc\r\n0\r\nA: b\r\nC: d\r\nE: f\r\n\r\n",
]
_OTHER_REQUESTS = [
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body for body in _CHUNKED
] + [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3,
    b"POST /a?b HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\n\r\n01234GET / HTTP/1.0\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET http://u.example:8/a?b HTTP/1.1\r\nHost: u.example:8\r\nX:\xff\r\nX: \t y\r\n\r\n",
    b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\ntail",
    b"\r\n\r\nGET / HTTP/1.2\r\nHost: [::1]:80\r\nConnection: keep-alive, x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


#: Three megabytes, as deflate has them.
_BOMB = deflated(bytes(2_900_000))


def _http(count: int) -> Iterable[bytes]:
    wires = [*(wire for wire, _, _ in SMUGGLING.values()), *_REQUESTS, *_OTHER_REQUESTS]
    for index, wire in enumerate(wires):
        yield bytes((index % 16, *(index * 7 % 5 + n for n in range(count - 1)))) + wire


def _chunked() -> Iterable[bytes]:
    for index, wire in enumerate(_CHUNKED):
        yield bytes((index & 1, index % 3)) + wire
        yield bytes((0, index)) + wire


def _websocket() -> Iterable[bytes]:
    for index, case in enumerate(CASES.values()):
        steps = case.received if isinstance(case.received, tuple) else (case.received,)
        wire = b"".join(step for step in steps if isinstance(step, bytes))
        flags = (4, 8, 0)[index % 3] | (0 if case.extension is None else 1 | index % 2 * 2)
        if wire:
            yield bytes((flags, index % 7)) + wire
    few = frame(TEXT, b"a", fin=False) + frame(PING, b"b") + frame(CONT, b"c", fin=False)
    for end in (frame(CONT, b"d"), frame(CONT, b"d", fin=False) * 2, frame(CLOSE, b"\x03\xe8")):
        yield bytes((36, 0)) + few + end
    for flags in (1, 5, 9):
        yield bytes((flags, 9)) + frame(BINARY, _BOMB, rsv=RSV1)


def _pieces(message: bytes, size: int = 127) -> bytes:
    out = b""
    for at in range(0, max(len(message), 1), size):
        piece = message[at : at + size]
        last = 0x80 if at + size >= len(message) else 0
        out += bytes((last | len(piece),)) + piece
    return out


def _inflate() -> Iterable[bytes]:
    keeper = Deflater()
    wires = [
        _pieces(deflated(b"Hello")),
        _pieces(keeper.message(b"Hello")) + _pieces(keeper.message(b"Hello"), 2),
        _pieces(deflated(b"abc" * 100), 3),
        _pieces(b"\x00"),
        _pieces(b""),
        # Stored blocks, the second of them the last of its stream; a stream that ended, and one behind it.
        _pieces(b"\x00\x03\x00\xfc\xffabc\x01\x01\x00\xfe\xffd"),
        _pieces(zlib.compress(b"final", 9, -15) + b"\x00") + _pieces(deflated(b"next")),
        _pieces(zlib.compress(b"a", 9, -15) * 12),
        # A bomb, a distance that is too far back, a code that is none.
        _pieces(_BOMB),
        _pieces(b"\x4b\x04\x02\xff"),
        _pieces(b"\x06\xff\xff"),
        _pieces(deflated(bytes(range(256)) * 3), 5),
    ]
    for index, wire in enumerate(wires):
        for flags in (2 + (index & 1), 4 + (index & 1), 6):
            yield bytes((flags, 7 if flags & 2 else 1)) + wire


def _deflate() -> Iterable[bytes]:
    def message(what: int, data: bytes) -> bytes:
        return bytes((what, len(data))) + data

    one, two = message(4, b"to both, and long enough " * 4), message(1, b"text " * 30)
    for flags in range(8):
        yield bytes((flags, flags)) + one + two + message(2, b"second " * 20) + one
        yield bytes((flags, 0x80 + flags)) + message(0x1C, bytes(range(200))) * 2 + two * 3
        again = message(2, b"second " * 20)
        # What was made for another must not stand between a client and its own context.
        yield bytes((flags, flags)) + again + one + again + two + message(0, b"text " * 30) * 2
        yield bytes((flags, flags + 3)) + message(0, b"") + message(5, b"x") + message(6, b"y")


def _handshake() -> Iterable[bytes]:
    for index, request in enumerate(_REQUESTS):
        lines = request.split(b"\r\n")[1:]
        yield bytes((4, index * 37 % 256)) + b"\n".join(lines)
        kept = [line for line in lines if line.lower().startswith(b"sec-websocket-e")]
        if kept:
            yield bytes((0, index * 11 % 256)) + b"\n".join(kept)
    for flags in (1, 2, 4, 5):
        yield bytes((flags, 0)) + b"sec-websocket-protocol: a, b\nsec-websocket-protocol: c"


def _origins() -> Iterable[bytes]:
    hosts = (b"example.com", b"a.example.com:8000", b"EXAMPLE.com:443", b"[::1]:80", b"")
    origins = (
        *(b"https://example.com", b"https://a.b.example.com", b"HTTPS://A.Example.com:443"),
        *(b"http://example.com", b"https://evil-example.com", b"https://example.com.evil"),
        *(b"https://evil/.example.com", b"https://user@a.example.com", b"null", b"", b"https://"),
        *(b"http://[::1]", b"https://a.example.com:444", b"https://evil#.example.com"),
    )
    for index, origin in enumerate(origins):
        for host in (hosts[index % 5], origin.rpartition(b"/")[2]):
            yield origin + b"\n" + host


def _proxies() -> Iterable[bytes]:
    for index, preface in enumerate(
        (
            b"PROXY TCP4 192.0.2.1 192.0.2.2 4321 80\r\nGET / HTTP/1.1\r\n",
            b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.2 65535 0\r\n",
            b"PROXY UNKNOWN whatever\r\n",
            b"PROXY TCP4 192.0.2.1 ::1 1 99999\r\n",
            b"PROXY TCP4 " + b"1" * 100,
            _PROXY_2 + b"\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x10\xe1\x00\x50rest",
            _PROXY_2 + b"\x21\x21\x00\x27" + bytes(range(36)) + b"\x04\x00\x00",
            _PROXY_2 + b"\x20\x00\x00\x00GET",
            _PROXY_2 + b"\x21\x31\x00\xd8" + bytes(216),
            _PROXY_2 + b"\x31\x11\xff\xff",
        )
    ):
        yield bytes((0, index % 3)) + preface
    yield b"\x01\0x-forwarded-for: 192.0.2.1:80, 10.0.0.1\nx-forwarded-proto: https, http"
    yield b"\x01\0x-forwarded-for: [2001:db8::1]:8, ::1\nx-forwarded-host: a:80\nx-forwarded-port: 81"
    yield b"\x01\0x-forwarded-for: unknown\nx-forwarded-prefix: /a/%62//\nx-forwarded-proto: wss"
    yield b'\x03\0forwarded: for="[2001:db8::1]:_x";proto=https;host="a\\:1", for=10.0.0.1;by=_b'
    yield b"\x03\0forwarded: for=_hidden, ,for=unknown;proto=http\nforwarded: For=192.0.2.1;for=x"


#: What version 2 of the PROXY protocol begins with.
_PROXY_2 = b"\r\n\r\n\0\r\nQUIT\n"


SEEDS: dict[str, Callable[[], Iterable[bytes]]] = {
    "http-httptools": lambda: _http(2),
    "http-h11": lambda: _http(2),
    "http-differential": lambda: _http(3),
    "chunked": _chunked,
    "websocket": _websocket,
    "inflate": _inflate,
    "deflate": _deflate,
    "handshake": _handshake,
    "origins": _origins,
    "proxies": _proxies,
}


def seeds(target: str) -> list[bytes]:
    """The inputs that the tests' vectors give, each once."""
    return list(dict.fromkeys(seed for seed in SEEDS[target]() if len(seed) <= LONGEST))


_HTTP_WORDS = (
    *(
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b":",
        b": ",
        b",",
        b";",
        b"0\r\n\r\n",
    ),
    *(b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\n", b"HTTP/1.0", b"HTTP/1.1", b"Host: a\r\n"),
    *(b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"),
    *(b"Connection: Upgrade\r\n", b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"keep-alive"),
    *(b"chunked", b"identity", b"http://a/", b"*", b"1\r\na\r\n", b"Trailer: x\r\n", b'="\\""'),
)
_FRAME_WORDS = (
    *(b"\x81\x80\0\0\0\0", b"\x82\x83\0\0\0\0abc", b"\x01\x80\0\0\0\0", b"\x80\x80\0\0\0\0"),
    *(b"\x00\x80\0\0\0\0", b"\x88\x82\0\0\0\0\x03\xe8", b"\x89\x80\0\0\0\0", b"\x8a\x81\0\0\0\0x"),
    *(b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xfe\x00\x7e", b"\xfe\x01\x00"),
    *(b"\xff\0\0\0\0\0\x01\0\0", b"\xe2\x82\xac", b"\xed\xa0\x80", b"\xf4\x8f\xbf\xbf"),
)
_DEFLATE_WORDS = (
    b"\x00\x00\x00\xff\xff",
    b"\x00\x00\xff\xff",
    b"\x03\x00",
    b"\x01\x00\x00\xff\xff",
)
_HANDSHAKE_WORDS = (
    *(b"sec-websocket-extensions: permessage-deflate", b"; client_max_window_bits", b"=15", b"=8"),
    *(b"; server_max_window_bits=", b"; server_no_context_takeover", b", ", b'"', b"; ", b"\n"),
    *(b"; client_no_context_takeover", b"sec-websocket-protocol: a", b"sec-websocket-version: 13"),
    *(b"sec-websocket-key: ", b"upgrade: websocket", b"connection: upgrade", b"websocket", b"=="),
)

#: Octets that mean something, which a fuzzer puts in and puts together.
WORDS: dict[str, tuple[bytes, ...]] = {
    "http-httptools": _HTTP_WORDS,
    "http-h11": _HTTP_WORDS,
    "http-differential": _HTTP_WORDS,
    "chunked": _HTTP_WORDS,
    "websocket": _FRAME_WORDS,
    "inflate": _DEFLATE_WORDS,
    "deflate": (),
    "handshake": _HANDSHAKE_WORDS,
    "proxies": (
        *(b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN", _PROXY_2, b"\x21\x11\x00\x0c", b"\r\n"),
        *(b"x-forwarded-for: ", b"forwarded: for=", b"10.0.0.1", b"::1", b"2001:db8::1", b"%2F"),
        *(b"x-forwarded-proto: ", b"x-forwarded-host: ", b"x-forwarded-port: ", b";proto=", b'"['),
        *(b"x-forwarded-prefix: /", b"unknown", b";host=", b", ", b'"', b"\\", b"_a", b"\n", b"//"),
    ),
    "origins": (b"https://", b".example.com", b"example.com", b":443", b":80", b"\n", b"@", b"/"),
}
