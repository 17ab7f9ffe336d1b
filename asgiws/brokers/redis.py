"""Topics through Redis, or a server that speaks its protocol (RESP3, from Redis 6 on), with redis-py.

Rules of this file:
- One connection for everything: in RESP3, messages of subscriptions and answers to commands come in one order,
  the one in which Redis has dealt with them.
- Commands are not waited for one by one: all of a turn of the event loop leave in one write, and answers are
  matched to them by their order.
- A command that fails because the server is not the one that it was, or has another part now, ends the session.
- Channels and keys have the prefix of the option, and channels the number of the database as well, as Redis has
  one set of channels for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import secrets
from collections import deque
from typing import Any

from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterDownError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from asgiws.brokers import scripts
from asgiws.brokers.redis_servers import Server, explained
from asgiws.topics import broker
from asgiws.topics.broker import BadEnvelope, BrokerError, Kept, Receiver
from asgiws.topics.message import KEPT, Joined, Keep, Position

#: The most octets of an envelope: a subscriber whose output exceeds 32 MiB is cut off by Redis as it comes.
LARGEST = 8 << 20

#: Octets of a run id that are part of an epoch.
RUN_ID = 8

#: Characters of the longest offset, and octets of the longest epoch, that are taken for ours.
_MOST_OFFSET, _MOST_EPOCH = 19, 48

#: Errors after which the connection is of no use; AskError includes MovedError, and ClusterDownError those of a
#: replica without its master.
_FATAL = (NoScriptError, ReadOnlyError, AskError, ClusterDownError, TryAgainError)

#: How Redis 6 puts such an error if it is one of a command within a script.
_FATAL_WITHIN = re.compile("-(READONLY|CLUSTERDOWN|MASTERDOWN|MOVED|ASK|TRYAGAIN) ")

_PUBLISH, _LOOK, _SETTLE, _PROBE, _SUBSCRIBE = range(5)


class RedisSession:
    """A connection to Redis, where the scripts are loaded; `run_id` is that of the server, `most_missed` is how
    many octets of missed messages a subscription may be given; `probe` is the command for probes."""

    why_no_history = ""
    largest = LARGEST

    def __init__(
        self,
        connection: Any,
        name: str,
        prefix: str,
        database: int,
        run_id: str,
        most_missed: int,
        probe: tuple[str, ...],
    ) -> None:
        self.name = name
        self._connection = connection
        self._channel = f"{prefix}/{database}:".encode()
        self._state = f"{{{prefix}}}:state".encode()
        self._stream = f"{{{prefix}}}:topic:".encode()
        self._run_id = run_id
        self._most_missed = most_missed
        self._probe = probe
        #: What epochs from here begin with, and how many were proposed: if the data is deleted, what comes next
        #: has another epoch, though the session is the same.
        self._epoch = secrets.token_urlsafe(9)
        self._epochs = 0
        #: Packed commands that were not sent, and what their answers are for: a kind, and a topic or a number.
        self._commands: list[bytes] = []
        self._expected: deque[tuple[int, Any]] = deque()
        self._due = asyncio.Event()
        self._heard = 0

    @property
    def heard(self) -> int:
        return self._heard

    def publish(self, topic: str, envelope: bytes, keep: Keep | None) -> None:
        name = topic.encode()
        if broker.head(envelope).kind == broker.GAP:
            # For those who are there now: it takes no place in the history.
            self._command((_PUBLISH, topic), b"PUBLISH", self._channel + name, b"0:-:" + envelope)
            return
        messages, seconds = (b"", b"") if keep is None else (keep.messages, repr(keep.seconds))
        self._command(
            (_PUBLISH, topic),
            *(b"EVALSHA", PUBLISH_SHA, 2, self._state, self._stream + name),
            *(self._channel + name, envelope, messages, seconds, self._next_epoch()),
        )

    def subscribe(self, topic: str) -> None:
        self._command((_SUBSCRIBE, topic), b"SUBSCRIBE", self._channel + topic.encode())

    def unsubscribe(self, topic: str) -> None:
        self._command((_SUBSCRIBE, topic), b"UNSUBSCRIBE", self._channel + topic.encode())

    def look(self, topic: str, since: Position | None, request: int) -> None:
        wants, offset = "", 0
        if since == KEPT:
            wants = "kept"
        elif since is not None:
            stored, _, run_id = since.epoch.rpartition(".")
            is_ours = run_id == self._run_id and stored.isascii() and stored not in ("", "kept")
            wants, offset = stored if is_ours else "?", since.offset
        self._command(
            (_LOOK, request),
            *(b"EVALSHA", LOOK_SHA, 2, self._state, self._stream + topic.encode()),
            *(self._next_epoch(), wants, offset, self._most_missed),
        )

    def settle(self, number: int) -> None:
        # What a command has caused for its own client comes before the answer to it, or, with newer versions,
        # after it; always before the next answer.
        self._command((_SETTLE, number), b"PING")

    def probe(self) -> None:
        self._command((_PROBE, None), *self._probe)

    async def run(self, receiver: Receiver) -> None:
        writing = asyncio.get_running_loop().create_task(self._write())
        reading = asyncio.get_running_loop().create_task(self._read(receiver))
        try:
            await asyncio.wait([writing, reading], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writing, reading):
                task.cancel()
            await asyncio.wait([writing, reading])
        for task in (writing, reading):
            if not task.cancelled() and (error := task.exception()) is not None:
                if isinstance(error, RedisError):
                    raise BrokerError(explained(error)) from None
                raise error

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)

    def _next_epoch(self) -> str:
        self._epochs += 1
        return f"{self._epoch}{self._epochs:x}"

    def _command(self, expected: tuple[int, Any], *words: Any) -> None:
        self._commands += self._connection.pack_command(*words)
        self._expected.append(expected)
        self._due.set()

    async def _write(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            commands, self._commands = self._commands, []
            await self._connection.send_packed_command(commands, check_health=False)

    async def _read(self, receiver: Receiver) -> None:
        read = self._connection.read_response
        while True:
            answer: Any
            try:
                answer = await read(disconnect_on_error=False, push_request=True)
            except ResponseError as error:
                if isinstance(error, _FATAL) or not self._expected:
                    raise
                if _FATAL_WITHIN.search(str(error)):
                    raise
                answer = error
            self._heard += 1
            if isinstance(answer, list) and answer[0] in _PUSHES:
                if answer[0] == b"message":
                    self._message(receiver, answer[1], answer[2])
                elif answer[0] != b"invalidate":
                    self._confirmed()
            elif not self._expected:
                raise BrokerError("it has sent an answer to nothing")
            else:
                self._answer(receiver, *self._expected.popleft(), answer)

    def _confirmed(self) -> None:
        """A push has answered a SUBSCRIBE or an UNSUBSCRIBE; an error would come as an answer."""
        if not self._expected or self._expected.popleft()[0] != _SUBSCRIBE:
            raise BrokerError("it has changed what is subscribed")

    def _message(self, receiver: Receiver, channel: bytes, payload: bytes) -> None:
        topic = channel[len(self._channel) :].decode(errors="replace")
        offset, _, rest = payload.partition(b":")
        epoch, _, envelope = rest.partition(b":")
        # What is not ours has no place: it does not move the topic.
        place = 0
        if offset.isdigit() and len(offset) <= _MOST_OFFSET and len(epoch) <= _MOST_EPOCH:
            with contextlib.suppress(BadEnvelope):
                broker.head(envelope)
                place = int(offset)
        receiver.arrived(topic, envelope, place, self._whole(epoch) if place else "")

    def _answer(self, receiver: Receiver, kind: int, what: Any, answer: Any) -> None:
        if kind == _PUBLISH:
            if isinstance(answer, ResponseError):
                receiver.refused(what, f"{self.name}: {answer}")
        elif isinstance(answer, ResponseError):
            raise answer
        elif kind == _LOOK:
            _, epoch, offset, keeps, recovered, *missed = answer
            position = Position(self._whole(epoch), int(offset))
            told = None if recovered == b"" else recovered == b"1"
            kept = [Kept(int(missed[at]), missed[at + 1]) for at in range(0, len(missed), 2)]
            receiver.looked(what, Joined(position, told), kept, bool(keeps))
        elif kind == _SETTLE:
            receiver.settled(what)
        else:
            _check_role(_fields(answer))

    def _whole(self, epoch: bytes) -> str:
        """An epoch as clients see it. A server that was restarted, or another one, may have lost the last
        messages, and give their offsets to others."""
        return f"{epoch.decode(errors='replace')}.{self._run_id}"


#: Pushes of RESP3 that are for us or may be passed over; an answer of LOOK begins with another word.
_PUSHES = (b"message", b"subscribe", b"unsubscribe", b"invalidate")

PUBLISH_SHA = hashlib.sha1(scripts.PUBLISH.encode(), usedforsecurity=False).hexdigest()
LOOK_SHA = hashlib.sha1(scripts.LOOK.encode(), usedforsecurity=False).hexdigest()


async def connect(server: Server, prefix: str, most_missed: int) -> RedisSession:
    """Connect. Raises BrokerError and OSError."""
    try:
        arguments = await server.find(f"{{{prefix}}}")
        kind = arguments.pop("connection_class", Connection)
        connection = kind(
            **arguments,
            protocol=3,
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        try:
            await connection.connect()
            for script in (scripts.PUBLISH, scripts.LOOK):
                await _ask(connection, "SCRIPT", "LOAD", script)
            about = await _info(connection, "server")
            replication = await _info(connection, "replication")
            _check_role(replication)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
    except RedisError as error:
        raise BrokerError(explained(error)) from None
    database = int(arguments.get("db", 0))
    # What distinguishes this run of this server; made up if it does not say.
    run_id = about.get(b"run_id", b"").decode(errors="replace")[:RUN_ID]
    run_id = run_id or secrets.token_hex(RUN_ID // 2)
    probe = ("INFO", "replication") if replication else ("PING",)
    return RedisSession(connection, server.name, prefix, database, run_id, most_missed, probe)


def _check_role(replication: dict[bytes, bytes]) -> None:
    """A replica passes on nothing of what is published there. Raises BrokerError."""
    if replication.get(b"role") == b"slave":
        raise BrokerError("it is a replica: only a master reaches all hosts")


async def _ask(connection: Any, *words: Any) -> Any:
    await connection.send_command(*words)
    return await connection.read_response()


async def _info(connection: Any, section: str) -> dict[bytes, bytes]:
    """What the server says of itself; empty if it does not say."""
    try:
        text = await _ask(connection, "INFO", section)
    except ResponseError:
        return {}
    return _fields(text)


def _fields(text: bytes) -> dict[bytes, bytes]:
    pairs = (line.partition(b":") for line in text.splitlines())
    return {name: value for name, _, value in pairs}
