"""The border between the cases, in Python 2's text model, and the protocol. Becomes `_py3.py`.

Rules of this file:
- It runs inside the prepared suite: no import of the project.
- A payload is text of one character per octet on the cases' side, bytes on the protocol's.
"""

from __future__ import annotations

import binascii
import os
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))


def resource_filename(name: str) -> str:
    """The path of a file of the suite."""
    return os.path.join(HERE, name)


def octets(value: Any) -> Any:
    """Text of one character per octet as bytes; anything else as it is."""
    return value.encode("latin-1") if isinstance(value, str) else value


def text(value: Any) -> Any:
    """Bytes as text of one character per octet; anything else as it is."""
    return bytes(value).decode("latin-1") if isinstance(value, (bytes, bytearray)) else value


def b2a_hex(value: Any) -> str:
    """Hexadecimal digits as text, as on Python 2."""
    return binascii.b2a_hex(octets(value)).decode("ascii")


class Boundary:
    """First base of the fuzzing protocols: what a case hands to the protocol becomes bytes."""

    def sendFrame(self, *args: Any, **options: Any) -> Any:
        if "payload" in options:
            options["payload"] = octets(options["payload"])
        return super().sendFrame(*args, **options)  # type: ignore[misc]

    def sendMessage(self, payload: Any, *args: Any, **options: Any) -> Any:
        return super().sendMessage(octets(payload), *args, **options)  # type: ignore[misc]

    def sendMessageFrameData(self, payload: Any, *args: Any, **options: Any) -> Any:
        return super().sendMessageFrameData(octets(payload), *args, **options)  # type: ignore[misc]

    def sendCloseFrame(
        self, code: Any = None, reasonUtf8: Any = None, isReply: bool = False
    ) -> Any:
        return super().sendCloseFrame(code, octets(reasonUtf8), isReply)  # type: ignore[misc]
