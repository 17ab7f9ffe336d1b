"""From an HTTP request that asks for `Upgrade: websocket` to a WebSocket session.

Rules of this file: this is the only place where HTTP and WebSocket meet. The head is passed on as it was
parsed; an invalid handshake is answered in HTTP, and no session is created.
"""

from __future__ import annotations

from asgiws.bridge.outlet import Driver, Outlet
from asgiws.drivers.http_carrier import HTTPCarrier
from asgiws.drivers.scope import websocket_scope
from asgiws.drivers.websocket import WebSocketSession
from asgiws.http.errors import Forbidden, HTTPError
from asgiws.http.head import RequestHead
from asgiws.services.runtime import Runtime
from asgiws.websocket.errors import HandshakeError
from asgiws.websocket.handshake import check


def upgrade(head: RequestHead, outlet: Outlet, carrier: HTTPCarrier) -> Driver | None:
    """The session that takes over the connection, or None if the handshake was refused (RFC 6455, 4.2)."""
    runtime = carrier.pipeline.runtime
    try:
        handshake = check(head)
        refusal = _refusal(head, outlet, runtime)
        if refusal is not None:
            carrier.reject(refusal)
            return None
    except HandshakeError as error:
        headers = [(b"content-type", b"text/plain; charset=utf-8"), *error.headers]
        carrier.respond(error.status, headers, f"{error.reason}\n".encode())
        return None
    scope = websocket_scope(runtime, head, outlet, handshake.subprotocols)
    return WebSocketSession(runtime, scope, handshake, carrier.pipeline.http)


def _refusal(head: RequestHead, outlet: Outlet, runtime: Runtime) -> HTTPError | None:
    """The error that refuses a valid handshake before the application sees it; None to let it pass."""
    if runtime.origins is not None:
        origins = head.get_all(b"origin")
        # RFC 6454, 7.3: there is at most one. If there are two, the application may look at the other.
        origin = origins[0] if origins else None
        if len(origins) > 1 or not runtime.origins.allows(origin, head.get(b"host")):
            return Forbidden("WebSockets from this origin are not allowed", "ws_allowed_origins")
    client = outlet.client if head.origin is None else head.origin.client
    return runtime.admission.handshake(client)
