"""Messages between a supervisor and a worker, over a pair of sockets.

Rules of this file: a message is one JSON value on a line. Sending never waits: messages are few and short. The
end of the other side, whatever its cause, is reported once.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

READ_SIZE = 65536


class Channel:
    """One end, `sock`, which it closes.

    `received` is called with each message, `ended` when the other side has ended; both from callbacks of the
    event loop.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        received: Callable[[Any], object],
        ended: Callable[[], object],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._received = received
        self._ended = ended
        self._rest = b""
        self._closed = False
        self._finishing = False
        sock.setblocking(False)
        loop.add_reader(sock.fileno(), self._read)

    def send(self, message: Any) -> None:
        """Send `message`; it is lost if the other side has ended, or has not read for very long."""
        if self._closed:
            return
        try:
            self._sock.send(json.dumps(message).encode() + b"\n")
        except OSError:
            pass  # reading reports the end

    def close(self) -> None:
        """Idempotent."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    def finish(self) -> None:
        """The other side has ended: take what it has sent, and close. Its end is not reported."""
        self._finishing = True
        while not self._closed and self._read():
            pass
        self.close()

    def _read(self) -> bool:
        """Take what has arrived; false if there was nothing."""
        try:
            data = self._sock.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            if not self._finishing:
                self._ended()
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not self._closed:
                self._received(json.loads(line))
        return True
