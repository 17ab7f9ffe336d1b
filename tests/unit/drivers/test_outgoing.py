"""`asgiws/drivers/outgoing.py`: an application's messages taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from asgiws.asgi.errors import ApplicationError, ClientDisconnected
from asgiws.drivers.outgoing import close_arguments, frames, octets_of, refuse_late
from asgiws.websocket.connection import WebSocketConnection
from asgiws.websocket.states import Trigger
from tests.support.wire import server_frames


class Safe(str):
    """As a template's safe string."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        raise AssertionError("it is taken as what it is")


@pytest.mark.parametrize(
    ("message", "frame"),
    [
        ({"text": "é"}, (0x81, "é".encode())),
        ({"text": "", "bytes": None}, (0x81, b"")),
        ({"bytes": b"\0\xff"}, (0x82, b"\0\xff")),
        ({"bytes": bytearray(b"x"), "text": None}, (0x82, b"x")),
        ({"bytes": memoryview(b"xy")}, (0x82, b"xy")),
        ({"text": Safe("s")}, (0x81, b"s")),
        (MappingProxyType({"text": "m"}), (0x81, b"m")),
    ],
)
def test_a_message_is_a_frame(message: Mapping[str, Any], frame: tuple[int, bytes]) -> None:
    wire = b"".join(frames(WebSocketConnection(), message))  # type: ignore[arg-type]
    assert server_frames(wire) == [frame]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({}, "needs one of"),
        ({"text": "x", "bytes": b"x"}, "not both"),
        ({"text": 5}, "'text' must be a str, not int"),
        ({"bytes": 5}, "malformed payload"),
        ({"bytes": "text"}, "malformed payload"),
        ({"text": "\ud800"}, "malformed payload"),
    ],
)
def test_what_is_no_message(message: dict[str, Any], words: str) -> None:
    with pytest.raises(ApplicationError, match=words):
        frames(WebSocketConnection(), message)


def test_the_arguments_of_a_close() -> None:
    assert close_arguments({}) == (1000, "")
    assert close_arguments({"code": None, "reason": None}) == (1000, "")
    assert close_arguments({"code": 4001, "reason": "bye"}) == (4001, "bye")
    for bad in ({"code": 1006}, {"code": 99}, {"reason": 5}):
        with pytest.raises(ApplicationError, match=r"malformed websocket\.close"):
            close_arguments(bad)


def state(*triggers: Trigger) -> WebSocketConnection:
    ws = WebSocketConnection()
    ws.open(1 << 20, None)
    for trigger in triggers:
        ws.apply(trigger, 1000)
    return ws


def test_what_is_wrong_once_the_handshake_is_over() -> None:
    is_open = state(Trigger.ACCEPT)
    lost = state(Trigger.ACCEPT, Trigger.LOST)
    refused = state(Trigger.CLOSE)
    with pytest.raises(ApplicationError, match=r"state OPEN: expected websocket\.send or"):
        refuse_late(is_open, "websocket.accept", True, False)
    with pytest.raises(ApplicationError, match="state CLOSED: expected nothing more"):
        refuse_late(lost, "websocket.accept", True, False)
    with pytest.raises(ApplicationError, match="state REFUSED: expected nothing more"):
        refuse_late(refused, "websocket.send", True, False)
    with pytest.raises(ApplicationError, match=r"websocket\.send after websocket\.close"):
        refuse_late(lost, "websocket.send", True, True)
    with pytest.raises(ClientDisconnected, match=r"closed \(code 1000\)"):
        refuse_late(lost, "websocket.send", True, False)
    with pytest.raises(ClientDisconnected, match="before its handshake was answered"):
        refuse_late(state(Trigger.LOST), "websocket.accept", False, False)


def test_octets() -> None:
    data = b"x"
    assert octets_of(data) is data
    assert octets_of(bytearray(b"ab")) == b"ab"
    for bad in (5, "text", None, [1]):
        with pytest.raises(TypeError):
            octets_of(bad)
