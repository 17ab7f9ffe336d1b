"""Sending a file on a connection: by the kernel, or read and written piece by piece.

Rules of this file:
- It knows only `Target` of the connection, and nothing about transports.
- A disk may be slow: it is read in another thread, whether by Python or by the kernel.
- The kernel sends from duplicated descriptors: the file and the connection may be closed while it reads the
  disk, and the event loop only waits for a socket that does not belong to a transport.
"""

from __future__ import annotations

import asyncio
import errno
import os
from typing import BinaryIO, Protocol

#: Octets of a file that are read, or sent by the kernel, in one call.
READ_CHUNK = 262144
SENDFILE_CHUNK = 1 << 20

#: Errors of a socket whose peer cannot be reached, in addition to those that Python makes a ConnectionError.
_PEER_GONE = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN)


class Target(Protocol):
    """The connection that a file is sent on; its methods are those of Connection."""

    loop: asyncio.AbstractEventLoop

    def write(self, data: bytes) -> None: ...
    async def drain(self) -> None: ...
    def is_closing(self) -> bool: ...
    def abort(self) -> None: ...
    def count_sent(self, size: int) -> None: ...
    async def until_writable(self, fd: int) -> None: ...


async def read_and_write(target: Target, file: BinaryIO, size: int) -> int:
    """Send at most `size` octets of `file`, from its position on, like any other data; returns how many were
    sent. Raises OSError if the file cannot be read."""
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
    """A file that the kernel sends, from its position on, to the socket `fd`; neither needs to stay open.
    Raises OSError if no descriptor is left. Must be closed."""

    def __init__(self, file: BinaryIO, fd: int) -> None:
        self._position = file.tell()
        self._file = os.dup(file.fileno())
        try:
            self._socket = os.dup(fd)
        except OSError:
            os.close(self._file)
            raise
        #: The system call in progress.
        self._sending: asyncio.Future[int] | None = None

    async def run(self, target: Target, size: int) -> int:
        """Send at most `size` octets; returns how many were sent. Nothing may be waiting in the transport.
        Raises OSError if the file cannot be read."""
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
                target.abort()  # the peer has gone: `is_closing` must say so before the transport notices
                break
            if sent == 0:
                break  # the file has become shorter
            self._position += sent
            target.count_sent(sent)
        return self._position - start

    def _send(self, count: int) -> int:
        return os.sendfile(self._socket, self._file, self._position, count)

    def close(self) -> None:
        """Close the descriptors, after the system call in progress if one goes on although nobody waits for
        it."""
        sending = self._sending
        if sending is None or sending.done():
            self._close(None)
        else:
            sending.add_done_callback(self._close)

    def _close(self, sending: asyncio.Future[int] | None) -> None:
        os.close(self._file)
        os.close(self._socket)
        if sending is not None and not sending.cancelled():
            sending.exception()  # nobody else retrieves it
