"""Close codes and close frame bodies (RFC 6455, 5.5.1 and 7.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.websocket import close
from asgiws.websocket.errors import ProtocolError
from tests.support.properties import quick

#: 7.4.1, and what was registered since (IANA, "WebSocket Close Code Number Registry").
ALLOWED = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014}


def test_which_codes_may_stand_in_a_close_frame() -> None:
    # 7.4.2: "3000-3999 ... reserved for use by libraries", "4000-4999 ... private use"; "0-999 ...
    # not used".
    expected = ALLOWED | set(range(3000, 5000))
    assert {code for code in range(65536) if close.is_sendable(code)} == expected
    assert not close.is_sendable(-1)
    assert not close.is_sendable(65536 + 1000)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # "If this Close control frame contains no status code, _The WebSocket Connection Close
        # Code_ is considered to be 1005." (7.1.5)
        (b"", (1005, "")),
        (b"\x03\xe8", (1000, "")),
        (b"\x03\xe9going", (1001, "going")),
        (b"\x0f\xa0" + "é€😀".encode(), (4000, "é€😀")),
        (b"\x13\x87" + b"x" * 123, (4999, "x" * 123)),
    ],
)
def test_parse(body: bytes, expected: tuple[int, str]) -> None:
    assert close.parse(body) == expected


@pytest.mark.parametrize(
    ("body", "code"),
    [
        # "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer"
        # (5.5.1)
        (b"\x03", close.PROTOCOL_ERROR),
        *(
            (number.to_bytes(2, "big"), close.PROTOCOL_ERROR)
            for number in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
        ),
        # "Following the 2-byte integer, the body MAY contain UTF-8-encoded data" (5.5.1); 8.1
        (b"\x03\xe8\xff", close.INVALID_PAYLOAD),
        (b"\x03\xe8ok\xe2\x82", close.INVALID_PAYLOAD),
        (b"\x03\xe8\xed\xa0\x80", close.INVALID_PAYLOAD),
    ],
)
def test_parse_refuses(body: bytes, code: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        close.parse(body)
    assert caught.value.code == code
    assert caught.value.reason


def test_serialise() -> None:
    assert close.serialise(1000) == b"\x03\xe8"
    assert close.serialise(4321, "bye €") == b"\x10\xe1bye \xe2\x82\xac"
    # 1005 "MUST NOT be set as a status code in a Close control frame": it is told by an empty body.
    assert close.serialise(1005, "never sent") == b""


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 2999, 5000, -1, 65536])
def test_serialise_refuses_codes_that_may_not_be_sent(code: int) -> None:
    with pytest.raises(ValueError, match=f"close code {code} may not be sent"):
        close.serialise(code)


def test_serialise_refuses_a_lone_surrogate() -> None:
    with pytest.raises(ValueError):
        close.serialise(1000, "\ud800")


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("x" * 122 + "é", "x" * 122),
        ("x" * 121 + "éé", "x" * 121 + "é"),
        ("x" * 120 + "😀", "x" * 120),
        ("😀" * 40, "😀" * 30),
    ],
)
def test_a_long_reason_is_cut_between_characters(reason: str, kept: str) -> None:
    assert close.serialise(1000, reason)[2:].decode() == kept


@given(
    st.sampled_from(sorted(ALLOWED)) | st.integers(3000, 4999),
    st.text(max_size=200),
)
@quick
def test_what_is_serialised_fits_a_control_frame_and_is_parsed_again(
    code: int, reason: str
) -> None:
    body = close.serialise(code, reason)
    # "All control frames MUST have a payload length of 125 bytes or less" (5.5)
    assert len(body) <= 125
    parsed, kept = close.parse(body)
    assert parsed == code
    assert reason.startswith(kept)
    assert kept == reason or len(body) > 121


@given(st.binary(max_size=125))
@quick
def test_any_body_is_parsed_or_refused(body: bytes) -> None:
    try:
        code, reason = close.parse(body)
    except ProtocolError as error:
        refused = error.code
        assert refused in (close.PROTOCOL_ERROR, close.INVALID_PAYLOAD)
    else:
        assert close.serialise(code, reason) == body
