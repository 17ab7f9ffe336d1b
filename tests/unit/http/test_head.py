from __future__ import annotations

import pytest

from asgiws.http.head import RequestHead, list_members


def make(headers: list[tuple[bytes, bytes]], version: str = "1.1") -> RequestHead:
    return RequestHead("GET", b"/p?q", b"/p", b"q", version, headers)


def test_get() -> None:
    head = make([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    assert head.get(b"a") == b"1"
    assert head.get(b"c") is None
    assert head.get(b"c", b"d") == b"d"
    assert head.get_all(b"a") == [b"1", b"3"]
    assert head.get_all(b"c") == []


def test_tokens() -> None:
    assert make([(b"te", b"Gzip, \ttrailers "), (b"te", b"X")]).tokens(b"te") == (
        [b"gzip", b"trailers", b"x"]
    )


def test_has_body() -> None:
    head = make([])
    assert not head.has_body()
    head.content_length = 0
    assert not head.has_body()
    head.content_length = 1
    assert head.has_body()
    head = make([])
    head.chunked = True
    assert head.has_body()


def test_persistence_is_the_version_s_unless_said_otherwise() -> None:
    assert make([]).keep_alive
    assert not make([], "1.0").keep_alive


def test_repr() -> None:
    assert repr(make([])) == "<RequestHead GET b'/p?q' HTTP/1.1>"


@pytest.mark.parametrize(
    ("values", "members"),
    [
        ([], []),
        ([b""], []),
        ([b" , ,"], []),
        ([b"A,b ,\tc"], [b"a", b"b", b"c"]),
        ([b"a", b"B"], [b"a", b"b"]),
    ],
)
def test_list_members(values: list[bytes], members: list[bytes]) -> None:
    assert list_members(values) == members
