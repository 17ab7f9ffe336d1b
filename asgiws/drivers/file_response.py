"""A file as a part of a response: `http.response.pathsend` and `http.response.zerocopysend`.

Rules of this file:
- A file is opened and announced (`begin`), then sent (`send`). Until it is announced, nothing of it was sent
  and the response can continue in another way; after that it can only be cut off.
- The response may end during every wait in this file: `check` is called afterwards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiws.asgi.errors import ApplicationError
from asgiws.asgi.types import Message
from asgiws.drivers import files
from asgiws.drivers.carrier import Carrier
from asgiws.http.errors import InvalidResponse

_PATH = "http.response.pathsend"
_PART = "http.response.zerocopysend"

#: The types of messages that send a file.
FILES = (_PATH, _PART)


class FileResponse:
    """The file that a message of one of the types in FILES names. `check` raises the exception that ends a
    `send()` if its response has ended meanwhile.

    `more` says whether more of the body follows; `has_begun` is true once the file was announced. The methods
    raise ApplicationError for a file that cannot be sent as it is.
    """

    __slots__ = ("_carrier", "_check", "_file", "_message", "_size", "has_begun", "more")

    def __init__(
        self, carrier: Carrier, message: Message, check: Callable[[], Awaitable[None]]
    ) -> None:
        self._carrier = carrier
        self._message = message
        self._check = check
        self._file: Any = None
        self._size = 0
        # A file that is named by its path is the whole body.
        self.more = message["type"] == _PART and bool(message.get("more_body", False))
        self.has_begun = False

    async def begin(self) -> None:
        """Open the file, and announce it to the client."""
        if self._message["type"] == _PATH:
            await self._open()
        else:
            self._take_part()
        try:
            self._carrier.start_file(self._size, self.more)
        except InvalidResponse as error:
            raise ApplicationError(f"{self._message['type']}: {error}") from error
        self.has_begun = True

    async def _open(self) -> None:
        path = self._message.get("path")
        if not isinstance(path, str):
            raise ApplicationError("http.response.pathsend has no 'path' that is a str")
        try:
            self._file, self._size = await files.open_whole(path)
        except ApplicationError:
            await self._check()
            raise
        await self._check()

    def _take_part(self) -> None:
        if not self._carrier.sends_files():
            raise ApplicationError("http.response.zerocopysend is not offered on this connection")
        self._file = files.Part(self._message)
        self._size = self._file.size

    async def send(self) -> None:
        """Send the announced file."""
        if self._size and self._carrier.sends_body():
            await self._send_octets()
        self._carrier.end_file(self._size, self.more)

    async def _send_octets(self) -> None:
        kind = self._message["type"]
        try:
            sent = await self._carrier.send_file(self._file, self._size)
        except OSError as error:
            await self._check()
            raise ApplicationError(f"{kind}: {error}") from error
        await self._check()
        if sent != self._size:
            raise ApplicationError(
                f"{kind}: the file became shorter while it was sent: {sent} bytes of {self._size}"
            )

    def move_on(self) -> None:
        """`send()` is about to return: move the position of the application's open file past what was sent."""
        if type(self._file) is files.Part:
            self._file.move_on()

    def close(self) -> None:
        """Close the file if it was opened here."""
        if self._file is not None and type(self._file) is not files.Part:
            self._file.close()
