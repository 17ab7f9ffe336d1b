from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.http import grammar
from asgiws.http.errors import BadRequest
from tests.support.properties import examples

LINES = st.one_of(
    st.sampled_from(
        [
            b"Host: a\r\n",
            b"X:\r\n",
            b"X: \t\r\n",
            b"X:y\n",
            b"X:y\r\r\n",
            b"X\r\n",
            b" X: y\r\n",
            b"X : y\r\n",
            b":\r\n",
            b"\xff: y\r\n",
            b"X: \xff\r\n",
            b"X: \x7f\r\n",
            b"X: \x00\r\n",
        ]
    ),
    st.binary(max_size=6).map(lambda data: data.replace(b"\n", b"") + b"\r\n"),
    st.binary(max_size=6).map(lambda data: b"X:" + data.replace(b"\n", b"") + b"\r\n"),
)


def complains(check: object, *arguments: object) -> bool:
    try:
        check(*arguments)  # type: ignore[operator]
    except BadRequest:
        return True
    return False


@examples(500)
@given(
    first=st.one_of(
        st.just(b"GET / HTTP/1.1\r\n"),
        st.lists(
            st.sampled_from(
                [b"GET", b"/", b"HTTP/1.1", b" ", b"\t", b"\r", b"\x00", b"\xff", b"(", b"a"]
            ),
            min_size=1,
            max_size=7,
        ).map(lambda parts: b"".join(parts) + b"\r\n"),
    ),
    lines=st.lists(LINES.filter(lambda line: line != b"\r\n"), max_size=4),
)
def test_the_head_and_its_lines_agree(first: bytes, lines: list[bytes]) -> None:
    fault = complains(grammar.check_request_line, first) or any(
        complains(grammar.check_field_line, line, "a line") for line in lines
    )
    head = first + b"".join(lines) + b"\r\n"
    assert (grammar.request_head.fullmatch(head) is None) == fault


@given(data=st.binary(min_size=1, max_size=30))
def test_a_line_is_right_or_refused_and_nothing_else(data: bytes) -> None:
    line = data.replace(b"\n", b"") + b"\n"
    complains(grammar.check_request_line, line)
    complains(grammar.check_field_line, line, "a line")


@examples(300)
@given(
    fields=st.lists(
        st.tuples(
            st.text("abcXYZ-_!", min_size=1, max_size=5).map(str.encode),
            st.binary(max_size=8).map(lambda data: re.sub(rb"[\x00-\x1f\x7f]", b"\t", data)),
        ),
        max_size=5,
    )
)
def test_split_fields(fields: list[tuple[bytes, bytes]]) -> None:
    head = b"GET / HTTP/1.1\r\n" + b"".join(b"%b:%b\r\n" % field for field in fields) + b"\r\n"
    expected = [(name.lower(), value.strip(b" \t")) for name, value in fields]
    assert grammar.request_head.fullmatch(head)
    assert grammar.split_fields(head) == expected


@pytest.mark.parametrize(
    "line",
    [
        b"0\r\n",
        b"00ffFF\r\n",
        b"1;a\r\n",
        b"1;a=b\r\n",
        b"1 ; a = b ;c\r\n",
        b'1;a="b;\\"\\\\ \xff"\r\n',
        b'1;a="";b=c\r\n',
    ],
)
def test_chunk_line(line: bytes) -> None:
    assert grammar.chunk_line.fullmatch(line)


@pytest.mark.parametrize(
    "line",
    [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b" 1\r\n",
        b"1 \r\n",
        b"1\n",
        b"1\r\r\n",
        b"1;\r\n",
        b"1;=b\r\n",
        b'1;a="b\r\n',
        b'1;a="\x00"\r\n',
        b"1;a=b c\r\n",
        b"1,a\r\n",
        b"12345678901234567\r\n",
    ],
)
def test_no_chunk_line(line: bytes) -> None:
    assert not grammar.chunk_line.fullmatch(line)


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"a",
        b"a.b-c_d~:8000",
        b"a:",
        b"192.0.2.1:80",
        b"[::1]",
        b"[2001:db8::1]:443",
        b"[v1.a:b]",
        b"%41",
        b"a!$&'()*+,;=",
    ],
)
def test_host(host: bytes) -> None:
    assert grammar.host.fullmatch(host)


@pytest.mark.parametrize(
    "host",
    [
        b"a b",
        b"a/b",
        b"a@b",
        b"a:b",
        b"a:1:2",
        b"::1",
        b"[::1",
        b"[g]",
        b"a\\b",
        b"%4",
        b"a?b",
        b"\xe4",
    ],
)
def test_no_host(host: bytes) -> None:
    assert not grammar.host.fullmatch(host)


@pytest.mark.parametrize(
    ("target", "authority", "path", "query"),
    [
        (b"http://a", b"a", b"", None),
        (b"HTTPS://a:1/b/c?d?e", b"a:1", b"/b/c", b"d?e"),
        (b"http://[::1]?q", b"[::1]", b"", b"q"),
        (b"http://a/?", b"a", b"/", b""),
    ],
)
def test_absolute_form(target: bytes, authority: bytes, path: bytes, query: bytes | None) -> None:
    match = grammar.absolute_form.fullmatch(target)
    assert match is not None
    assert match.groups() == (authority, path, query)


@pytest.mark.parametrize(
    "target", [b"http:/a", b"http:a", b"ws://a/", b"http://a/#b", b"http://a b"]
)
def test_no_absolute_form(target: bytes) -> None:
    assert not grammar.absolute_form.fullmatch(target)


@pytest.mark.parametrize("value", [b"1", b"0", b"00", b"9" * 18])
def test_content_length(value: bytes) -> None:
    assert grammar.content_length.fullmatch(value)


@pytest.mark.parametrize("value", [b"", b"-1", b"+1", b"1.0", b"1 ", b"1,1", b"\xb2", b"9" * 19])
def test_no_content_length(value: bytes) -> None:
    assert not grammar.content_length.fullmatch(value)


def test_no_pattern_goes_wild() -> None:
    """Far below the time that catastrophic backtracking would take."""
    assert not grammar.chunk_line.fullmatch(b"1" + b" ;a = b" * 140 + b"\x00")
    assert not grammar.request_head.fullmatch(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10000 + b"\x00")
    assert not grammar.token_list.fullmatch(b"a, " * 20000 + b"(")
    assert not grammar.host.fullmatch(b"a" * 60000 + b"/")
