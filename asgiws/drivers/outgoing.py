"""The messages that a WebSocket application sends: taking them apart, and checking them.

Rules of this file: functions without state. A message that is malformed or not allowed now is an
ApplicationError that says so, and nothing of it is sent.
"""

from __future__ import annotations

from typing import Any

from asgiws.asgi.errors import ApplicationError, ClientDisconnected
from asgiws.asgi.types import Message
from asgiws.drivers.topic_messages import KINDS
from asgiws.websocket import close
from asgiws.websocket.connection import OPEN, WebSocketConnection
from asgiws.websocket.states import FINAL, State


def frames(ws: WebSocketConnection, message: Message) -> list[bytes]:
    """What to write for a `websocket.send`. The list may be shared: do not change it."""
    if type(message) is dict:
        plain: dict[str, Any] = message
        text = plain.get("text")
        data = plain.get("bytes")
    else:
        text = message.get("text")
        data = message.get("bytes")
    try:
        if data is None and text is not None:
            return ws.text(text if type(text) is str else _text(text))
        if text is None and data is not None:
            return ws.binary(data if type(data) is bytes else octets_of(data))
    except (AttributeError, TypeError, ValueError) as error:
        raise ApplicationError(f"websocket.send with a malformed payload: {error}") from None
    raise ApplicationError("websocket.send needs one of 'text' and 'bytes', not both")


def close_arguments(message: Message) -> tuple[int, str]:
    """The code and the reason of a `websocket.close`."""
    code = message.get("code")
    reason = message.get("reason")
    code = close.NORMAL if code is None else code
    reason = "" if reason is None else reason
    try:
        close.serialise(code, reason)
    except (AttributeError, TypeError, ValueError) as error:
        raise ApplicationError(f"malformed websocket.close: {error}") from None
    return code, reason


def refuse_late(
    ws: WebSocketConnection, kind: object, was_answered: bool, was_closed: bool
) -> None:
    """Raise the error for a message of that `kind` once the handshake is over. `was_answered` says whether the
    application has answered the handshake itself, `was_closed` whether it has closed the connection."""
    state = ws.state
    name = State(state).name
    if not was_answered:
        raise ClientDisconnected("the connection has ended before its handshake was answered")
    if state == OPEN or (kind != "websocket.send" and kind not in KINDS) or state == State.REFUSED:
        expected = "websocket.send or websocket.close" if state == OPEN else "nothing more"
        raise ApplicationError(f"unexpected message {kind!r} in state {name}: expected {expected}")
    if was_closed:
        raise ApplicationError(
            f"{kind} after websocket.close, in state {name}: expected nothing more"
        )
    how = f" (code {ws.close_code})" if state in FINAL else ""
    raise ClientDisconnected(f"the WebSocket is {name.lower()}{how}: cannot send")


def octets_of(data: Any) -> bytes:
    """`data` as bytes. Raises TypeError for an object that holds none: `bytes(5)` would make five of them."""
    return data if type(data) is bytes else memoryview(data).tobytes()


def _text(text: Any) -> str:
    """An instance of a subclass of `str`, such as a template's safe string, as a plain `str`. Raises TypeError
    for everything else."""
    if not isinstance(text, str):
        raise TypeError(f"'text' must be a str, not {type(text).__name__}")
    return str.__str__(text)
