"""What the connections of one worker use in common for reading and sending, each in its turn.

Rules of this file: there is one LoopIO per worker. Whatever creates the connections passes it to each of them.
"""

from __future__ import annotations

from collections.abc import Callable

from asgiws.net.gathering import Gathering
from asgiws.net.outbox import Outbox

#: The most octets that one read takes.
READ_SIZE = 262144


class LoopIO:
    """The buffer that all connections read into, one at a time, and what is to be sent. `call_soon` has a
    function called once the loop has turned."""

    __slots__ = ("gathering", "outbox", "read_buffer", "read_view")

    def __init__(self, call_soon: Callable[[Callable[[], object]], object]) -> None:
        self.read_buffer = bytearray(READ_SIZE)
        self.read_view = memoryview(self.read_buffer)
        #: What the connection whose read is in progress is about to send.
        self.gathering = Gathering()
        #: What others hold back for a moment.
        self.outbox = Outbox(call_soon)
