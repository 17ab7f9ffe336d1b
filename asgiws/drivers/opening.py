"""The opening handshake of one WebSocket, as the application answers it (RFC 6455, 4.2.2).

Rules of this file:
- An Opening exists until the handshake was accepted; then the session drops it: an open connection keeps no
  more of its request than the log lines need.
- It creates the data to be written, and does not change the state of the WebSocket.
- It knows whatever writes the answer only by four methods: HTTP/1.1 has them, and a stream of HTTP/2 can have
  them too.
"""

from __future__ import annotations

from typing import Protocol

from asgiws.asgi.errors import ApplicationError
from asgiws.asgi.types import Headers, Message, Scope
from asgiws.drivers.outgoing import octets_of
from asgiws.websocket.compression import Compression
from asgiws.websocket.deflate import Deflate
from asgiws.websocket.handshake import Handshake, response

#: The outcomes of a handshake.
PENDING, ACCEPTED, REFUSED = range(3)

_TEXT: Headers = [(b"content-type", b"text/plain; charset=utf-8")]
_SERVERS_OWN = (b"upgrade", b"connection", b"content-length", b"transfer-encoding")


class Answer(Protocol):
    """Writes the answer to a handshake: its methods return octets to be sent. They raise ValueError for what
    HTTP does not allow."""

    def switch_protocols(self, headers: Headers) -> bytes:
        """The response that accepts the handshake, with these header fields."""

    def response_started(self) -> bool:
        """Whether another response was started instead."""

    def start_response(self, status: int, headers: Headers) -> None:
        """Start another response."""

    def send_body(self, data: bytes, more: bool) -> list[bytes]:
        """The body of that response, or a part of it if there is `more` to come."""


class Opening:
    """What a session knows until its handshake was accepted.

    `scope` is only for the application, which takes it. `due` is when the application's answer is due, 0.0 for
    never. `denial` is the status of a denial response that was started and is not complete, otherwise 0.
    `outcome` is PENDING, ACCEPTED, or REFUSED by the application, and `status` is that of the answer. `deflate`
    is the negotiated compression of messages.
    """

    __slots__ = (
        "_answer",
        "_handshake",
        "deflate",
        "denial",
        "due",
        "outcome",
        "scope",
        "status",
    )

    def __init__(self, scope: Scope, handshake: Handshake, answer: Answer) -> None:
        self.scope: Scope | None = scope
        self._handshake = handshake
        self._answer = answer
        self.denial = 0
        self.due = 0.0
        self.outcome = PENDING
        self.status = 0
        self.deflate: Deflate | None = None

    def take_scope(self) -> Scope:
        """The scope, once."""
        scope, self.scope = self.scope, None
        assert scope is not None
        return scope

    def refuse(self, status: int, reason: str) -> list[bytes]:
        """A complete response that refuses the handshake."""
        self._answer.start_response(status, _TEXT)
        return self._answer.send_body(reason.encode() + b"\n", False)

    def answer(self, kind: str, message: Message, compression: Compression | None) -> list[bytes]:
        """What to write for a message from the application. Afterwards `outcome` is up to date.

        Raises ApplicationError.
        """
        try:
            if self.denial:
                return self._continue_denial(kind, message)
            if kind == "websocket.accept":
                return self._accept(message, compression)
            if kind == "websocket.close":
                self._outcome(REFUSED, 403)
                return self.refuse(403, "the application refused the WebSocket")
            if kind == "websocket.http.response.start":
                return self._start_denial(message)
        except (KeyError, TypeError, ValueError) as error:
            raise ApplicationError(f"malformed {kind}: {error}") from None
        raise ApplicationError(
            f"unexpected message {kind!r} in state CONNECTING: expected websocket.accept, "
            "websocket.close or websocket.http.response.start"
        )

    def _accept(self, message: Message, compression: Compression | None) -> list[bytes]:
        subprotocol = message.get("subprotocol")
        headers, parameters = response(self._handshake, subprotocol, compression)
        for name, value in message.get("headers") or ():
            lowered = octets_of(name).lower()
            if lowered.startswith(b"sec-websocket-") or lowered in _SERVERS_OWN:
                # It would interfere with the protocol: two subprotocols or extensions fail the connection, and
                # a 101 must not have a framed body (RFC 9110, 8.6; RFC 9112, 6.1).
                raise ApplicationError(
                    f"header {lowered.decode('latin-1')} of websocket.accept is the server's to send"
                )
            headers.append((lowered, octets_of(value)))
        data = self._answer.switch_protocols(headers)
        self.deflate = None if parameters is None else Deflate(parameters, compression)
        self._outcome(ACCEPTED, 101)
        return [data]

    def _start_denial(self, message: Message) -> list[bytes]:
        """`websocket.http.response.start`: the head is sent with the first part of the body."""
        status = message["status"]
        headers = [
            (octets_of(name), octets_of(value)) for name, value in message.get("headers", ())
        ]
        self._answer.start_response(status, headers)
        self.denial = status
        return []

    def _continue_denial(self, kind: str, message: Message) -> list[bytes]:
        """`websocket.http.response.body`."""
        if kind != "websocket.http.response.body":
            raise ApplicationError(
                f"unexpected message {kind!r} within a denial response: "
                "expected websocket.http.response.body"
            )
        more = bool(message.get("more_body", False))
        pieces = self._answer.send_body(octets_of(message.get("body", b"")), more)
        if not more:
            self._outcome(REFUSED, self.denial)
        return pieces

    def _outcome(self, outcome: int, status: int) -> None:
        self.outcome = outcome
        self.status = status
        self.denial = 0

    def is_late(self, now: float) -> bool:
        """True, once, when the answer was due before `now` and has not begun. Nothing is due after that."""
        if not self.due or (now < self.due and not self.denial):
            return False
        self.due = 0.0
        return not self.denial

    def has_begun(self) -> bool:
        """True once another response was started instead of a 101."""
        return self._answer.response_started()
