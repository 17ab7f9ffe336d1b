"""The connection scopes of HTTP and WebSocket (ASGI HTTP & WebSocket 2.5, "Connection Scope").

The announced version. For WebSockets it is 2.5. For HTTP it is 2.3, although `send()` raises if the client has
gone, as 2.4 requires: from 2.4 on, frameworks (Starlette, FastAPI) no longer listen for `http.disconnect` and
rely only on `send()`. A stream that waits for an event writes nothing that could fail, and would never learn
that its client has gone.

Rules of this file:
- Types are exactly those of the specification: `path` is text, `raw_path`, `query_string` and headers are
  bytes, `client` and `server` are pairs or None.
- Every scope owns what an application may change in it: the list of headers belongs to the request, `state` and
  `extensions` are copies. What all scopes share cannot be changed (`asgi/extension.py`).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

from asgiws.asgi.types import Scope
from asgiws.bridge.outlet import Outlet
from asgiws.http.head import RequestHead
from asgiws.services.runtime import Runtime

#: Scopes are copies of this, which takes half the time of creating them: all keys, with the most common values.
#: Values that an application may change are replaced in each copy.
_TEMPLATE: dict[str, Any] = {
    "type": "http",
    "asgi": {},
    "http_version": "1.1",
    "method": "",
    "scheme": "http",
    "path": "",
    "raw_path": b"",
    "query_string": b"",
    "root_path": "",
    "headers": [],
    "client": None,
    "server": None,
    "extensions": {},
}
#: The extensions for HTTP, which are copied as well.
_EXTENSIONS: dict[str, dict[str, Any]] = {
    "http.response.pathsend": {},
    "http.response.trailers": {},
    "http.response.early_hint": {},
    "http.response.zerocopysend": {},
    # Ours: the last `http.request` has `trailers` if a chunked body came with some.
    "asgiws.http.request.trailers": {},
    "asgiws.drain": {},
}
_NOT_IN_1_0 = (
    "http.response.trailers",
    "http.response.early_hint",
    "asgiws.http.request.trailers",
)
_HTTP = {"version": "3.0", "spec_version": "2.3"}
_WEBSOCKET = {"version": "3.0", "spec_version": "2.5"}


def http_scope(runtime: Runtime, head: RequestHead, outlet: Outlet) -> Scope:
    """The scope of one HTTP request."""
    scope = _common(runtime, head, outlet)
    scope["method"] = head.method
    if _is_secure(head, outlet):
        scope["scheme"] = "https"
    # RFC 9112, 2.3 and 7.1.2; RFC 9110, 15.2: an HTTP/1.0 client knows neither interim responses nor trailers.
    # Extensions without content share one empty dict, which belongs to this scope.
    empty: dict[str, Any] = {}
    extensions = _EXTENSIONS.copy()
    extensions["http.response.pathsend"] = empty
    extensions["http.response.zerocopysend"] = empty
    extensions["asgiws.drain"] = runtime.drain
    if runtime.pubsub is not None:
        extensions["asgiws.pubsub"] = runtime.pubsub
    if head.http_version == "1.1":
        extensions["http.response.trailers"] = empty
        extensions["http.response.early_hint"] = empty
        extensions["asgiws.http.request.trailers"] = empty
    else:
        for name in _NOT_IN_1_0:
            del extensions[name]
    if not outlet.sends_files():
        del extensions["http.response.zerocopysend"]
    scope["asgi"] = _HTTP.copy()
    scope["extensions"] = extensions
    if outlet.secure:
        _add_tls(scope, outlet)
    return scope


def websocket_scope(
    runtime: Runtime, head: RequestHead, outlet: Outlet, subprotocols: list[str]
) -> Scope:
    """The scope of one WebSocket; `subprotocols` are those that the client offers, in its order."""
    scope = _common(runtime, head, outlet)
    scope["type"] = "websocket"
    del scope["method"]
    scope["scheme"] = "wss" if _is_secure(head, outlet) else "ws"
    scope["subprotocols"] = subprotocols
    scope["asgi"] = _WEBSOCKET.copy()
    scope["extensions"] = {
        "websocket.http.response": {},
        "asgiws.drain": runtime.drain,
    }
    if runtime.pubsub is not None:
        scope["extensions"]["asgiws.pubsub"] = runtime.pubsub
    if outlet.secure:
        _add_tls(scope, outlet)
    return scope


def _add_tls(scope: dict[str, Any], outlet: Outlet) -> None:
    content = outlet.tls()
    if content is not None:
        scope["extensions"]["tls"] = content


def _is_secure(head: RequestHead, outlet: Outlet) -> bool:
    return outlet.secure if head.origin is None else head.origin.secure


def _common(runtime: Runtime, head: RequestHead, outlet: Outlet) -> dict[str, Any]:
    origin = head.origin
    root_path = runtime.config.root_path if origin is None else origin.root_path
    raw_path = head.raw_path
    path = decode_path(raw_path)
    scope = _TEMPLATE.copy()
    if head.http_version != "1.1":
        scope["http_version"] = head.http_version
    # `path` begins with `root_path` (the proxy has removed it); `raw_path` is, in the words of the
    # specification, "unmodified from the bytes that were received by the web server".
    scope["path"] = root_path + path if root_path and path != "*" else path
    scope["raw_path"] = raw_path
    if head.query:
        scope["query_string"] = head.query
    if root_path:
        scope["root_path"] = root_path
    scope["headers"] = head.headers
    scope["client"] = outlet.client if origin is None else origin.client
    scope["server"] = outlet.server if origin is None else origin.server
    if runtime.state is not None:
        scope["state"] = runtime.state.copy()
    return scope


def decode_path(raw_path: bytes) -> str:
    """`raw_path` with its percent-encoding decoded, as UTF-8.

    Bytes that are not UTF-8 become U+FFFD: the application sees a path that it will not find.
    """
    if b"%" in raw_path:
        return unquote_to_bytes(raw_path).decode("utf-8", "replace")
    return raw_path.decode("ascii")
