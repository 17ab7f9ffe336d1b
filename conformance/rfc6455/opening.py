"""RFC 6455, sections 4.2 to 4.4, 9 and 10.2: the opening handshake.

Rules of this file: data. `{path}` in a request line is where the runner has the application; a
request that does not ask for a WebSocket at all is answered by that application as HTTP, with 404.
"""

from __future__ import annotations

from conformance.rfc6455.notation import (
    ACCEPT,
    DENY,
    LISTEN,
    OPENING,
    REFUSED,
    SAMPLE_KEY,
    SUBPROTOCOLS,
    Agreed,
    Case,
    Message,
    accept,
    clause,
    echoes,
    offering,
    opening,
    plain,
    received,
    refused,
    send,
    text,
)

HELLO = text("Hello")
PROTOCOLS = "Sec-WebSocket-Protocol"
EXTENSIONS = "Sec-WebSocket-Extensions"
VERSION = "Sec-WebSocket-Version"
KEY = "Sec-WebSocket-Key"


def accepted(id: str, what: str, request: str, **more: object) -> Case:
    """The handshake is completed, and a message passes."""
    return echoes(id, what, HELLO, "Hello", request=request, **more)


def speaks(id: str, what: str, request: str, names: list[str], chosen: str | None) -> Case:
    """What the client speaks reaches the application, whose choice reaches the client."""
    return Case(
        id,
        what,
        told=({"type": SUBPROTOCOLS, "names": names},),
        does=(SUBPROTOCOLS, accept(subprotocol=chosen), LISTEN),
        request=request,
        head=((PROTOCOLS, chosen),),
    )


def denial(status: int, *headers: tuple[bytes, bytes]) -> tuple[dict[str, object], ...]:
    start = {
        "type": "websocket.http.response.start",
        "status": status,
        "headers": list(headers),
    }
    return start, {"type": "websocket.http.response.body", "body": b"no"}


def denied(id: str, what: str, status: int, *headers: tuple[bytes, bytes]) -> Case:
    """The application refuses the handshake with a response of its own."""
    head = tuple((name.decode(), value.decode()) for name, value in headers)
    return Case(id, what, does=denial(status, *headers), status=status, head=head)


CLAUSES = (
    clause(
        "4.2.1",
        "If the server, while reading the handshake, finds that the client did not send a "
        "handshake that matches the description below (...), the server MUST stop processing the "
        "client's handshake and return an HTTP response with an appropriate error code",
        refused("4.2.1-1", "a control character", opening(("X", "a\x01b"))),
        refused("4.2.1-2", "no colon in a field", opening().replace("Upgrade: ", "Upgrade ")),
        refused("4.2.1-3", "white space before a colon", opening(("Host ", "a"), without=["Host"])),
        refused("4.2.1-4", "a folded field", opening(("X", "a\r\n b"))),
    ),
    clause(
        "4.2.1",
        "(note that as per [RFC2616], the order of the header fields is not important)",
        accepted(
            "4.2.1-5",
            "the other way around",
            opening((VERSION, "13"), (KEY, SAMPLE_KEY), ("Connection", "Upgrade"), ("Host", "a")),
        ),
        accepted(
            "4.2.1-6",
            "names in other cases",
            opening(("HOST", "a"), ("uPGRADE", "websocket"), ("sec-websocket-version", "13")),
        ),
        accepted("4.2.1-7", "white space around a value", opening((VERSION, " \t13 \t"))),
    ),
    clause(
        "4.2.1",
        '1. An HTTP/1.1 or higher GET request, including a "Request-URI" [RFC2616] that should be '
        "interpreted as a /resource name/ defined in Section 3 (or an absolute HTTP/HTTPS URI "
        "containing the /resource name/).",
        refused("4.2.1-8", "POST: a plain request", opening(line="POST {path} HTTP/1.1"), 404),
        refused("4.2.1-9", "HEAD: a plain request", opening(line="HEAD {path} HTTP/1.1"), 404),
        refused("4.2.1-10", "HTTP/1.0", opening(line="GET {path} HTTP/1.0"), 404),
        refused("4.2.1-11", "HTTP/2.0", opening(line="GET {path} HTTP/2.0"), 505),
        refused("4.2.1-12", "no version", opening(line="GET {path}")),
        accepted(
            "4.2.1-13",
            "an absolute URI",
            opening(line="GET http://server.example.com{path} HTTP/1.1"),
        ),
        refused("4.2.1-14", "a ws URI", opening(line="GET ws://server.example.com{path} HTTP/1.1")),
        refused("4.2.1-15", "a fragment", opening(line="GET {path}#part HTTP/1.1")),
    ),
    clause(
        "4.2.1",
        "2. A |Host| header field containing the server's authority.",
        refused("4.2.1-16", "none", opening(without=["Host"])),
        refused("4.2.1-17", "two", opening(("Host", "a"), ("host", "a"))),
        refused("4.2.1-18", "no authority", opening(("Host", "a b"))),
        accepted("4.2.1-19", "with a port", opening(("Host", "server.example.com:8080"))),
        accepted("4.2.1-20", "an IPv6 address", opening(("Host", "[::1]:8080"))),
    ),
    clause(
        "4.2.1",
        '3. An |Upgrade| header field containing the value "websocket", treated as an ASCII '
        "case-insensitive value.",
        accepted("4.2.1-21", "WebSocket", opening(("Upgrade", "WebSocket"))),
        accepted("4.2.1-22", "WEBSOCKET", opening(("Upgrade", "WEBSOCKET"))),
        accepted("4.2.1-23", "one of several", opening(("Upgrade", "h2c, websocket"))),
        accepted(
            "4.2.1-24",
            "one of several lines",
            opening(("Upgrade", "h2c"), ("Upgrade", "websocket")),
        ),
        refused("4.2.1-25", "none: a plain request", opening(without=["Upgrade"]), 404),
        refused("4.2.1-26", "another one: a plain request", opening(("Upgrade", "h2c")), 404),
        refused("4.2.1-27", "a longer word", opening(("Upgrade", "websockets")), 404),
        refused("4.2.1-28", "a version", opening(("Upgrade", "websocket/13")), 404),
    ),
    clause(
        "4.2.1",
        '4. A |Connection| header field that includes the token "Upgrade", treated as an ASCII '
        "case-insensitive value.",
        accepted("4.2.1-29", "upgrade", opening(("Connection", "upgrade"))),
        accepted("4.2.1-30", "the last of several", opening(("Connection", "keep-alive, Upgrade"))),
        accepted("4.2.1-31", "the first of several", opening(("Connection", "Upgrade,keep-alive"))),
        accepted(
            "4.2.1-32",
            "in a line of its own",
            opening(("Connection", "keep-alive"), ("Connection", "Upgrade")),
        ),
        refused("4.2.1-33", "none: a plain request", opening(without=["Connection"]), 404),
        refused("4.2.1-34", "another token", opening(("Connection", "keep-alive")), 404),
        refused("4.2.1-35", "a longer token", opening(("Connection", "Upgrades")), 404),
    ),
    clause(
        "4.2.1",
        "5. A |Sec-WebSocket-Key| header field with a base64-encoded (see Section 4 of [RFC4648]) "
        "value that, when decoded, is 16 bytes in length.",
        refused("4.2.1-36", "none", opening(without=[KEY])),
        refused("4.2.1-37", "empty", opening((KEY, ""))),
        refused("4.2.1-38", "two", opening((KEY, SAMPLE_KEY), (KEY, SAMPLE_KEY))),
        refused("4.2.1-39", "15 octets", opening((KEY, "AAAAAAAAAAAAAAAAAAAA"))),
        refused("4.2.1-40", "17 octets", opening((KEY, "AAAAAAAAAAAAAAAAAAAAAAA="))),
        refused("4.2.1-41", "no padding", opening((KEY, SAMPLE_KEY[:-2]))),
        refused("4.2.1-42", "not of the alphabet", opening((KEY, "dGhlIHNhbXBsZSBub25jZ!=="))),
        refused("4.2.1-43", "of another alphabet", opening((KEY, "____________________-w=="))),
        refused("4.2.1-44", "a blank in it", opening((KEY, "dGhlIHNhbXBs ZSBub25jZQ=="))),
    ),
    clause(
        "4.2.1",
        "6. A |Sec-WebSocket-Version| header field, with a value of 13.",
        refused("4.2.1-45", "none", opening(without=[VERSION]), 426, head=((VERSION, "13"),)),
        refused("4.2.1-46", "013", opening((VERSION, "013")), 426, head=((VERSION, "13"),)),
        refused("4.2.1-47", "two", opening((VERSION, "13"), (VERSION, "8")), 426),
        refused("4.2.1-48", "a list", opening((VERSION, "13, 8")), 426),
    ),
    clause(
        "4.2.1",
        "7. (...) A connection attempt lacking this header field SHOULD NOT be interpreted as coming "
        "from a browser client.",
        why="left to the application: the scope has all header fields",
    ),
    clause(
        "4.2.1",
        "8. Optionally, a |Sec-WebSocket-Protocol| header field, with a list of values indicating "
        "which protocols the client would like to speak, ordered by preference.",
        speaks("4.2.1-49", "in order", opening((PROTOCOLS, "b, a,c")), ["b", "a", "c"], None),
        speaks(
            "4.2.1-50", "in two lines", opening((PROTOCOLS, "b"), (PROTOCOLS, "a")), ["b", "a"], "a"
        ),
        speaks("4.2.1-51", "as they are written", opening((PROTOCOLS, "Chat")), ["Chat"], "Chat"),
        refused("4.2.1-52", "no token", opening((PROTOCOLS, "a b"))),
        refused("4.2.1-53", "a separator in it", opening((PROTOCOLS, "chat/1"))),
        refused("4.2.1-54", 'not "unique strings" (4.1)', opening((PROTOCOLS, "a, b, a"))),
    ),
    clause(
        "4.2.1",
        "10. (...) Unknown header fields are ignored, as per [RFC2616].",
        accepted("4.2.1-55", "one", opening(("X-Unknown", "websocket"))),
        accepted("4.2.1-56", "of this family", opening(("Sec-WebSocket-Future", "1"))),
        accepted("4.2.1-57", "the server's own", opening(("Sec-WebSocket-Accept", "x"))),
        accepted("4.2.1-58", "cookies", opening(("Cookie", "a=b; c=d"))),
    ),
    clause(
        "4.2.2",
        "1. If the connection is happening on an HTTPS (HTTP-over-TLS) port, perform a TLS handshake "
        "over the connection. (...) all further communication for the connection (including the "
        "server's handshake) MUST run through the encrypted tunnel",
        why="needs TLS: `python -m conformance --tls`, `tests/integration`",
    ),
    clause(
        "4.2.2",
        "If the server does not wish to accept this connection, it MUST return an appropriate HTTP "
        "error code (e.g., 403 Forbidden) and abort the WebSocket handshake",
        Case("4.2.2-1", "the application refuses", does=(DENY,), status=403),
        denied("4.2.2-2", "with a status of its own", 401, (b"www-authenticate", b"Basic")),
        denied("4.2.2-3", "with a redirection", 302, (b"location", b"/there")),
        Case(
            "4.2.2-4",
            "what the client sent too early is not heard",
            HELLO,
            does=(DENY,),
            status=403,
        ),
    ),
    clause(
        "4.2.2",
        "If this version does not match a version understood by the server, the server MUST abort "
        "the WebSocket handshake described in this section and instead send an appropriate HTTP "
        "error code (such as 426 Upgrade Required) and a |Sec-WebSocket-Version| header field",
        refused("4.2.2-5", "hybi-10", opening((VERSION, "8")), 426, head=((VERSION, "13"),)),
        refused("4.2.2-6", "a later one", opening((VERSION, "14")), 426, head=((VERSION, "13"),)),
        refused("4.2.2-7", "no number", opening((VERSION, "x")), 426, head=((VERSION, "13"),)),
        also=["4.2.1-45", "4.2.1-46"],
    ),
    clause(
        "4.2.2",
        "If the requested service is not available, the server MUST send an appropriate HTTP error "
        "code (such as 404 Not Found) and abort the WebSocket handshake.",
        denied("4.2.2-8", "the application does not know it", 404),
    ),
    clause(
        "4.2.2",
        "The value chosen MUST be derived from the client's handshake, specifically by selecting one "
        "of the values from the |Sec-WebSocket-Protocol| field",
        speaks("4.2.2-9", "the first", opening((PROTOCOLS, "a, b")), ["a", "b"], "a"),
        speaks("4.2.2-10", "the last", opening((PROTOCOLS, "a, b")), ["a", "b"], "b"),
        Case(
            "4.2.2-11",
            "the application chooses another one",
            told=(REFUSED,),
            does=(accept(subprotocol="c"), accept(subprotocol="b"), LISTEN),
            request=opening((PROTOCOLS, "a, b")),
            head=((PROTOCOLS, "b"),),
        ),
        Case(
            "4.2.2-12",
            "it writes the field by itself",
            told=(REFUSED,),
            does=(accept(headers=[(b"sec-websocket-protocol", b"c")]), ACCEPT, LISTEN),
            request=opening((PROTOCOLS, "a, b")),
            head=((PROTOCOLS, None),),
        ),
    ),
    clause(
        "4.2.2",
        "If the client's handshake did not contain such a header field or if the server does not "
        "agree to any of the client's requested subprotocols, the only acceptable value is null. "
        "(...) it MUST NOT send back a |Sec-WebSocket-Protocol| header field in its response",
        Case(
            "4.2.2-13",
            "none was asked for",
            told=(REFUSED,),
            does=(accept(subprotocol="a"), ACCEPT, LISTEN),
            head=((PROTOCOLS, None),),
        ),
        speaks("4.2.2-14", "no agreement", opening((PROTOCOLS, "a, b")), ["a", "b"], None),
        Case(
            "4.2.2-15",
            '"The empty string is not the same as the null value"',
            told=(REFUSED,),
            does=(accept(subprotocol=""), ACCEPT, LISTEN),
            request=opening((PROTOCOLS, "a")),
            head=((PROTOCOLS, None),),
        ),
    ),
    clause(
        "4.2.2",
        "Extensions not listed by the client MUST NOT be listed.",
        accepted("4.2.2-16", "none was offered", OPENING, head=((EXTENSIONS, None),)),
        Case(
            "4.2.2-17",
            "the application writes the field by itself",
            told=(REFUSED,),
            does=(accept(headers=[(b"sec-websocket-extensions", b"x")]), ACCEPT, LISTEN),
            head=((EXTENSIONS, None),),
        ),
    ),
    clause(
        "4.2.2",
        "5. If the server chooses to accept the incoming connection, it MUST reply with a valid HTTP "
        "response indicating the following. 1. A Status-Line with a 101 response code (...) 2. An "
        '|Upgrade| header field with value "websocket" (...) 3. A |Connection| header field with '
        'value "Upgrade". 4. A |Sec-WebSocket-Accept| header field.',
        accepted(
            "4.2.2-18",
            "the example",
            OPENING,
            head=(
                ("Upgrade", "websocket"),
                ("Connection", "Upgrade"),
                ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
                ("Content-Length", None),
                ("Transfer-Encoding", None),
            ),
        ),
        accepted(
            "4.2.2-19",
            "the key as it was written, not as it is decoded",
            opening((KEY, "AAAAAAAAAAAAAAAAAAAAAB==")),
        ),
        Case(
            "4.2.2-20",
            "with fields of the application",
            does=(accept(headers=[(b"x-one", b"1"), (b"set-cookie", b"a=b")]), LISTEN),
            head=(("X-One", "1"), ("Set-Cookie", "a=b")),
        ),
        Case(
            "4.2.2-21",
            "the application writes the server's fields",
            told=(REFUSED, REFUSED, REFUSED, REFUSED),
            does=(
                accept(headers=[(b"upgrade", b"x")]),
                accept(headers=[(b"connection", b"close")]),
                accept(headers=[(b"sec-websocket-accept", b"x")]),
                accept(headers=[(b"content-length", b"1")]),
                ACCEPT,
                LISTEN,
            ),
        ),
        Case(
            "4.2.2-22",
            "it accepts twice",
            told=(REFUSED,),
            does=(ACCEPT, ACCEPT, LISTEN),
        ),
    ),
    clause(
        "4.2.2",
        "At this point, the server may begin sending (and receiving) data.",
        Case(
            "4.2.2-23",
            "it speaks first",
            b"",
            (plain("hello"),),
            does=(ACCEPT, send("hello"), LISTEN),
        ),
        Case(
            "4.2.2-24",
            "and not earlier",
            b"",
            told=(REFUSED,),
            does=(send("hello"), ACCEPT, LISTEN),
        ),
    ),
    clause(
        "4.3",
        "When using the quoted-string syntax variant, the value after quoted-string unescaping MUST "
        "conform to the 'token' ABNF.",
        also=["9.1-8", "9.1-9", "9.1-10", "9.1-11"],
    ),
    clause(
        "4.4",
        "If the server doesn't support the requested version, it MUST respond with a "
        "|Sec-WebSocket-Version| header field (or multiple |Sec-WebSocket-Version| header fields) "
        "containing all versions it is willing to use.",
        refused("4.4-1", "the example's", opening((VERSION, "25")), 426, head=((VERSION, "13"),)),
    ),
    clause(
        "9",
        "A server MUST NOT respond with any extension not requested by the client.",
        accepted(
            "9-1", "another one was", offering("x-webkit-deflate-frame"), head=((EXTENSIONS, None),)
        ),
        also=["4.2.2-16", "4.2.2-17", "7692:5-6"],
    ),
    clause(
        "9",
        "If extension parameters are included in negotiations between the client and the server, "
        "those parameters MUST be chosen in accordance with the specification of the extension",
        also=["7692:7-1", "7692:7.1.1.1-1", "7692:7.1.2.1-1", "7692:7.1.2.2-1"],
        why="the runner checks every response against RFC 7692, 7.1",
    ),
    clause(
        "9.1",
        "If a value is received by either the client or the server during negotiation that does not "
        "conform to the ABNF below, the recipient of such malformed data MUST immediately _Fail the "
        "WebSocket Connection_.",
        refused("9.1-1", "empty", offering("")),
        refused("9.1-2", "no token", offering("a b")),
        refused("9.1-3", "no name", offering("; a=1")),
        refused("9.1-4", "no parameter behind a semicolon", offering("permessage-deflate;")),
        refused("9.1-5", "no value behind an equals sign", offering("permessage-deflate; a=")),
        refused("9.1-6", "two values", offering("permessage-deflate; a=1=2")),
        refused("9.1-7", "malformed behind a good one", offering("permessage-deflate, @")),
    ),
    clause(
        "9.1",
        'extension-param = token [ "=" (token | quoted-string) ] ;When using the quoted-string '
        "syntax variant, the value ;after quoted-string unescaping MUST conform to the ;'token' "
        "ABNF.",
        refused("9.1-8", "a blank in quotes", offering('a; b="c d"')),
        refused("9.1-9", "a comma in quotes", offering('a; b="c,d"')),
        refused("9.1-10", "nothing in quotes", offering('a; b=""')),
        refused("9.1-11", "quotes left open", offering('a; b="c')),
        Case(
            "9.1-12",
            "a token in quotes",
            HELLO,
            (Message("Hello"),),
            (received("Hello"),),
            request=offering('permessage-deflate; server_max_window_bits="10"'),
            extension=Agreed(server_max_window_bits=10, confirm=True),
        ),
    ),
    clause(
        "9.1",
        "Note that like other HTTP header fields, this header field MAY be split or combined across "
        "multiple lines.",
        accepted(
            "9.1-13",
            "in two lines",
            offering("foo", "permessage-deflate"),
            extension=Agreed(),
        ),
        accepted("9.1-14", "in one", offering("foo, permessage-deflate"), extension=Agreed()),
        accepted("9.1-15", "with blanks", offering("foo ;\ta = 1 ,bar; baz=2")),
        accepted("9.1-16", "empty elements (RFC 9110, 5.6.1)", offering(",foo, ,bar,")),
    ),
    clause(
        "9.1",
        "Any extension-token used MUST be a registered token (see Section 11.4). The parameters "
        "supplied with any given extension MUST be defined for that extension.",
        accepted("9.1-17", "a hypothetical one", offering("mux; max-channels=4; flow-control")),
        also=["7692:7-1"],
    ),
    clause(
        "9.1",
        "the interpretation is that the header fields listed by the client in its request represent "
        "a preference of the header fields it wishes to use, with the first options listed being "
        "most preferable.",
        also=["7692:5-1", "7692:5-2"],
    ),
    clause(
        "10.2",
        "If the origin indicated is unacceptable to the server, then it SHOULD respond to the "
        "WebSocket handshake with a reply containing HTTP 403 Forbidden status code.",
        Case(
            "10.2-1",
            "to the application",
            does=(DENY,),
            request=opening(("Origin", "http://evil.example")),
            status=403,
        ),
        accepted("10.2-2", "it is not", opening(("Origin", "http://example.com"))),
    ),
    clause(
        "10.6",
        "WebSocket implementations MUST support TLS and SHOULD employ it when communicating with "
        "their peers.",
        why="needs TLS: `python -m conformance --tls`, `tests/integration`",
    ),
    clause(
        "10.7",
        "If the invalid data is sent during the WebSocket handshake, the server SHOULD return an "
        "appropriate HTTP [RFC2616] status code.",
        also=["4.2.1-1", "4.2.1-36", "9.1-1"],
    ),
    clause(
        "10.7",
        "If the invalid data was received after a successful WebSocket handshake, the endpoint "
        "SHOULD send a Close frame with an appropriate status code",
        also=["7.1.7-1", "7.1.7-2"],
    ),
)
