"""The numbers are those of RFC 6455, as an independent implementation has them."""

from __future__ import annotations

from websockets.frames import Opcode

from asgiws.websocket import opcodes


def test_the_opcodes_are_the_fields_own() -> None:
    names = {"CONTINUATION": "CONT"}
    for name in ("CONTINUATION", "TEXT", "BINARY", "CLOSE", "PING", "PONG"):
        assert getattr(opcodes, name) == Opcode[names.get(name, name)]


def test_the_bits_of_the_first_octet_are_apart() -> None:
    assert opcodes.FIN | opcodes.RSV1 | opcodes.RSV2_RSV3 == 0xF0
    assert opcodes.FIN + opcodes.RSV1 + opcodes.RSV2_RSV3 == 0xF0
