"""Events are plain values."""

from __future__ import annotations

from asgiws.websocket.events import Close, Ping, Pong


def test_a_close_is_the_clients_own_unless_it_says_otherwise() -> None:
    assert Close(1000, "bye").failed is False
    assert Close(1000, "bye") != Close(1000, "bye", True)


def test_fields() -> None:
    assert Ping(b"a").payload == b"a"
    assert Pong(b"b").payload == b"b"
