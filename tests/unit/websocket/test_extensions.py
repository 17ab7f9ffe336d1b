"""The grammar of Sec-WebSocket-Extensions (RFC 6455, 9.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.websocket.extensions import Extension, parse
from tests.support.properties import quick

ACCEPTED = [
    ([b"foo"], [("foo", [])]),
    # 9.1: "Sec-WebSocket-Extensions: foo", "Sec-WebSocket-Extensions: bar; baz=2" is exactly
    # equivalent to "Sec-WebSocket-Extensions: foo, bar; baz=2"
    ([b"foo", b"bar; baz=2"], [("foo", []), ("bar", [("baz", "2")])]),
    ([b"foo, bar; baz=2"], [("foo", []), ("bar", [("baz", "2")])]),
    ([b"deflate-stream"], [("deflate-stream", [])]),
    (
        [b"mux; max-channels=4; flow-control, deflate-stream"],
        [("mux", [("max-channels", "4"), ("flow-control", None)]), ("deflate-stream", [])],
    ),
    ([b'private-extension; a="b"'], [("private-extension", [("a", "b")])]),
    ([b"a;b;c=1;b"], [("a", [("b", None), ("c", "1"), ("b", None)])]),
    ([b" \ta \t; \tb = c\t, \td "], [("a", [("b", "c")]), ("d", [])]),
    # RFC 9110, 5.6.1: "A recipient MUST parse and ignore a reasonable number of empty list
    # elements"
    ([b",, a,,b , ,"], [("a", []), ("b", [])]),
    ([b"!#$%&'*+-.^_`|~09AZaz; !#$=%&'"], [("!#$%&'*+-.^_`|~09AZaz", [("!#$", "%&'")])]),
    ([], []),
]


@pytest.mark.parametrize(("values", "expected"), ACCEPTED)
def test_accepted(values: list[bytes], expected: list[tuple[str, list[object]]]) -> None:
    assert [tuple(extension) for extension in parse(values)] == expected


REFUSED = [
    b"",
    b" ",
    b",",
    b"a b",
    b"a;",
    b";a",
    b"a;;b",
    b"a; b=",
    b"a; =b",
    b"a; b=c=d",
    b"a; b=c d",
    b'a; b="',
    b'a; b=""',
    b'a; b="c',
    b'a; b=c"',
    # "When using the quoted-string syntax variant, the value after quoted-string unescaping MUST
    # conform to the 'token' ABNF."
    b'a; b="c d"',
    b'a; b="c,d"',
    b'a; b="c;d"',
    b"a@b",
    b"a\x00",
    b"caf\xe9",
    b"a; b=caf\xe9",
    b"a\n",
    b"(comment)",
]


@pytest.mark.parametrize("value", REFUSED)
def test_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="malformed Sec-WebSocket-Extensions"):
        parse([value])
    with pytest.raises(ValueError):
        parse([b"good", value])


def test_what_is_said_of_a_malformed_header_is_ascii() -> None:
    """It is sent back to the client, and stands in logs."""
    with pytest.raises(ValueError) as caught:
        parse([b"caf\xe9 \xd3\x93 good"])
    assert str(caught.value) == r"malformed Sec-WebSocket-Extensions: 'caf\xe9 \xd3\x93 good'"


def test_str_is_what_stands_in_the_header() -> None:
    assert str(Extension("a", [])) == "a"
    assert str(Extension("a", [("b", None), ("c", "1")])) == "a; b; c=1"


tokens = st.text("!#$%&'*+-.^_`|~0123456789ABCxyz", min_size=1, max_size=8)
extensions = st.builds(
    Extension, tokens, st.lists(st.tuples(tokens, st.none() | tokens), max_size=3)
)


@given(st.lists(extensions, min_size=1, max_size=4), st.booleans())
@quick
def test_what_is_written_is_parsed_again(written: list[Extension], lines: bool) -> None:
    texts = [str(extension).encode() for extension in written]
    assert parse(texts if lines else [b", ".join(texts)]) == written


@given(st.binary(max_size=40) | st.text('a,; ="\t\\', max_size=30).map(str.encode))
@quick
def test_any_octets_are_parsed_or_refused(value: bytes) -> None:
    try:
        found = parse([value])
    except ValueError:
        return
    assert found
    assert all(extension.name for extension in found)
    assert parse([", ".join(map(str, found)).encode("latin-1")]) == found


def test_a_long_malformed_header_is_refused_in_linear_work() -> None:
    # Nothing here may backtrack more than once over what it matched: these would take for ever.
    for value in (
        b"a;" * 20000,
        b"a, " * 20000 + b"@",
        b"a" * 60000 + b"@",
        b"a" + b" " * 3000 + b"@",
    ):
        with pytest.raises(ValueError):
            parse([value])
