"""Incremental UTF-8 (RFC 6455, 8.1): the first octet that no text can have there fails, and no
later one.

The shapes are those of Autobahn's cases 6.x, which are Markus Kuhn's "UTF-8 decoder capability and
stress test"; their numbers stand beside them. The oracle is the grammar of RFC 3629, section 4,
written down as it stands there.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.websocket.utf8 import Utf8Validator
from tests.support.properties import quick
from tests.support.wire import splits

_TAIL = range(0x80, 0xC0)
#: RFC 3629, 4: UTF8-1 to UTF8-4.
GRAMMAR = [
    (range(0x80),),
    (range(0xC2, 0xE0), _TAIL),
    (range(0xE0, 0xE1), range(0xA0, 0xC0), _TAIL),
    (range(0xE1, 0xED), _TAIL, _TAIL),
    (range(0xED, 0xEE), range(0x80, 0xA0), _TAIL),
    (range(0xEE, 0xF0), _TAIL, _TAIL),
    (range(0xF0, 0xF1), range(0x90, 0xC0), _TAIL, _TAIL),
    (range(0xF1, 0xF4), _TAIL, _TAIL, _TAIL),
    (range(0xF4, 0xF5), range(0x80, 0x90), _TAIL, _TAIL),
]


def first_bad(data: bytes) -> int | None:
    """The position of the first octet that ends all hope; len(data) when the text ends within a
    character; None for a valid text."""
    expected: list[tuple[range, ...]] = []
    for position, octet in enumerate(data):
        if not expected:
            expected = list(GRAMMAR)
        expected = [rule[1:] for rule in expected if octet in rule[0]]
        if not expected:
            return position
        if not expected[0]:
            expected = []
    return len(data) if expected else None


def fails_at(pieces: list[bytes]) -> int | None:
    """The number of octets that were fed when the piece came that failed; all of them for
    `finish`."""
    validator = Utf8Validator()
    fed = 0
    for piece in pieces:
        try:
            validator.feed(piece)
        except UnicodeDecodeError:
            return fed
        fed += len(piece)
    try:
        validator.finish()
    except UnicodeDecodeError:
        return fed
    return None


KOSME = "κόσμε".encode()

VALID = [
    # 6.5: "some valid UTF-8 sequences"
    b"",
    b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!",
    KOSME,
    # 6.6: every prefix that ends at a character
    *("κόσμε"[:count].encode() for count in range(1, 5)),
    # 6.7: first possible sequence of a certain length
    b"\x00",
    b"\xc2\x80",
    b"\xe0\xa0\x80",
    b"\xf0\x90\x80\x80",
    # 6.9: last possible sequence of a certain length
    b"\x7f",
    b"\xdf\xbf",
    b"\xef\xbf\xbf",
    b"\xf4\x8f\xbf\xbf",
    # 6.11: other boundary conditions
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd",
    b"\xf4\x8f\xbf\xbf",
    # 6.22 and 6.23: non-characters (valid), specials
    *(b"\xef\xbf" + bytes((last,)) for last in (0xB9, 0xBA, 0xBB, 0xBC, 0xBD, 0xBE, 0xBF)),
    *(chr(plane << 16 | low).encode() for plane in range(1, 17) for low in (0xFFFE, 0xFFFF)),
]


@pytest.mark.parametrize("text", VALID, ids=bytes.hex)
def test_valid(text: bytes) -> None:
    assert first_bad(text) is None
    assert fails_at([text]) is None
    assert fails_at([text[i : i + 1] for i in range(len(text))]) is None
    assert fails_at([text, b"tail"]) is None


#: (octets, position of the first bad octet); the position behind the last one means "only the end
#: tells".
INVALID = [
    # 6.3.1, 6.4.x: kosme, then a surrogate (ED A0: the second octet already cannot be), then more
    (KOSME + b"\xed\xa0\x80edited", len(KOSME) + 1),
    # 6.4.1: F4 90, beyond U+10FFFF
    (KOSME + b"\xf4\x90\x80\x80edited", len(KOSME) + 1),
    # 6.6: prefixes that end within a character
    *((KOSME[:cut], cut) for cut in range(1, len(KOSME)) if first_bad(KOSME[:cut]) is not None),
    # 6.8: first possible sequences of five and six octets
    (b"\xf8\x88\x80\x80\x80", 0),
    (b"\xfc\x84\x80\x80\x80\x80", 0),
    # 6.10: last possible ones, beyond the range
    (b"\xf7\xbf\xbf\xbf", 0),
    (b"\xfb\xbf\xbf\xbf\xbf", 0),
    (b"\xfd\xbf\xbf\xbf\xbf\xbf", 0),
    # 6.11.5
    (b"\xf4\x90\x80\x80", 1),
    # 6.12: unexpected continuation octets
    *((bytes(range(0x80, 0x80 + count)), 0) for count in range(1, 8)),
    (bytes(range(0x80, 0xC0)), 0),
    # 6.13: lonely start characters, each followed by a space
    *((bytes((start, 0x20)), 1) for start in range(0xC2, 0xF5)),
    # 6.14: sequences with the last continuation octet missing
    (b"\xc2", 1),
    (b"\xe0\xa0", 2),
    (b"\xf0\x90\x80", 3),
    (b"\xf8\x88\x80\x80", 0),
    (b"\xfc\x84\x80\x80\x80", 0),
    (b"\xdf", 1),
    (b"\xef\xbf", 2),
    (b"\xf4\x8f\xbf", 3),
    # 6.15: several of them concatenated
    (b"\xc2\xe0\xa0\xf0\x90\x80", 1),
    # 6.16: impossible octets
    *((b"ok" + bytes((octet,)), 2) for octet in (0xFE, 0xFF, 0xC0, 0xC1, *range(0xF5, 0xFE))),
    (b"\xfe\xfe\xff\xff", 0),
    # 6.17: overlong forms of "/"
    (b"\xc0\xaf", 0),
    (b"\xe0\x80\xaf", 1),
    (b"\xf0\x80\x80\xaf", 1),
    (b"\xf8\x80\x80\x80\xaf", 0),
    (b"\xfc\x80\x80\x80\x80\xaf", 0),
    # 6.18: the longest overlong forms
    (b"\xc1\xbf", 0),
    (b"\xe0\x9f\xbf", 1),
    (b"\xf0\x8f\xbf\xbf", 1),
    (b"\xf8\x87\xbf\xbf\xbf", 0),
    (b"\xfc\x83\xbf\xbf\xbf\xbf", 0),
    # 6.19: overlong NUL
    (b"\xc0\x80", 0),
    (b"\xe0\x80\x80", 1),
    (b"\xf0\x80\x80\x80", 1),
    # 6.20: single surrogates: U+D800, DB7F, DB80, DBFF, DC00, DF80, DFFF
    *(
        (chr(number).encode("utf-8", "surrogatepass"), 1)
        for number in (0xD800, 0xDB7F, 0xDB80, 0xDBFF, 0xDC00, 0xDF80, 0xDFFF)
    ),
    # 6.21: paired ones
    (b"\xed\xa0\x80\xed\xb0\x80", 1),
    (b"\xed\xaf\xbf\xed\xbf\xbf", 1),
    # A surrogate at the end of a piece: no third octet can mend it.
    (b"text\xed\xa0", 5),
    (b"text\xed\xbf", 5),
    (b"text\xed", 5),
    (b"text\xed\x9f", 6),
]


@pytest.mark.parametrize(("octets", "position"), INVALID, ids=lambda value: repr(value)[:40])
def test_invalid_fails_at_the_first_bad_octet(octets: bytes, position: int) -> None:
    assert first_bad(octets) == position
    assert fails_at([octets[i : i + 1] for i in range(len(octets))]) == position
    # With a good start in a piece of its own, the piece with the bad octet is the one that fails.
    assert fails_at([octets[:position], octets[position:]]) == position
    with_tail = [octets + b"tail"]
    assert fails_at(with_tail) == 0


@given(st.data())
@quick
def test_any_octets_in_any_pieces_fail_in_the_piece_with_the_first_bad_octet(
    data: st.DataObject,
) -> None:
    parts = st.sampled_from([*VALID, *(octets for octets, _ in INVALID)]) | st.binary(max_size=4)
    text = b"".join(data.draw(st.lists(parts, max_size=4)))
    pieces = data.draw(splits(text))
    position = first_bad(text)
    failed = fails_at(pieces)
    if position is None or position == len(text):
        assert failed == position
    else:
        start = 0
        for piece in pieces:
            if start <= position < start + len(piece):
                break
            start += len(piece)
        assert failed == start


@pytest.mark.parametrize("wrong", [b"\xff", b"\xc3(", b"\xed\xa0", b"\xc3"])
def test_after_an_error_it_starts_anew(wrong: bytes) -> None:
    validator = Utf8Validator()

    def whole() -> None:
        validator.feed(wrong)
        validator.finish()

    with pytest.raises(UnicodeDecodeError):
        whole()
    validator.feed("é".encode())
    validator.finish()


def test_it_serves_one_text_after_another() -> None:
    validator = Utf8Validator()
    for _ in range(3):
        validator.feed(b"\xe2")
        validator.feed(b"")
        validator.feed(bytearray(b"\x82"))
        validator.feed(b"\xac and more")
        validator.finish()
    validator.finish()
