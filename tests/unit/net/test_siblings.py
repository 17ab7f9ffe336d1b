"""Several listening sockets on one address."""

from __future__ import annotations

import socket

import pytest

from asgiws.net import siblings

pytestmark = pytest.mark.skipif(
    not siblings.are_possible(), reason="this system has no SO_REUSEPORT"
)


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_who_connects_is_spread_over_them(family: int, host: str) -> None:
    with socket.socket(family) as first:
        siblings.allow(first)
        try:
            first.bind((host, 0))
        except OSError:
            pytest.skip("this machine has no such address")
        with siblings.make(first) as second:
            assert second.getsockname() == first.getsockname()
            for sock in (first, second):
                sock.listen(200)
                sock.setblocking(False)
            clients = [socket.create_connection(first.getsockname()[:2]) for _ in range(100)]
            counts = []
            for sock in (first, second):
                accepted = 0
                while True:
                    try:
                        sock.accept()[0].close()
                    except BlockingIOError:
                        break
                    accepted += 1
                counts.append(accepted)
            for client in clients:
                client.close()
    assert sum(counts) == 100
    assert min(counts) > 0


def test_one_that_did_not_allow_it_has_none() -> None:
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        with pytest.raises(OSError):
            siblings.make(first)


def test_a_system_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_REUSEPORT")
    assert not siblings.are_possible()
    with socket.socket() as sock, pytest.raises(OSError, match="this system has no SO_REUSEPORT"):
        siblings.allow(sock)
