"""Topics through NATS, with nats-py.

Rules of this file:
- Core NATS: no history. Publications that ask for one are refused.
- nats-py has a queue and a task for each subscription: what they give out in one turn of the event loop is put
  together (`merging.py`) at its end.
- Questions whose answers must have a place among the messages are published to a subject of our own, to which
  this connection alone is subscribed: NATS sends a connection everything in one order.
- nats-py's own reconnecting is off: what a connection has lost would go unnoticed.
- A subject is the prefix and the topic, in which everything but letters, digits, "-", "_" and "~" is
  percent-encoded: a topic has no wildcards.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import secrets
import ssl
from collections import deque
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from nats.aio.client import Client
from nats.errors import Error, MaxPayloadError

from asgiws.brokers.merging import Arrival, merge
from asgiws.brokers.secrets import Secret
from asgiws.brokers.urls import address, url_parts
from asgiws.config import StartError
from asgiws.topics import broker
from asgiws.topics.broker import BadEnvelope, BrokerError, Receiver
from asgiws.topics.message import KEPT, Joined, Keep, Position

logger = logging.getLogger("asgiws.error")

NO_HISTORY = "NATS keeps no history: 'keep' needs --pubsub host, or Redis"

PORT = 4222

#: Seconds to connect to one server.
PATIENCE = 3

_PUBLISH, _SUBSCRIBE, _UNSUBSCRIBE = range(3)

#: Places in the order between two publications of a host: for questions.
_EACH = 1 << 32

#: What is asked on our own subject.
_SETTLE, _LOOK, _PROBE = b"s", b"l", b"p"


class NatsSession:
    """A connection to NATS."""

    why_no_history = NO_HISTORY

    def __init__(self, client: Client, name: str, prefix: str) -> None:
        self.name = name
        self.largest = client.max_payload
        self._client = client
        self._prefix = f"{prefix}."
        self._own = f"{prefix}-own.{secrets.token_hex(8)}"
        self._epoch = secrets.token_urlsafe(9)
        #: The last publication, host and number, and how many questions were asked since.
        self._last = (b"", 0)
        self._asked = 0
        self._receiver: Receiver
        self._loop: asyncio.AbstractEventLoop
        self._operations: deque[tuple[int, str, bytes]] = deque()
        self._due = asyncio.Event()
        self._subscriptions: dict[str, Any] = {}
        self._batch: list[Arrival] = []
        self._heard = 0
        self._ended = asyncio.Event()
        self._why = "the connection was closed"

    @property
    def heard(self) -> int:
        return self._heard

    def publish(self, topic: str, envelope: bytes, keep: Keep | None) -> None:
        published = broker.head(envelope)
        if published.kind == broker.MESSAGE:
            self._last, self._asked = (published.host, published.number), 0
        self._do(_PUBLISH, self._prefix + _subject(topic), envelope)

    def subscribe(self, topic: str) -> None:
        self._do(_SUBSCRIBE, self._prefix + _subject(topic), b"")

    def unsubscribe(self, topic: str) -> None:
        self._do(_UNSUBSCRIBE, self._prefix + _subject(topic), b"")

    def look(self, topic: str, since: Position | None, request: int) -> None:
        self._ask(_LOOK if since in (None, KEPT) else _LOOK + b"?", request)

    def settle(self, number: int) -> None:
        self._ask(_SETTLE, number)

    def probe(self) -> None:
        self._ask(_PROBE, 0)

    async def run(self, receiver: Receiver) -> None:
        self._receiver = receiver
        loop = asyncio.get_running_loop()
        self._loop = loop
        writing = loop.create_task(self._write())
        ended = loop.create_task(self._ended.wait())
        try:
            await asyncio.wait([writing, ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            # nats-py may swallow a cancellation while it waits for room.
            self._ended.set()
            for task in (writing, ended):
                task.cancel()
            await asyncio.wait([writing, ended])
        if not writing.cancelled() and (error := writing.exception()) is not None:
            if isinstance(error, Error):
                raise BrokerError(_text(error)) from None
            raise error
        raise BrokerError(self._why)

    async def close(self) -> None:
        self._ended.set()
        await _close(self._client)

    # From nats-py.

    async def failed(self, error: Exception) -> None:
        """An error of one operation, or of the connection, which then ends."""
        self._why = _text(error)
        if "permissions violation" in self._why.lower():
            # Nothing that we believe to be subscribed could be relied on.
            self._ended.set()
        else:
            logger.error("%s: %s", self.name, self._why)

    async def lost(self) -> None:
        """The connection has ended."""
        self._ended.set()

    async def _arrived(self, message: Any) -> None:
        """A message of any subscription."""
        self._heard += 1
        data = message.data
        if message.subject == self._own:
            # Behind what this connection had published before.
            _, _, host, number = data.split(b":", 3)
            self._batch.append(Arrival("", bytes.fromhex(host.decode()), int(number), data))
        else:
            try:
                envelope = broker.head(data)
            except BadEnvelope:
                self._batch.append(Arrival(message.subject, b"", 0, data))
            else:
                is_message = envelope.kind == broker.MESSAGE
                host, number = (envelope.host, envelope.number * _EACH) if is_message else (b"", 0)
                self._batch.append(Arrival(message.subject, host, number, data))
        if len(self._batch) == 1:
            self._loop.call_soon(self._merge)

    def _merge(self) -> None:
        batch, self._batch = self._batch, []
        for one in merge(batch):
            if one.queue:
                topic = unquote(one.queue[len(self._prefix) :])
                self._receiver.arrived(topic, one.data, 0, "")
            else:
                what, number, _ = one.data.split(b":", 2)
                if what == _SETTLE:
                    self._receiver.settled(int(number))
                elif what != _PROBE:
                    recovered = None if what == _LOOK else False
                    joined = Joined(Position(self._epoch, 0), recovered)
                    self._receiver.looked(int(number), joined, [], False)

    # Writing.

    def _ask(self, what: bytes, number: int) -> None:
        self._asked += 1
        host, last = self._last
        at = last * _EACH + self._asked
        self._do(_PUBLISH, self._own, b"%b:%d:%b:%d" % (what, number, host.hex().encode(), at))

    def _do(self, what: int, subject: str, data: bytes) -> None:
        self._operations.append((what, subject, data))
        self._due.set()

    async def _write(self) -> None:
        client, subscriptions = self._client, self._subscriptions
        await self._subscribe(self._own)
        while not self._ended.is_set():
            await self._due.wait()
            self._due.clear()
            while self._operations and not self._ended.is_set():
                what, subject, data = self._operations.popleft()
                if what == _PUBLISH:
                    try:
                        await client.publish(subject, data)
                    except MaxPayloadError:
                        topic = unquote(subject[len(self._prefix) :])
                        self._receiver.refused(topic, f"{self.name} takes {self.largest} bytes")
                elif what == _SUBSCRIBE:
                    await self._subscribe(subject)
                elif subject in subscriptions:
                    await subscriptions.pop(subject).unsubscribe()

    async def _subscribe(self, subject: str) -> None:
        self._subscriptions[subject] = await self._client.subscribe(
            subject, cb=self._arrived, pending_msgs_limit=0, pending_bytes_limit=0
        )


class Target:
    """What a URL names: `nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT][,HOST...][?credentials=FILE]`, or `tls://`
    for TLS, with `?ca=FILE` for the certificates to trust; `secret` gives what the URL does not. Raises
    StartError."""

    def __init__(self, url: str, secret: Secret) -> None:
        scheme, _, rest = url.partition("://")
        parts = url_parts(rest)
        user, _, hosts = parts.netloc.rpartition("@")
        hosts = hosts or "localhost"
        self._secret = secret
        self._servers = [f"{scheme}://{_with_port(host)}" for host in hosts.split(",")]
        # nats-py would take them as they are.
        user, colon, password = user.partition(":")
        self._user = unquote(user)
        self._password = unquote(password) if colon else None
        options = parse_qs(parts.query, keep_blank_values=True)
        self._credentials = options.pop("credentials", [None])[0]
        self._tls: ssl.SSLContext | None = None
        if scheme == "tls" and "ca" in options:
            try:
                self._tls = ssl.create_default_context(cafile=options.pop("ca")[0])
            except OSError as error:  # an SSLError, too
                raise StartError(f"pubsub: cannot use the certificates of ca: {error}") from None
        if options or parts.path.strip("/"):
            what = f"option {next(iter(options)):.80}" if options else "a path after the host"
            raise StartError(f"pubsub: that URL cannot be used: {what} has no meaning for NATS")
        if self._credentials is not None:
            if not os.path.isfile(self._credentials):
                raise StartError("pubsub: the file of credentials in that URL does not exist")
            try:
                importlib.import_module("nkeys")
            except ImportError:
                raise StartError(
                    "pubsub: credentials need the package nkeys: pip install 'asgiws[nats]'"
                ) from None
        self.name = f"NATS at {hosts}"

    def arguments(self) -> dict[str, Any]:
        """The arguments of `Client.connect`. Raises BrokerError."""
        secret = self._secret.read()
        user = secret.get("username", self._user)
        password = secret.get("password", self._password)
        arguments: dict[str, Any] = {"servers": self._servers}
        if user and password is not None:
            arguments.update(user=user, password=password)
        elif user or password:
            arguments.update(token=user or password)
        if self._tls is not None:
            arguments["tls"] = self._tls
        if self._credentials is not None:
            arguments["user_credentials"] = self._credentials
        return arguments


class _Client(Client):
    """Without TLS, nats-py would send a password to a server with a tls URL, if that does not ask for TLS."""

    def _connect_command(self) -> bytes:
        server = self._current_server
        is_tls = server is None or server.uri.scheme == "tls"
        if is_tls and not self._server_info.get("tls_required"):
            raise Error("nats: it does not use TLS")
        return super()._connect_command()


async def _close(client: Client) -> None:
    """Close a client, which waits for what it has not sent, but not for long."""
    closing = asyncio.get_running_loop().create_task(client.close())
    await asyncio.wait([closing], timeout=PATIENCE)
    if not closing.done():
        closing.cancel()
        # It has not come to that.
        _abort(client)
    elif not closing.cancelled():
        closing.exception()


def _abort(client: Client) -> None:
    writer = getattr(getattr(client, "_transport", None), "_io_writer", None)
    if writer is not None:
        writer.transport.abort()


async def connect(target: Target, prefix: str) -> NatsSession:
    """Connect. Raises BrokerError and OSError."""
    client = _Client()
    session: NatsSession | None = None
    why = ""

    async def failed(error: Exception) -> None:
        nonlocal why
        why = _text(error)
        if session is not None:
            await session.failed(error)

    async def lost() -> None:
        if session is not None:
            await session.lost()

    arguments = target.arguments()
    try:
        await client.connect(
            **arguments,
            name="asgiws",
            allow_reconnect=False,
            # That counts for the first connection too: each server is tried twice, at once.
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=PATIENCE,
            error_cb=failed,
            disconnected_cb=lost,
            closed_cb=lost,
        )
    except BaseException as error:
        # It has no tasks yet; closing it would wait for a handshake that has failed.
        _abort(client)
        if isinstance(error, Error):
            raise BrokerError(why or _text(error)) from None
        if "user_credentials" in arguments and isinstance(error, (TypeError, ValueError)):
            raise BrokerError("its file of credentials cannot be used") from None
        raise
    session = NatsSession(client, target.name, prefix)
    return session


def _subject(topic: str) -> str:
    # A dot, which quote leaves as it is, divides a subject.
    return quote(topic, safe="").replace(".", "%2E")


def _text(error: Exception) -> str:
    return str(error).removeprefix("nats: ") or type(error).__name__


def _with_port(host: str) -> str:
    name, port = address(host, PORT)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
