"""The messages that wait in this process for those who receive from channels.

Rules of this file:
- For any thread and event loop: everything is done under the lock that it is given.
- A receiver that is cancelled takes no message with it.
- A channel is known as long as messages or receivers wait there.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager

#: Who waits, and the event loop in which.
Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class Queue:
    """One channel's messages, each with the time at which it expires, and its receivers."""

    __slots__ = ("capacity", "items", "waiters")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.items: deque[tuple[float, str]] = deque()
        self.waiters: deque[Waiter] = deque()

    def wake(self) -> None:
        """Wake one receiver. Those whose event loop has closed are gone."""
        while self.waiters:
            loop, waiter = self.waiters.popleft()
            try:
                if is_running(loop):
                    _set(waiter)
                else:
                    loop.call_soon_threadsafe(_set, waiter)
            except RuntimeError:
                continue
            return


class Queues:
    """`capacity_of` tells how many messages a channel may hold, `expiry` for how many seconds; `expired` is
    called with the channel and the number of messages that nobody has received in time."""

    def __init__(
        self,
        lock: AbstractContextManager[object],
        capacity_of: Callable[[str], int],
        expiry: float,
        expired: Callable[[str, int], object],
    ) -> None:
        self.channels: dict[str, Queue] = {}
        self._lock = lock
        self._capacity_of = capacity_of
        self._expiry = expiry
        self._expired = expired
        self._swept = 0.0

    def put(self, channel: str, item: str) -> bool:
        """Add a message; False if the channel is full."""
        now = time.monotonic()
        with self._lock:
            queue = self._get(channel)
            if len(queue.items) >= queue.capacity:
                self._expire(channel, queue, now)
                if len(queue.items) >= queue.capacity:
                    return False
                self.channels[channel] = queue
            queue.items.append((now + self._expiry, item))
            queue.wake()
            return True

    async def get(self, channel: str) -> str:
        """The next message; waits for it."""
        loop = asyncio.get_running_loop()
        with self._lock:
            self.sweep()
            queue = self._get(channel)
        try:
            while True:
                with self._lock:
                    self._expire(channel, queue, time.monotonic())
                    if queue.items:
                        return queue.items.popleft()[1]
                    # If all that was there has expired, it may have been dropped.
                    queue = self.channels.setdefault(channel, queue)
                    one = (loop, loop.create_future())
                    queue.waiters.append(one)
                try:
                    await one[1]
                except BaseException:
                    with self._lock:
                        if one in queue.waiters:
                            queue.waiters.remove(one)
                        elif queue.items:
                            queue.wake()
                    raise
        finally:
            with self._lock:
                self._drop_if_empty(channel, queue)

    def sweep(self) -> None:
        """Drop what has expired in all channels, unless that was done a short time ago."""
        now = time.monotonic()
        if now - self._swept < min(self._expiry / 10, 5.0):
            return
        with self._lock:
            self._swept = now
            for channel, queue in list(self.channels.items()):
                self._expire(channel, queue, now)
                self._drop_if_empty(channel, queue)

    def clear(self) -> None:
        """Forget all messages; receivers go on waiting."""
        with self._lock:
            for channel, queue in list(self.channels.items()):
                queue.items.clear()
                self._drop_if_empty(channel, queue)

    def _get(self, channel: str) -> Queue:
        queue = self.channels.get(channel)
        if queue is None:
            queue = self.channels[channel] = Queue(self._capacity_of(channel))
        return queue

    def _expire(self, channel: str, queue: Queue, now: float) -> None:
        count = 0
        while queue.items and queue.items[0][0] <= now:
            queue.items.popleft()
            count += 1
        if count:
            self._expired(channel, count)

    def _drop_if_empty(self, channel: str, queue: Queue) -> None:
        if not queue.items and not queue.waiters and self.channels.get(channel) is queue:
            del self.channels[channel]


def is_running(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this is called in the event loop."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _set(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
