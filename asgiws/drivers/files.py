"""The application's files in a response: a whole file, given by its path, or a part of an open one.

Rules of this file:
- Only regular files are sent, because their size is announced to the client.
- A file that is opened here is closed by the caller. One that was already open belongs to the application, and
  is not closed.
- Everything that is wrong with a file is an ApplicationError: an OSError from `send()` would mean that the
  client has gone.
"""

from __future__ import annotations

import asyncio
import os
import stat
from typing import Any, BinaryIO

from asgiws.asgi.errors import ApplicationError
from asgiws.asgi.types import Message


async def open_whole(path: str) -> tuple[BinaryIO, int]:
    """Open a regular file; returns it and its size in bytes. Raises ApplicationError if it cannot be sent."""
    opening = asyncio.get_running_loop().run_in_executor(None, _open_file, path)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_unused)
        raise
    except (OSError, ValueError) as error:
        # Not as an OSError: from send(), that would mean that the peer has gone.
        raise ApplicationError(f"http.response.pathsend: {error}") from error


def _open_file(path: str) -> tuple[BinaryIO, int]:
    # Buffered: `close` then waits for a `read` that is still in progress in another thread.
    file = open(path, "rb", opener=_opener)  # noqa: SIM115
    try:
        result = os.fstat(file.fileno())
        if not stat.S_ISREG(result.st_mode):
            raise ValueError(f"{path!r} is not a regular file")
    except BaseException:
        file.close()
        raise
    return file, result.st_size


def _opener(path: str, flags: int) -> int:
    # Otherwise the thread would hang on a FIFO that nobody writes to.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _close_unused(opening: asyncio.Future[tuple[BinaryIO, int]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].close()


class Part:
    """The part of an open file that an `http.response.zerocopysend` names, with the methods of a file that
    `Outlet.send_file` needs.

    Raises ApplicationError for a part that cannot be sent, or for which the file is too short.
    """

    def __init__(self, message: Message) -> None:
        self._file = message.get("file")
        try:
            self._fd: int = self._file if type(self._file) is int else self._file.fileno()  # type: ignore[union-attr]
            status = os.fstat(self._fd)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("this is not a regular file")
            offset = _count(message, "offset")
            count = _count(message, "count")
            self._is_here = offset is None
            self._position = self._tell() if offset is None else offset
        except AttributeError:
            raise ApplicationError(
                "the 'file' of http.response.zerocopysend must be an open file or its descriptor, "
                f"not {type(self._file).__name__}"
            ) from None
        except (OSError, ValueError) as error:
            raise ApplicationError(f"http.response.zerocopysend: {error}") from error
        left = max(status.st_size - self._position, 0)
        #: The number of its octets.
        self.size = left if count is None else count
        if self.size > left:
            raise ApplicationError(
                "http.response.zerocopysend: the file is too short: "
                f"only {left} bytes from there on, not {count}"
            )

    def fileno(self) -> int:
        return self._fd

    def tell(self) -> int:
        return self._position

    def move_on(self) -> None:
        """The part was sent: without an `offset`, move the file's own position past it."""
        if self._is_here:
            try:
                self._seek(self._position + self.size)
            except (OSError, ValueError):
                pass  # the application has already closed it

    def _tell(self) -> int:
        # A file object may have read ahead: the descriptor's position is then beyond its own.
        tell = getattr(self._file, "tell", None)
        return os.lseek(self._fd, 0, os.SEEK_CUR) if tell is None else int(tell())

    def _seek(self, position: int) -> None:
        seek: Any = getattr(self._file, "seek", None)
        if seek is None:
            os.lseek(self._fd, position, os.SEEK_SET)
        else:
            seek(position)


def _count(message: Message, key: str) -> int | None:
    """A number of octets from `message`, None if it has none. Raises ValueError."""
    value = message.get(key)
    if value is not None and (type(value) is not int or value < 0):
        raise ValueError(f"the {key!r} must be a number of bytes, not {value!r:.80}")
    return value
