"""A WebSocket session as its parts see it, and the application's call for one.

Rules of this file: what a session is for others, and no protocol: `websocket.py` implements it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any

from asgiws.asgi.types import ASGIApp, Message, Scope
from asgiws.bridge.calls import begin_row
from asgiws.bridge.exchange import Exchange
from asgiws.bridge.outlet import Driver, Outlet
from asgiws.bridge.wakeup import Waiter
from asgiws.drivers.inbox import Inbox
from asgiws.drivers.reading import Reading
from asgiws.services.runtime import Runtime
from asgiws.websocket.connection import WebSocketConnection


class Session(Driver):
    """One WebSocket."""

    _runtime: Runtime
    _outlet: Outlet
    _ws: WebSocketConnection
    _inbox: Inbox
    _reading: Reading

    def ended(self, error: BaseException | None) -> None:
        """The application's call has ended."""
        raise NotImplementedError

    def next_message(self) -> Message | None:
        """The next event, None when there is none yet. Raises ApplicationError when there will be none."""
        raise NotImplementedError

    def begin_send(self, message: Message) -> Coroutine[Any, Any, None] | None:
        """Take a message from the application; what there is to wait for then."""
        raise NotImplementedError

    def recount(self) -> None:
        """What is held for the application has changed."""
        raise NotImplementedError

    def end_slow(self, what: str, limit: str) -> None:
        """The client does not read: do what ws_slow_consumer says."""
        raise NotImplementedError

    def close(self, code: int, reason: str) -> None:
        """Close from our side."""
        raise NotImplementedError


class Serve(Exchange):
    """The application's call for a session."""

    __slots__ = ("_inbox", "_scope", "_session")

    def __init__(self, session: Session, inbox: Inbox, scope: Scope) -> None:
        self._session = session
        self._inbox = inbox
        self._scope: Scope | None = scope

    def begin(self) -> Awaitable[None]:
        scope = self._scope
        assert scope is not None
        self._scope = None  # the application's to keep, or not
        begin_row()
        app: ASGIApp = self._session._runtime.app
        return app(scope, self.receive, self.send)

    def ended(self, error: BaseException | None) -> None:
        self._session.ended(error)

    def next_message(self) -> Message | None:
        return self._session.next_message()

    def wait(self) -> Waiter:
        return self._inbox.wait()

    def give_up(self, waiter: Waiter) -> None:
        self._inbox.give_up(waiter)

    def begin_send(self, message: Message) -> Coroutine[Any, Any, None] | None:
        return self._session.begin_send(message)
