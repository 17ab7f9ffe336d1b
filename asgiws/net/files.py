"""Sending a file on a connection: by the kernel, or read and written piece by piece.

Rules of this file:
- It knows of the connection what `Target` says, and nothing of transports.
- A disk may be slow: it is read in another thread, whoever reads it.
- The kernel sends from descriptors of our own, duplicates: the file and the connection may be closed while it
  reads the disk, and only a socket that is no transport's can be waited for.
"""

from __future__ import annotations

import asyncio
import errno
import os
from typing import BinaryIO, Protocol

#: Octets of a file that are read, or sent by the kernel, at once.
READ_CHUNK = 262144
SENDFILE_CHUNK = 1 << 20

#: What a socket says of a peer that is out of reach, beside what Python calls a ConnectionError.
_PEER_GONE = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN)


class Target(Protocol):
    """The connection that a file is sent on; its methods are Connection's."""

    loop: asyncio.AbstractEventLoop

    def write(self, data: bytes) -> None: ...
    async def drain(self) -> None: ...
    def is_closing(self) -> bool: ...
    def abort(self) -> None: ...
    def count_sent(self, size: int) -> None: ...
    async def until_writable(self, fd: int) -> None: ...


async def read_and_write(target: Target, file: BinaryIO, size: int) -> int:
    """Send at most `size` octets of `file`, from its position on, as any other octets are sent; returns how
    many that were. Raises OSError when it cannot be read."""
    left = size
    while left and not target.is_closing():
        chunk = await target.loop.run_in_executor(None, file.read, min(left, READ_CHUNK))
        if not chunk:
            break
        target.write(chunk)
        left -= len(chunk)
        await target.drain()
    return size - left


class KernelSending:
    """A file that the kernel is to send, from its position on, to the socket `fd`; neither needs to stay open.
    Raises OSError when no descriptor is left. To be closed."""

    def __init__(self, file: BinaryIO, fd: int) -> None:
        self._position = file.tell()
        self._file = os.dup(file.fileno())
        try:
            self._socket = os.dup(fd)
        except OSError:
            os.close(self._file)
            raise
        #: The kernel's call, while it lasts.
        self._sending: asyncio.Future[int] | None = None

    async def run(self, target: Target, size: int) -> int:
        """Send at most `size` octets; returns how many that were. Nothing may wait in the transport by now.
        Raises OSError when the file cannot be read."""
        start = self._position
        end = start + size
        while self._position < end and not target.is_closing():
            count = min(end - self._position, SENDFILE_CHUNK)
            self._sending = target.loop.run_in_executor(None, self._send, count)
            try:
                sent = await asyncio.shield(self._sending)
            except BlockingIOError:
                await target.until_writable(self._socket)
                continue
            except OSError as error:
                if not isinstance(error, ConnectionError) and error.errno not in _PEER_GONE:
                    raise
                target.abort()  # the peer has gone; who asks now is to know it before the transport does
                break
            if sent == 0:
                break  # the file has become shorter
            self._position += sent
            target.count_sent(sent)
        return self._position - start

    def _send(self, count: int) -> int:
        return os.sendfile(self._socket, self._file, self._position, count)

    def close(self) -> None:
        """Close the descriptors; behind the kernel's call, where that goes on although nobody waits for it."""
        sending = self._sending
        if sending is None or sending.done():
            self._close(None)
        else:
            sending.add_done_callback(self._close)

    def _close(self, sending: asyncio.Future[int] | None) -> None:
        os.close(self._file)
        os.close(self._socket)
        if sending is not None and not sending.cancelled():
            sending.exception()  # nobody else asks for it
