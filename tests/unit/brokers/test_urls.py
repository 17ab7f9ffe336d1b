"""What the parts of a broker's URL are, and that what is wrong with it is said without repeating it."""

from __future__ import annotations

import pytest

from asgiws.brokers.urls import address, url_parts
from asgiws.config import StartError


@pytest.mark.parametrize(
    ("rest", "netloc", "path", "query"),
    [
        ("host", "host", "", ""),
        ("a:1,b:2,[::1]:3/x/0?y=z", "a:1,b:2,[::1]:3", "/x/0", "y=z"),
        ("user:p%40%2Fw@host/0", "user:p%40%2Fw@host", "/0", ""),
        (":p@w@host", ":p@w@host", "", ""),
        ("/run/a@b.sock?db=1", "", "/run/a@b.sock", "db=1"),
        (":pw@/run/a@b.sock", ":pw@", "/run/a@b.sock", ""),
    ],
)
def test_parts(rest: str, netloc: str, path: str, query: str) -> None:
    parts = url_parts(rest)
    assert (parts.netloc, parts.path, parts.query) == (netloc, path, query)


@pytest.mark.parametrize(
    "rest",
    [
        *("u:secret/word@host", "u:12/secret@host", "secret/@host", "u:secret?word@host"),
        *("u:secret#word@host", "secret#", "[secret", "u:secret]@host", "secret℀@host"),
    ],
)
def test_a_password_that_is_not_encoded(rest: str) -> None:
    with pytest.raises(StartError) as caught:
        url_parts(rest)
    text = str(caught.value)
    assert text.startswith("pubsub: that URL cannot be used: ")
    assert "secret" not in text
    assert "word@" not in text
    assert "\n" not in text
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        *(
            ("a", "a", 7),
            ("a:1", "a", 1),
            ("a:", "a", 7),
            ("[::1]", "::1", 7),
            ("[::1]:5", "::1", 5),
        ),
        *(("localhost", "localhost", 7), ("127.0.0.1:65535", "127.0.0.1", 65535)),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert address(text, 7) == (host, port)


@pytest.mark.parametrize(
    "text", ["", ":1", "a:secret", "a:65536", "a:-1", "a:1:2", "[secret", "::1"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(StartError) as caught:
        address(text, 7)
    assert "secret" not in str(caught.value)
