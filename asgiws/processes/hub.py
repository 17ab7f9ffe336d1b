"""The hub process of a host: it brings the topics of all workers together.

Rules of this file:
- It never loads the application, and opens nothing but its links, and what leads to the broker if topics reach
  other hosts.
- Only processes of the same user are let in. What a worker sends is checked all the same: a record that
  does not fit ends that worker's link, with one line in the log, and nothing else.
- A worker that does not read costs the others nothing: what is meant for it is dropped and counted once its
  link is full, and it is not read from until it is less so. So what is held for a worker is bounded:
  `pubsub_queue` octets of messages, and as many of what one of its subscriptions has missed.
- A link is read only as fast as the board delivers, and the broker takes. So what is on its way through this
  process is bounded.
- It ends with its supervisor, and after the workers: it stays until they have left, but not forever.
  Signals that a terminal or a service manager sends to all processes do not end it.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import pickle
import shutil
import signal
import socket
import struct
import sys
from collections import deque
from typing import BinaryIO, NoReturn

from asgiws import logs
from asgiws.brokers.choice import is_broker
from asgiws.config import StartError
from asgiws.net import descriptors
from asgiws.processes.channel import Channel
from asgiws.processes.heartbeat import Heartbeat, interval
from asgiws.processes.hub_process import HubStart
from asgiws.processes.line import Line
from asgiws.processes.scoreboard import Scoreboard
from asgiws.server import loops
from asgiws.topics import link, names
from asgiws.topics.hub import HostHub
from asgiws.topics.link import LinkError
from asgiws.topics.local import LocalHub
from asgiws.topics.message import Joined, Message
from asgiws.topics.relayed import OPAQUE
from asgiws.topics.sink import Sink

logger = logging.getLogger("asgiws.error")

#: Seconds without accepting after an error: descriptors may have run out.
PAUSE = 0.5

#: Seconds that it stays beyond the graceful timeout of its workers, once its supervisor has gone.
MARGIN = 5.0

#: The part of a message's `sender` that is the number of a publication; above it is that of the link.
_PUBLICATION = (1 << 64) - 1

#: Signals that are meant for the supervisor.
NOT_OURS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGTTIN", "SIGTTOU")


class _LinkSink(Sink):
    """The subscription of one worker to one topic, which is `number` on its link."""

    def __init__(self, topic: str, peer: Peer, number: int) -> None:
        Sink.__init__(self, topic, peer)
        self.peer = peer
        self.number = number

    def deliver(self, message: Message) -> None:
        peer = self.peer
        publication = 0
        sender = message.sender
        if isinstance(sender, int) and sender >> 64 == peer.number:
            publication = sender & _PUBLICATION
        assert isinstance(message.data, bytes)
        peer.deliveries.deliver(self.number, message.offset, publication, message.data)

    def flush(self) -> None:
        self.peer.line.flush_soon()

    def lost(self, count: int | None) -> None:
        self.peer.deliveries.gap(self.number, count)
        self.peer.line.flush_soon()

    def rejoined(self, joined: Joined) -> None:
        self.peer.answer(link.rejoined(self.number, joined.position))


class Peer:
    """A worker, at the other end of `sock`. `number` is its own among all that there ever were, from 1."""

    def __init__(self, process: HubServer, sock: socket.socket, number: int, name: str) -> None:
        limit = process.config.pubsub_queue
        self.number = number
        self.name = name
        self._process = process
        self._hub = process.hub
        self._reader = link.Requests(process.config.pubsub_max_message + link.OVERHEAD)
        self._outgoing = link.Outgoing(limit)
        self._outgoing.add(link.hello(), process.state())
        self.deliveries = link.Deliveries(self._outgoing)
        self._sinks: dict[int, _LinkSink] = {}
        #: What was read and not done yet; only while the link is paused.
        self._requests: deque[link.Request] = deque()
        self._published = 0
        self._acknowledged = 0
        self._is_waiting = False
        self.line = Line(
            process.loop, sock, self._outgoing, self._received, self._ended, self._sent
        )

    def close(self) -> None:
        """Idempotent."""
        self.line.close()
        self._requests.clear()
        for sink in self._sinks.values():
            self._hub.unsubscribe(sink)
        self._sinks.clear()

    def _ended(self) -> None:
        self.close()
        self._process.left(self)

    def _received(self, data: bytes) -> None:
        try:
            self._requests.extend(self._reader.read(data))
            self._work()
        except (LinkError, names.BadTopic) as error:
            logger.error("The link of %s is closed: %s", self.name, error)
            self._ended()

    def _sent(self) -> None:
        lost = self.deliveries.relieve()
        if lost:
            logger.warning("%s did not keep up: it has lost %d messages of topics", self.name, lost)
        if self._outgoing.size:
            self.line.flush_soon()
        if self._requests:
            self._continue()

    def _work(self) -> None:
        """Do what was requested, as far as there is room for what comes of it."""
        requests, outgoing = self._requests, self._outgoing
        half = outgoing.limit // 2
        while requests and outgoing.held <= half and not self._hub.is_behind():
            self._do(requests.popleft())
        if self._published != self._acknowledged:
            published = self._acknowledged = self._published
            self._hub.when_settled(lambda: self.answer(link.acknowledged(published)))
        if self._hub.is_behind():
            self.line.pause()
            if not self._is_waiting:
                self._is_waiting = True
                self._hub.when_relieved(self._worked_off)
        elif requests:
            self.line.pause()
        elif not self._is_waiting:
            self.line.resume()

    def _worked_off(self) -> None:
        self._is_waiting = False
        self._continue()

    def _continue(self) -> None:
        try:
            self._work()
        except (LinkError, names.BadTopic) as error:
            logger.error("The link of %s is closed: %s", self.name, error)
            self._ended()

    def _do(self, request: link.Request) -> None:
        if isinstance(request, link.Publish):
            self._published += 1
            sender = self.number << 64 | self._published if request.returns else None
            message = Message(names.check(request.topic), request.content, None, sender)
            try:
                self._hub.publish(message, request.keep)
            except ValueError as error:
                # The worker did not know yet what the broker takes.
                logger.error("A message of topic %r was not published: %s", request.topic, error)
                self._hub.board.tell_lost([request.topic], 1)
        elif isinstance(request, link.Subscribe):
            self._subscribe(request)
        elif isinstance(request, link.Unsubscribe):
            sink = self._sinks.pop(request.number, None)
            if sink is None:
                raise LinkError("a topic that is not subscribed is unsubscribed")
            self._hub.unsubscribe(sink)
        elif request.version != link.VERSION:
            raise LinkError(
                f"it speaks version {request.version}, and not {link.VERSION}: restart the server, and not "
                "only its workers"
            )

    def _subscribe(self, request: link.Subscribe) -> None:
        topic = names.check(request.topic)
        sink = self._sinks.get(request.number)
        if sink is None:
            sink = self._sinks[request.number] = _LinkSink(topic, self, request.number)
        elif sink.topic != topic:
            raise LinkError("one number for two topics")
        number = request.request
        self._hub.join(
            sink, request.since, lambda joined, missed: self._join(number, joined, missed)
        )

    def _join(self, request: int, joined: Joined, missed: list[Message]) -> None:
        if sum(len(message.data) for message in missed) > self._outgoing.limit:
            joined, missed = Joined(joined.position, False), []
        records = [link.joined(request, joined.position, joined.recovered)]
        for message in missed:
            assert isinstance(message.data, bytes)
            records.append(link.replay(request, message.offset, message.data))
        self.answer(*records)

    def answer(self, *records: bytes) -> None:
        """Send records, behind those that wait."""
        if self.line.fileno() >= 0:
            self._outgoing.add(*records)
            self.line.flush_soon()


class HubServer:
    """The process, from its start to its end."""

    def __init__(self, start: HubStart) -> None:
        self.config = start.config
        self.loop: asyncio.AbstractEventLoop
        self.hub: HostHub
        self._directory = start.directory
        self._listener = socket.socket(fileno=start.listener)
        self._end = socket.socket(fileno=start.channel)
        self._board = Scoreboard(start.board)
        os.close(start.board)
        self._row = start.row
        self._peers: set[Peer] = set()
        self._count = 0
        self._change = asyncio.Event()
        self._is_orphaned = False
        self._is_late = False

    async def run(self) -> None:
        """Serve until the supervisor and all workers have gone."""
        self.loop = asyncio.get_running_loop()
        if is_broker(self.config):
            from asgiws.brokers.hub import BrokerHub

            hub = BrokerHub(self.config, self.loop.call_soon, OPAQUE)
            hub.changed = self._tell_state
            self.hub = hub
        else:
            # A message that was read is not refused: the links are read no faster than it can deliver.
            self.hub = LocalHub(self.loop.call_soon, self.config.pubsub_history, queue=sys.maxsize)
        self._listener.setblocking(False)
        self._listen()
        channel = Channel(self.loop, self._end, bool, self._orphaned)
        seconds = interval(self.config.timeout_worker_healthcheck)
        heart = Heartbeat(self.loop, seconds, lambda: self._board.beat(self._row))
        logger.info("Started")
        try:
            while not self._is_orphaned or (self._peers and not self._is_late):
                self._change.clear()
                await self._change.wait()
            await self.hub.finish()
        finally:
            heart.close()
            channel.close()
            self.loop.remove_reader(self._listener.fileno())
            for peer in self._peers:
                peer.close()
            self._listener.close()
            # If the supervisor was killed, nobody else does.
            shutil.rmtree(self._directory, ignore_errors=True)

    def state(self) -> bytes:
        """The record that tells a worker how the hub stands."""
        hub = self.hub
        return link.state(hub.is_up, hub.largest, hub.why_no_history)

    def _tell_state(self) -> None:
        record = self.state()
        for peer in self._peers:
            peer.answer(record)

    def left(self, peer: Peer) -> None:
        """That link has ended."""
        self._peers.discard(peer)
        self._change.set()

    def _orphaned(self) -> None:
        self._is_orphaned = True
        self._change.set()
        self.loop.call_later(self.config.timeout_graceful_shutdown + MARGIN, self._expire)

    def _expire(self) -> None:
        self._is_late = True
        self._change.set()

    def _listen(self) -> None:
        self.loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return
        except OSError as error:
            logger.error("Cannot accept a link: %s", error)
            self.loop.remove_reader(self._listener.fileno())
            self.loop.call_later(PAUSE, self._listen)
            return
        pid, user = owner_of(sock)
        if user is not None and user != os.geteuid():
            logger.error("A process (%d) of another user (%d) was not let in", pid, user)
            sock.close()
            return
        self._count += 1
        name = f"process {pid}" if pid else f"link {self._count}"
        self._peers.add(Peer(self, sock, self._count, name))


def owner_of(sock: socket.socket) -> tuple[int, int | None]:
    """The process at the other end of a Unix socket and its user; 0 and None if the system does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return 0, None
    pid, user, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, option, 12))
    return pid, user


def main(file: BinaryIO) -> NoReturn:
    """Run the hub process whose HubStart is pickled in `file`, and end the process."""
    with file:
        start: HubStart = pickle.load(file)
    for fd in (start.listener, start.channel, start.board):
        os.set_inheritable(fd, False)
    if not faulthandler.is_enabled() and sys.stderr is not None:
        faulthandler.enable()
    for name in NOT_OURS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    logs.configure(start.config, f"hub ({os.getpid()})")
    descriptors.raise_limit()
    try:
        loops.run(HubServer(start).run, start.config.loop)
    except StartError as error:
        logs.tell(f"Error: {error}")
        sys.exit(error.exit_code)
    sys.exit(0)
