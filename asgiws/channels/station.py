"""What a channel layer is in one process: its channels, its groups, and what it asks of other processes.

A group is a topic, to which each process subscribes that has a member of it; so a message crosses to a process
once, and is given to the members there. A process has a topic of its own too, for what is meant for one of its
channels: a message to it, its entry into a group. These are answered, so that the sender knows.

Rules of this file:
- A hub is called in the thread of its event loop. A sink calls none: what is to be done then is done `later`.
- What a channel does not take is an error for a sender to that channel; for a group it is counted and logged.
- Nobody waits for a process that does not answer, but once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from asgiws.channels.queues import Queues, is_running
from asgiws.services.present import Present
from asgiws.topics import asking
from asgiws.topics.hub import Hub, TooMuchQueued
from asgiws.topics.local import QUEUE
from asgiws.topics.message import Joined, Message
from asgiws.topics.shared import SharedHub
from asgiws.topics.sink import Sink

logger = logging.getLogger("asgiws.error")

#: Seconds to wait for the answer of another process.
PATIENCE = 5.0

#: The most processes that are remembered for not answering.
MAX_SILENT = 1000

#: Seconds between two lines in the log about the same.
TELL_EVERY = 1.0

#: What is asked of a process, and its answers.
SEND, ADD, DISCARD, ANSWER = "send", "add", "discard", "answer"
DONE, FULL = "done", "full"


class Settings:
    """What a layer was made with. `prefix` keeps layers apart that share a hub."""

    def __init__(
        self, prefix: str, expiry: float, group_expiry: float, capacity_of: Callable[[str], int]
    ) -> None:
        self.prefix = prefix
        self.expiry = expiry
        self.group_expiry = group_expiry
        self.capacity_of = capacity_of


class Group(Sink):
    """A group's members in this process, and when each entered. `waiting` are those who wait until its topic is
    subscribed to."""

    def __init__(self, topic: str, name: str, station: Station) -> None:
        Sink.__init__(self, topic, station)
        self.name = name
        self.members: dict[str, float] = {}
        self.is_in_force = False
        self.waiting: list[asyncio.Future[None]] = []
        self._station = station

    def begin(self, joined: Joined) -> None:
        self.is_in_force = True
        _wake_all(self.waiting)

    def deliver(self, message: Message) -> None:
        assert isinstance(message.data, str)
        self._station.deliver(self, message.data)

    def lost(self, count: int | None) -> None:
        self._station.lost(f"group {self.name}", count)


class Desk(Sink):
    """What is asked of this process."""

    def __init__(self, topic: str, station: Station) -> None:
        Sink.__init__(self, topic, station)
        self._station = station

    def deliver(self, message: Message) -> None:
        assert isinstance(message.data, str)
        self._station.take(message.data)

    def lost(self, count: int | None) -> None:
        self._station.lost("the channels of this process", count)


class Reset(Sink):
    """All processes are to forget everything."""

    def __init__(self, topic: str, station: Station) -> None:
        Sink.__init__(self, topic, station)
        self._station = station

    def deliver(self, message: Message) -> None:
        assert isinstance(message.data, str)
        self._station.reset(message.data)

    def lost(self, count: int | None) -> None:
        pass


class Station:
    """A layer in this process. `server` is the one whose topics it uses; without one, a station is for any
    thread."""

    def __init__(self, settings: Settings, server: Present | None) -> None:
        self.name = secrets.token_hex(8)
        self.pid = os.getpid()
        self.server = server
        self.dropped = 0
        self.groups: dict[str, Group] = {}
        self._settings = settings
        self._hub: Hub
        if server is None:
            shared = SharedHub()
            self._hub, self._lock = shared, shared.lock
            self._max_message = QUEUE
        else:
            assert server.topics is not None
            self._hub, self._lock = server.topics.hub(), threading.RLock()
            self._max_message = server.topics.max_message
        self.queues = Queues(self._lock, settings.capacity_of, settings.expiry, self._expired)
        #: Channels without "!" that somebody in this process receives from, or has entered into a group.
        self.served: set[str] = set()
        self._memberships: dict[str, set[str]] = {}
        self._later: deque[Callable[[], object]] = deque()
        self._sinks: list[Sink] = [
            Desk(self._topic("process", self.name), self),
            Reset(self._topic("flush", "all"), self),
        ]
        self._starting: asyncio.Future[None] | None = None
        self._asked: dict[int, asyncio.Future[str]] = {}
        self._last_number = 0
        self._silent: dict[str, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        #: Lines that are to be logged soon, and their numbers.
        self._notices: dict[str, int] = {}
        #: Channels whose messages expire, and since when.
        self._deaf: dict[str, float] = {}

    @property
    def is_current(self) -> bool:
        """False if it belongs to a server that has ended, or to the process that this one was forked from."""
        if self.pid != os.getpid():
            return False
        server = self.server
        return server is None or not (server.topics is None or server.topics.is_closed)

    # In the event loop of the server, if there is one.

    async def start(self) -> None:
        """Be there for other processes."""
        if self.server is None:
            self._catch_up()
            return
        if self._starting is None:
            loop = self.server.loop
            starting = self._starting = loop.create_future()
            left = len(self._sinks)

            def joined(joined: Joined) -> None:
                nonlocal left
                left -= 1
                if not left and not starting.done():
                    starting.set_result(None)

            for sink in self._sinks:
                self._hub.subscribe(sink, None, joined)
        await asyncio.shield(self._starting)

    async def send(self, channel: str, text: str) -> bool:
        """Send to a channel; False if it is full."""
        self._check_size(text)
        if self.server is None:
            self._catch_up()
            return self.queues.put(channel, text)
        return await self._ask(self._owner(channel), SEND, channel, "", text) != FULL

    async def add(self, group: str, channel: str) -> None:
        owner = self._owner(channel)
        if owner == self.name:
            await self._add(group, channel)
        else:
            await self._ask(owner, ADD, channel, group, "")

    async def discard(self, group: str, channel: str) -> None:
        owner = self._owner(channel)
        if owner == self.name:
            self._discard(group, channel)
        else:
            await self._ask(owner, DISCARD, channel, group, "")

    async def send_to(self, group: str, text: str) -> None:
        """Send to a group."""
        self._check_size(text)
        self._catch_up()
        self.queues.sweep()
        if self.server is None and group not in self.groups:
            self._tell(
                f"Channels: a message to group {group} reached nobody: no asgiws server runs in this process, "
                "so only its own channels can be reached"
            )
        try:
            self._hub.publish(Message(self._topic("group", group), text), None)
        except TooMuchQueued as error:
            self._drop(1)
            self._tell(
                f"Channels: a message to group {group} was lost: {error}",
                f"Channels: %d more messages to groups were lost: {error}",
            )

    async def flush(self) -> None:
        """Have all processes forget all messages and groups."""
        if self.server is None:
            self._forget()
            self._catch_up()
            return
        await self.start()
        number, answer = self._expect()
        try:
            text = json.dumps([self.name, number])
            self._hub.publish(Message(self._sinks[1].topic, text), None)
            await asyncio.wait_for(answer, PATIENCE)
        except asyncio.TimeoutError:
            logger.warning(
                "Channels: the flush has not come back: the hub of topics does not answer"
            )
        finally:
            self._asked.pop(number, None)

    def close(self) -> None:
        """Let go of everything."""
        for sink in [*self._sinks, *self.groups.values()]:
            self._hub.unsubscribe(sink)
        self.groups.clear()
        self._memberships.clear()
        self.queues.clear()
        if self.server is None:
            self._hub.close()

    # In any thread and event loop.

    async def receive(self, channel: str) -> str:
        if "!" not in channel:
            self.served.add(channel)
        self._catch_up()
        text = await self.queues.get(channel)
        if self._deaf:
            self._deaf.pop(channel, None)
        return text

    def is_ours(self, channel: str) -> bool:
        """Whether it is a channel of this process."""
        return self._owner(channel) == self.name

    # From the sinks.

    def deliver(self, group: Group, text: str) -> None:
        """A message to a group."""
        full = 0
        oldest = time.monotonic() - self._settings.group_expiry
        with self._lock:
            members = list(group.members.items())
            for channel, entered in members:
                if entered < oldest:
                    self._leave(group.name, channel)
                elif not self.queues.put(channel, text):
                    full += 1
        if full:
            self._drop(full)
            self._tell(
                f"{full} of {len(members)} channels over capacity in group {group.name}",
                f"Channels: %d more messages to group {group.name} were dropped: channels over capacity",
                full,
            )

    def take(self, data: str) -> None:
        """Something that was asked of this process, or an answer."""
        head, _, text = data.partition("\n")
        try:
            kind, number, sender, channel, group = json.loads(head)
        except (TypeError, ValueError):
            logger.error("Channels: something that is no request was published: %.80r", data)
            return
        if kind == ANSWER:
            self._silent.pop(sender, None)
            self._answered(number, channel)
        elif kind == SEND:
            self._answer(sender, number, DONE if self.queues.put(channel, text) else FULL)
        elif kind == ADD:
            self._soon(lambda: self._add_for(sender, number, group, channel))
        elif kind == DISCARD:

            def discard() -> None:
                self._discard(group, channel)
                self._answer(sender, number, DONE)

            self._soon(discard)

    def reset(self, data: str) -> None:
        """A flush."""
        sender, number = json.loads(data)
        self._forget()
        if sender == self.name:
            self._answered(number, DONE)

    def lost(self, whose: str, count: int | None) -> None:
        """Messages were lost on the way to this process."""
        self._drop(1 if count is None else count)
        self._tell(
            f"Channels: {'messages' if count is None else count} to {whose} were lost on the way",
            f"Channels: messages to {whose} were lost on the way, %d times",
        )

    # Requests.

    async def _ask(self, owner: str, kind: str, channel: str, group: str, text: str) -> str:
        """Ask a process for something; its answer. A process that does not answer counts as gone: DONE."""
        await self.start()
        self._catch_up()
        self.queues.sweep()
        number, answer = self._expect()
        try:
            head = json.dumps([kind, number, self.name, channel, group])
            self._publish(self._topic("process", owner), f"{head}\n{text}")
            if owner in self._silent:
                return DONE
            return await asyncio.wait_for(answer, PATIENCE)
        except asyncio.TimeoutError:
            if len(self._silent) >= MAX_SILENT:
                del self._silent[next(iter(self._silent))]
            self._silent[owner] = None
            logger.warning(
                "Channels: the process of channel %s has not answered for %g s: it has ended, or stands still",
                channel,
                PATIENCE,
            )
            return DONE
        finally:
            self._asked.pop(number, None)

    def _expect(self) -> tuple[int, asyncio.Future[str]]:
        self._last_number += 1
        answer = asyncio.get_running_loop().create_future()
        self._asked[self._last_number] = answer
        return self._last_number, answer

    def _answer(self, sender: str, number: int, answer: str) -> None:
        if sender == self.name:
            self._answered(number, answer)
        else:
            head = json.dumps([ANSWER, number, self.name, answer, ""])
            self._soon(lambda: self._publish_if_it_can(self._topic("process", sender), head))

    def _answered(self, number: int, answer: str) -> None:
        waiting = self._asked.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _publish(self, topic: str, text: str) -> None:
        self._hub.publish(Message(topic, text), None)

    def _publish_if_it_can(self, topic: str, text: str) -> None:
        try:
            self._publish(topic, text)
        except TooMuchQueued as error:
            logger.warning("Channels: an answer was lost: %s", error)

    def _add_for(self, sender: str, number: int, group: str, channel: str) -> None:
        async def add() -> None:
            await self._add(group, channel)
            self._answer(sender, number, DONE)

        task = asyncio.get_running_loop().create_task(add())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Groups.

    async def _add(self, name: str, channel: str) -> None:
        self._catch_up()
        with self._lock:
            group = self.groups.get(name)
            is_new = group is None
            if group is None:
                group = self.groups[name] = Group(self._topic("group", name), name, self)
            group.members[channel] = time.monotonic()
            self._memberships.setdefault(channel, set()).add(name)
            if "!" not in channel:
                self.served.add(channel)
        if is_new:
            try:
                self._hub.subscribe(group, None, group.begin)
            except BaseException:
                self.groups.pop(name, None)
                raise
        while not group.is_in_force and self.groups.get(name) is group:
            waiter = asyncio.get_running_loop().create_future()
            group.waiting.append(waiter)
            await waiter

    def _discard(self, name: str, channel: str) -> None:
        with self._lock:
            self._leave(name, channel)
        self._catch_up()

    def _leave(self, name: str, channel: str) -> None:
        """Take a channel out of a group; the topic of one without members is unsubscribed later."""
        names = self._memberships.get(channel)
        if names is not None:
            names.discard(name)
            if not names:
                del self._memberships[channel]
                self._deaf.pop(channel, None)
        group = self.groups.get(name)
        if group is not None:
            group.members.pop(channel, None)
            if not group.members:
                self._soon(partial(self._end_if_empty, group))

    def _end_if_empty(self, group: Group) -> None:
        if not group.members and self.groups.get(group.name) is group:
            del self.groups[group.name]
            self._hub.unsubscribe(group)
            _wake_all(group.waiting)

    def _forget(self) -> None:
        with self._lock:
            self.queues.clear()
            self._memberships.clear()
            for group in self.groups.values():
                group.members.clear()
                self._soon(partial(self._end_if_empty, group))

    def _expired(self, channel: str, count: int) -> None:
        """Messages were not received in time. If nothing is received for as long again, the channel is taken to
        have gone, and leaves its groups."""
        self._drop(count)
        self._tell(
            f"Channels: {count} messages of channel {channel} expired before they were received",
            "Channels: %d more messages expired before they were received",
            count,
        )
        if channel not in self._memberships:
            return
        now = time.monotonic()
        if now - self._deaf.setdefault(channel, now) >= self._settings.expiry:
            names = list(self._memberships[channel])
            for name in names:
                self._leave(name, channel)
            if names:
                logger.warning(
                    "Channels: nobody receives from channel %s: it has left its %d groups",
                    channel,
                    len(names),
                )

    # The rest.

    def _topic(self, kind: str, name: str) -> str:
        return f"channels:{self._settings.prefix}:{kind}:{name}"

    def _owner(self, channel: str) -> str:
        """The process of a channel. Without a server, or a "!", it is this one."""
        if self.server is None or "!" not in channel:
            return self.name
        return channel.partition("!")[0].rpartition(".")[2]

    def _check_size(self, text: str) -> None:
        asking.payload(text, self._max_message)

    def _soon(self, call: Callable[[], object]) -> None:
        """Do something that a sink must not."""
        if self.server is None:
            self._later.append(call)
            return
        assert self.server.topics is not None
        if is_running(self.server.loop):
            self.server.topics.call_soon(call)
        else:
            self.server.loop.call_soon_threadsafe(self.server.topics.call_soon, call)

    def _catch_up(self) -> None:
        """Without a server: do what is due."""
        while self._later:
            with self._lock:
                if self._later:
                    self._later.popleft()()

    def _drop(self, count: int) -> None:
        self.dropped += count
        if self.server is not None and self.server.topics is not None:
            self.server.topics.lost += count

    def _tell(self, line: str, more: str = "", count: int = 1) -> None:
        """A line in the log. With `more`, what comes within TELL_EVERY seconds of another line of that kind is
        told together, by that."""
        server = self.server
        if server is None or not more:
            logger.warning("%s", line)
            return
        if more in self._notices:
            self._notices[more] += count
            return
        logger.warning("%s", line)
        self._notices[more] = 0
        assert server.topics is not None
        server.loop.call_soon_threadsafe(
            server.topics.call_later, TELL_EVERY, lambda: self._tell_rest(more)
        )

    def _tell_rest(self, more: str) -> None:
        count = self._notices.pop(more, 0)
        if count:
            logger.warning(more, count)


def _wake_all(waiting: list[asyncio.Future[None]]) -> None:
    for waiter in waiting:
        if not waiter.done():
            waiter.set_result(None)
    waiting.clear()
