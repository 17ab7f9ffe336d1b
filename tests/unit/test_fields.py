"""What names and values of header fields are made of, byte by byte."""

from __future__ import annotations

import re

from asgiws.fields import FIELD_VALUE, TOKEN

#: RFC 9110 5.6.2, as it stands there.
MARKS = b"!#$%&'*+-.^_`|~"
BYTES = [bytes([number]) for number in range(256)]


def matching(expression: bytes) -> set[bytes]:
    return {byte for byte in BYTES if re.fullmatch(expression, byte)}


def test_a_token_is_made_of_letters_digits_and_fifteen_marks() -> None:
    letters_and_digits = {byte for byte in BYTES if byte.isalnum()}
    assert matching(TOKEN) == letters_and_digits | {bytes([mark]) for mark in MARKS}
    assert re.fullmatch(TOKEN, b"Sec-WebSocket-Key")
    assert not re.fullmatch(TOKEN, b"")
    assert not re.fullmatch(TOKEN, b"name\n")


def test_a_value_has_no_control_character_but_the_tab() -> None:
    controls = {bytes([number]) for number in (*range(32), 127)} - {b"\t"}
    assert matching(FIELD_VALUE) == set(BYTES) - controls
    assert re.fullmatch(FIELD_VALUE, b"")
    assert not re.fullmatch(FIELD_VALUE, b"value\n")
