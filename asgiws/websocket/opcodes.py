"""The numbers in a frame's first two octets (RFC 6455, 5.2 and 11.8).

Rules of this file: numbers only. Compiled modules import them into C integers (see `frames.pxd`), which is why
they are in a module that is not compiled.
"""

from __future__ import annotations

CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA

FIN = 0x80
RSV1 = 0x40
RSV2_RSV3 = 0x30
MASKED = 0x80
