"""An Outlet without a socket: what a driver writes and asks for, kept for the tests to look at.

Rules of this file: it behaves as `asgiws.bridge.outlet.Outlet` says, and does nothing by itself:
time, the peer's reading and the end of the connection are the test's to move.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, BinaryIO

from asgiws.bridge.outlet import Driver, Outlet


class MemoryOutlet(Outlet):
    """The connection as one driver after another sees it.

    `client_closed` tells how the driver ended it: "", "close" or "abort".
    """

    def __init__(
        self,
        driver: Driver,
        client: tuple[str, int] | None = ("192.0.2.1", 4321),
        server: tuple[str, int | None] | None = ("192.0.2.2", 80),
        secure: bool = False,
        tls: dict[str, Any] | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.client = client
        self.server = server
        self.secure = secure
        self.tls_info = tls
        self.write_paused = False
        self.send_timeout = 0.0
        #: What `unsent` says.
        self.waiting = 0
        #: What the peer has acknowledged.
        self.has_taken = 0
        self.driver = driver
        self.written = bytearray()
        #: How many calls of write and writelines there were.
        self.writes = 0
        self.reading = True
        self.eof = False
        self.hung_up = False
        self.ended = ""
        self.lost = False
        #: The name and the size of each file that was to be sent, and the files themselves.
        self.files: list[tuple[str, int]] = []
        self.opened: list[BinaryIO] = []
        self.file_error: OSError | None = None
        #: What `sends_files` says.
        self.has_sendfile = True
        self.check_times: list[float] = []
        self.handed_over: list[tuple[Driver, bytes]] = []
        self._drains: list[asyncio.Future[None]] = []
        #: How many more turns of the loop the driver has asked for.
        self.turns = 0
        self._proceeding = False
        driver.connected(self)

    # What a test does

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run `function` as a callback of the loop, as a real outlet calls a driver.

        A driver may step a task there, which asyncio forbids from within another one, the test's.
        """
        future: asyncio.Future[Any] = self.loop.create_future()

        def callback() -> None:
            try:
                result = function(*args)
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.loop.call_soon(callback)
        return await future

    async def feed(self, data: bytes) -> None:
        """Bytes arrive in one read, in a buffer that is overwritten afterwards."""
        if self.ended:
            return
        buffer = bytearray(b"<<<" + data + b">>>")
        await self.call(self.driver.receive_data, buffer, 3, 3 + len(data))
        buffer[:] = b"?" * len(buffer)

    def feed_soon(self, data: bytes) -> None:
        """The same in the loop's next turn."""
        self.loop.call_soon(self.driver.receive_data, bytearray(data), 0, len(data))

    async def feed_eof(self) -> None:
        self.eof = True
        if not self.ended:
            await self.call(self.driver.receive_eof)

    async def hang_up(self) -> None:
        """The peer has ended its side, while nothing is read."""
        self.hung_up = True
        await self.call(self.driver.hung_up)

    async def lose(self) -> None:
        """The connection is gone."""
        await self.call(self._lose)

    def _lose(self) -> None:
        assert not self.lost
        self.lost = True
        self._end("lost")
        self.driver.connection_lost()

    def pause_writing(self) -> None:
        self.write_paused = True

    async def stall(self) -> None:
        """The peer took nothing for `send_timeout` seconds."""
        await self.call(self.driver.stalled)

    async def resume_writing(self) -> None:
        self.write_paused = bool(self.ended)
        self._wake_drains()
        if not self.ended:
            await self.call(self.driver.writable)

    async def tick(self, now: float) -> float:
        """The moment `now` (`loop.time()`) has come."""
        if self.ended:
            return 0.0
        when: float = await self.call(self.driver.check, now)
        return when

    async def shutdown(self) -> None:
        await self.call(self.driver.shutdown)

    def take(self) -> bytes:
        """What was written since the last call."""
        data = bytes(self.written)
        self.written.clear()
        return data

    def _wake_drains(self) -> None:
        drains, self._drains = self._drains, []
        for drain in drains:
            if not drain.done():
                drain.set_result(None)

    # The outlet

    def tls(self) -> dict[str, Any] | None:
        return None if self.tls_info is None else self.tls_info.copy()

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        if not self.ended:
            self.writes += 1
            self.written += data

    def writelines(self, chunks: list[bytes]) -> None:
        assert all(isinstance(chunk, bytes) for chunk in chunks)
        if not self.ended:
            self.writes += 1
            self.written += b"".join(chunks)

    async def drain(self) -> None:
        while self.write_paused and not self.ended:
            future: asyncio.Future[None] = self.loop.create_future()
            self._drains.append(future)
            await future

    def sends_files(self) -> bool:
        return self.has_sendfile

    async def send_file(self, file: BinaryIO, size: int) -> int:
        self.files.append((getattr(file, "name", ""), size))
        self.opened.append(file)
        await asyncio.sleep(0)
        if self.file_error is not None:
            raise self.file_error
        data = os.pread(file.fileno(), size, file.tell())
        if self.ended:
            return 0
        self.write(data)
        return len(data)

    def watch_sending(self, timeout: float) -> None:
        self.send_timeout = timeout

    def taken(self) -> tuple[int, int]:
        return self.has_taken, self.waiting

    def unsent(self) -> int:
        return self.waiting

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def proceed_soon(self, driver: Driver) -> None:
        if not self._proceeding:
            self._proceeding = True
            self.turns += 1
            self.loop.call_soon(self._proceed)

    def _proceed(self) -> None:
        self._proceeding = False
        self.driver.proceed()

    def check_at(self, when: float) -> None:
        self.check_times.append(when)

    def hand_over(self, driver: Driver, tail: bytes) -> None:
        self.handed_over.append((driver, tail))
        self.driver = driver
        driver.connected(self)
        if tail:
            driver.receive_data(bytearray(tail), 0, len(tail))

    def introduce(self, client: tuple[str, int], server: tuple[str, int]) -> None:
        self.client = client
        self.server = server

    def await_rest(self, size: int) -> None:
        pass

    def close(self, linger: bool = True) -> None:
        self._end("close")

    def abort(self) -> None:
        self._end("abort")

    def _end(self, how: str) -> None:
        self.ended = self.ended or how
        self.write_paused = True
        self._wake_drains()

    def is_closing(self) -> bool:
        return bool(self.ended)


class RecordingDriver(Driver):
    """What an upgrade hands over to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def connected(self, outlet: Outlet) -> None:
        self.calls.append(("connected", outlet))

    def receive_data(self, data: bytearray, start: int, end: int) -> None:
        self.calls.append(("data", bytes(data[start:end])))

    def receive_eof(self) -> None:
        self.calls.append(("eof", None))

    def connection_lost(self) -> None:
        self.calls.append(("lost", None))

    def check(self, now: float) -> float:
        return 0.0

    def proceed(self) -> None:
        self.calls.append(("proceed", None))

    def stalled(self) -> None:
        self.calls.append(("stalled", None))

    def hung_up(self) -> None:
        self.calls.append(("hung up", None))

    def lasts(self) -> bool:
        return False

    def shutdown(self) -> None:
        self.calls.append(("shutdown", None))
