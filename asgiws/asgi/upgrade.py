"""From an HTTP request that asks for `Upgrade: websocket` to a WebSocket session.

Rules of this file: the one place where HTTP and WebSocket meet. The head goes on as it was parsed; an invalid
handshake is answered in HTTP and the session never exists.
"""

from __future__ import annotations

from asgiws.asgi.http import HTTPDriver
from asgiws.asgi.outlet import Driver, Outlet
from asgiws.asgi.scope import websocket_scope
from asgiws.asgi.websocket import WebSocketSession
from asgiws.http.head import RequestHead
from asgiws.websocket.errors import HandshakeError
from asgiws.websocket.handshake import check


def upgrade(head: RequestHead, outlet: Outlet, driver: HTTPDriver) -> Driver | None:
    """The session that takes over the connection, or None when the handshake was refused (RFC 6455, 4.2)."""
    try:
        handshake = check(head)
    except HandshakeError as error:
        headers = [(b"content-type", b"text/plain; charset=utf-8"), *error.headers]
        driver.respond(error.status, headers, f"{error.reason}\n".encode())
        return None
    scope = websocket_scope(driver.runtime, head, outlet, handshake.subprotocols)
    return WebSocketSession(driver.runtime, scope, handshake, driver.http)
