"""The opening handshake (RFC 6455, 4.2), and that `websockets` as a client agrees to what we
answer."""

from __future__ import annotations

import base64
import hashlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.http11 import Response
from websockets.uri import parse_uri

from asgiws.websocket import handshake
from asgiws.websocket.compression import Compression, Settings
from asgiws.websocket.deflate import Parameters
from asgiws.websocket.errors import HandshakeError
from tests.support.properties import quick

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
#: 1.3: "the value "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

GOOD = {
    b"host": [b"server.example.com"],
    b"upgrade": [b"websocket"],
    b"connection": [b"Upgrade"],
    b"sec-websocket-key": [KEY],
    b"sec-websocket-version": [b"13"],
}


def head(method: str = "GET", version: str = "1.1", **changes: object) -> SimpleNamespace:
    """A good request head with changes: a value or a list of values for a header, None to leave it
    out."""
    fields = dict(GOOD)
    for name, value in changes.items():
        values = [] if value is None else value if isinstance(value, list) else [value]
        fields[name.replace("_", "-").encode()] = values  # type: ignore[assignment]
    headers = [(name, value) for name, values in fields.items() for value in values]
    return SimpleNamespace(method=method, http_version=version, headers=headers)


def test_the_example_of_section_1_3() -> None:
    found = handshake.check(head(sec_websocket_protocol=b"chat, superchat"))
    assert (found.accept, found.subprotocols, found.offers) == (ACCEPT, ["chat", "superchat"], [])
    assert handshake.response(found, "chat", Compression()) == (
        [
            (b"upgrade", b"websocket"),
            (b"sec-websocket-accept", ACCEPT),
            (b"sec-websocket-protocol", b"chat"),
        ],
        None,
    )


GOOD_VARIANTS = [
    # "3. ... "websocket", treated as an ASCII case-insensitive value."
    {"upgrade": b"WebSocket"},
    {"upgrade": b"WEBSOCKET"},
    {"upgrade": b"h2c, websocket"},
    {"upgrade": [b"h2c", b"websocket"]},
    # "4. A |Connection| header field that includes the token "Upgrade", treated as ...
    # case-insensitive"
    {"connection": b"upgrade"},
    {"connection": b"keep-alive, Upgrade"},
    {"connection": b"Upgrade, keep-alive"},
    {"connection": b"keep-alive ,\tUPGRADE\t, x"},
    {"connection": [b"keep-alive", b"Upgrade"]},
    {"version": "2"},
    {"sec_websocket_key": base64.b64encode(bytes(16))},
    {"sec_websocket_key": base64.b64encode(b"\xff" * 16)},
]


@pytest.mark.parametrize("changes", GOOD_VARIANTS)
def test_accepted(changes: dict[str, object]) -> None:
    request = head(**changes)  # type: ignore[arg-type]
    found = handshake.check(request)
    key = dict(request.headers)[b"sec-websocket-key"]
    # 4.2.2, item 5.4: SHA-1 of the key and the GUID, base64-encoded
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    assert found.accept == base64.b64encode(digest)


BAD = [
    # "1. An HTTP/1.1 or higher GET request"
    ({"method": "POST"}, 405, "GET"),
    ({"method": "HEAD"}, 405, "GET"),
    ({"version": "1.0"}, 400, "HTTP/1.1"),
    # "3. An |Upgrade| header field containing the value "websocket""
    ({"upgrade": None}, 400, "Upgrade"),
    ({"upgrade": b""}, 400, "Upgrade"),
    ({"upgrade": b"h2c"}, 400, "Upgrade"),
    ({"upgrade": b"websockets"}, 400, "Upgrade"),
    # "4. A |Connection| header field that includes the token "Upgrade""
    ({"connection": None}, 400, "Connection"),
    ({"connection": b"keep-alive"}, 400, "Connection"),
    ({"connection": b"Upgraded"}, 400, "Connection"),
    ({"connection": b"keep-alive Upgrade"}, 400, "Connection"),
    # "5. A |Sec-WebSocket-Key| header field with a base64-encoded value that, when decoded, is 16
    # bytes"
    ({"sec_websocket_key": None}, 400, "Key header is missing"),
    ({"sec_websocket_key": [KEY, KEY]}, 400, "Key header is repeated"),
    ({"sec_websocket_key": b""}, 400, "16 octets"),
    ({"sec_websocket_key": base64.b64encode(bytes(15))}, 400, "16 octets"),
    ({"sec_websocket_key": base64.b64encode(bytes(17))}, 400, "16 octets"),
    ({"sec_websocket_key": KEY[:-2]}, 400, "16 octets"),
    ({"sec_websocket_key": KEY[:-1]}, 400, "16 octets"),
    ({"sec_websocket_key": KEY + b"!"}, 400, "16 octets"),
    ({"sec_websocket_key": b"dGhlIHNhbXBsZSBub25j ZQ=="}, 400, "16 octets"),
    ({"sec_websocket_key": b"\xff" * 24}, 400, "16 octets"),
    # "6. A |Sec-WebSocket-Version| header field, with a value of 13."
    *(
        ({"sec_websocket_version": version}, 426, "version 13")
        for version in (None, b"", b"8", b"14", b"013", b"13.0", b"13, 8", [b"13", b"8"])
    ),
    # "8. Optionally, a |Sec-WebSocket-Protocol| header field"; 4.1, item 10: tokens, "and MUST all
    # be unique"
    ({"sec_websocket_protocol": b"a b"}, 400, "Protocol header is malformed"),
    ({"sec_websocket_protocol": b"caf\xe9"}, 400, "Protocol header is malformed"),
    ({"sec_websocket_protocol": b"a, b, a"}, 400, "twice"),
    ({"sec_websocket_protocol": [b"a", b"a"]}, 400, "twice"),
    # 9.1: "... does not conform to this grammar ... MUST immediately _Fail the WebSocket
    # Connection_"
    ({"sec_websocket_extensions": b"a;"}, 400, "Extensions"),
    ({"sec_websocket_extensions": b"a; b=\xff"}, 400, "Extensions"),
]


@pytest.mark.parametrize(("changes", "status", "words"), BAD)
def test_refused(changes: dict[str, object], status: int, words: str) -> None:
    with pytest.raises(HandshakeError) as caught:
        handshake.check(head(**changes))  # type: ignore[arg-type]
    assert caught.value.status == status
    assert words in caught.value.reason


def test_another_version_is_told_which_is_spoken() -> None:
    # 4.4: "... the server MUST respond with a |Sec-WebSocket-Version| header field ... indicating
    # the version(s) the server is willing to use." RFC 9110, 15.5.22 and 7.8 ask for the others.
    with pytest.raises(HandshakeError) as caught:
        handshake.check(head(sec_websocket_version=b"8"))
    assert sorted(caught.value.headers) == [
        (b"connection", b"upgrade"),
        (b"sec-websocket-version", b"13"),
        (b"upgrade", b"websocket"),
    ]


def test_another_method_is_told_which_is_allowed() -> None:
    # RFC 9110, 15.5.6: "The origin server MUST generate an Allow header field in a 405 response"
    with pytest.raises(HandshakeError) as caught:
        handshake.check(head(method="PUT"))
    assert caught.value.headers == [(b"allow", b"GET")]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (None, []),
        (b"", []),
        (b"chat", ["chat"]),
        (b"b,a", ["b", "a"]),
        ([b"b", b"a , c"], ["b", "a", "c"]),
        (b",, v1.json ,\t!#$ ,", ["v1.json", "!#$"]),
    ],
)
def test_subprotocols_in_the_order_of_preference(values: object, expected: list[str]) -> None:
    assert handshake.check(head(sec_websocket_protocol=values)).subprotocols == expected


def test_a_subprotocol_that_was_not_offered_is_refused() -> None:
    found = handshake.check(head(sec_websocket_protocol=b"chat, superchat"))
    for wrong in ("Chat", "other", "", b"chat"):
        with pytest.raises(ValueError, match="was not offered by the client \\(chat, superchat\\)"):
            handshake.response(found, wrong, Compression())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="\\(none\\)"):
        handshake.response(handshake.check(head()), "chat", Compression())


def test_compression_is_agreed_where_it_is_offered_and_wanted() -> None:
    found = handshake.check(head(sec_websocket_extensions=b"permessage-deflate"))
    headers, agreed = handshake.response(found, None, Compression())
    assert headers[-1] == (
        b"sec-websocket-extensions",
        b"permessage-deflate; server_max_window_bits=12",
    )
    assert agreed == Parameters(False, False, 12, 15)
    headers, agreed = handshake.response(found, None, None)
    assert [name for name, _ in headers] == [b"upgrade", b"sec-websocket-accept"]
    assert agreed is None


#: Options that change what is answered; with no memory at all, no client is let keep its window.
SETTINGS = [
    Settings(),
    Settings(memory=0),
    Settings(window_bits=15, client_window_bits=15),
    Settings(window_bits=9, client_window_bits=9, server_no_context_takeover=True),
    Settings(client_no_context_takeover=True),
]


@pytest.mark.parametrize("server_bits", [None, 9, 12, 15])
@pytest.mark.parametrize("client_bits", [None, True, 9, 10, 15])
@pytest.mark.parametrize("takeover", [False, True])
@pytest.mark.parametrize("settings", SETTINGS)
def test_websockets_accepts_the_answer(
    server_bits: int | None, client_bits: int | None, takeover: bool, settings: Settings
) -> None:
    client = ClientProtocol(
        parse_uri("ws://example.com/"),
        subprotocols=["a", "b"],  # type: ignore[list-item]
        extensions=[
            ClientPerMessageDeflateFactory(
                server_no_context_takeover=takeover,
                client_no_context_takeover=takeover,
                server_max_window_bits=server_bits,
                client_max_window_bits=client_bits,
            )
        ],
    )
    request = client.connect()
    fields = [
        (name.lower().encode(), value.encode()) for name, value in request.headers.raw_items()
    ]
    found = handshake.check(SimpleNamespace(method="GET", http_version="1.1", headers=fields))
    headers, agreed = handshake.response(found, "b", Compression(settings))
    answer = Headers([("Connection", "Upgrade")])
    for name, value in headers:
        answer[name.decode()] = value.decode()
    client.process_response(Response(101, "Switching Protocols", answer))
    assert agreed is not None
    (extension,) = client.extensions
    assert client.subprotocol == "b"
    assert extension.remote_max_window_bits == agreed.server_max_window_bits
    assert extension.local_max_window_bits == agreed.client_max_window_bits
    assert extension.remote_no_context_takeover == agreed.server_no_context_takeover
    assert extension.local_no_context_takeover == agreed.client_no_context_takeover


names = st.sampled_from(
    [
        b"upgrade",
        b"connection",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-protocol",
        b"sec-websocket-extensions",
    ]
)


@given(st.lists(st.tuples(names, st.binary(max_size=30)), max_size=3))
@quick
def test_any_headers_are_accepted_or_refused_with_a_status(
    extra: list[tuple[bytes, bytes]],
) -> None:
    request = head()
    request.headers = request.headers + extra
    try:
        handshake.check(request)
    except HandshakeError as error:
        status = error.status
        assert status in (400, 426)
