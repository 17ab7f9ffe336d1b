"""What a password's file may have, and that nothing of it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from asgiws.brokers.secrets import Secret
from asgiws.topics.broker import BrokerError


def read(directory: Path, octets: bytes) -> dict[str, str]:
    path = directory / "secret"
    path.write_bytes(octets)
    return Secret(str(path)).read()


def test_without_a_file_there_is_none() -> None:
    assert Secret(None).read() == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("geheim", {"password": "geheim"}),
        ("geheim\n", {"password": "geheim"}),
        ("geheim\r\n", {"password": "geheim"}),
        ("user:geheim\n", {"username": "user", "password": "geheim"}),
        ("user:ge:heim", {"username": "user", "password": "ge:heim"}),
        (":ge:heim", {"password": "ge:heim"}),
        ("schlüssel", {"password": "schlüssel"}),
    ],
)
def test_what_it_may_have(tmp_path: Path, text: str, found: dict[str, str]) -> None:
    assert read(tmp_path, text.encode()) == found


def test_it_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    secret = Secret(str(path))
    assert secret.read() == {"password": "old"}
    path.write_text("new")
    assert secret.read() == {"password": "new"}


@pytest.mark.parametrize("octets", [b"", b"\n", b"user\ngeheim\n", b"gehe\xffim"])
def test_what_it_may_not_have(tmp_path: Path, octets: bytes) -> None:
    with pytest.raises(BrokerError, match="pubsub_password_file") as caught:
        read(tmp_path, octets)
    assert "gehe" not in str(caught.value)
    assert "0xff" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "nothing")
    with pytest.raises(BrokerError, match=r"cannot read pubsub_password_file: .*nothing"):
        Secret(path).read()
    with pytest.raises(BrokerError, match="cannot read pubsub_password_file"):
        Secret(str(tmp_path)).read()
