"""One call of the application, and the `receive()` and `send()` that it gets.

Rules of this file: what is received and sent is the business of whoever implements an Exchange; how it is
waited for is the same for a request and a WebSocket, and stands here.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from asgiws.asgi.types import Message
from asgiws.bridge import slots
from asgiws.bridge.calls import Call
from asgiws.bridge.tasks import Job
from asgiws.bridge.wakeup import Waiter


class Exchange(Job):
    """The application's call for one request or one WebSocket."""

    __slots__ = ()

    def receive(self) -> Receive:
        """The next event for the application, to be awaited."""
        return slots.new(Receive, self, None)

    def send(self, message: Message) -> Send:
        """Take a message from the application; to be awaited, which waits while the client does not read.

        Raises ClientDisconnected when the client has gone, and ApplicationError for a message that is malformed
        or out of order; nothing of it is sent then.
        """
        return slots.new(Send, self, message)

    def next_message(self) -> Message | None:
        """The next event, None when there is none yet. Raises ApplicationError when there will be none."""
        raise NotImplementedError

    def wait(self) -> Waiter:
        """Wait for the next event, behind those that wait already."""
        raise NotImplementedError

    def give_up(self, waiter: Waiter) -> None:
        """A `receive()` that waited so was cancelled."""
        raise NotImplementedError

    def begin_send(self, message: Message) -> Coroutine[Any, Any, None] | None:
        """Take a message; returns what is left to await, None if nothing is."""
        raise NotImplementedError


class Receive(Call):
    """A `receive()`."""

    __slots__ = ()

    def advance(self) -> Message | None:
        exchange: Exchange = self._owner
        message = exchange.next_message()
        if message is None:
            self._waiter = exchange.wait()
        return message

    def takes(self) -> bool:
        return True

    def abandon(self, waiter: Waiter) -> None:
        exchange: Exchange = self._owner
        exchange.give_up(waiter)


class Send(Call):
    """A `send()`."""

    __slots__ = ()

    def advance(self) -> None:
        exchange: Exchange = self._owner
        self._coroutine = exchange.begin_send(self._message)


slots.install(Receive)
slots.install(Send)
