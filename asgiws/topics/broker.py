"""What a hub asks of a broker that carries topics between hosts, and what travels through it.

A broker is reached by one Session after the other: each is one connection, from its making to its loss. What
comes from the broker is given to a Receiver.

Rules of this file:
- A session deals with what it is asked in that order, and so do the broker and the receiver: an answer comes
  after everything that the broker had sent before, and before everything that it sends later.
- Nothing here waits: what a session is asked is queued, and leaves together at the end of the turn.
- An envelope is what is published: its kind (one octet), the host that published it (HOST octets), its number
  among all publications of that host (eight octets, little-endian), and its content, which is that of a link
  (`link.content`). Anything else is not from asgiws: a BadEnvelope.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Protocol

from asgiws.topics.message import Joined, Keep, Position

#: Octets of what names a host: random, and another with each start.
HOST = 8

#: Kinds of envelopes: a message, or word that the host may have lost messages of that topic here.
MESSAGE, GAP = 1, 2

_HEAD = struct.Struct(f"<B{HOST}sQ")

#: Octets that an envelope has beside its content.
OVERHEAD = _HEAD.size


class BrokerError(Exception):
    """The broker cannot be reached, or used; the text says why, without any password."""


class BadEnvelope(ValueError):
    """What was published there is not an envelope."""


class Envelope(NamedTuple):
    """What was published, by which host, as its publication `number`."""

    kind: int
    host: bytes
    number: int
    content: bytes


class Head(NamedTuple):
    """What an envelope says of its content."""

    kind: int
    host: bytes
    number: int


class Kept(NamedTuple):
    """A message of the history, as it was published."""

    offset: int
    envelope: bytes


def wrap(kind: int, host: bytes, number: int, content: bytes) -> bytes:
    """The envelope as octets."""
    return _HEAD.pack(kind, host, number) + content


def head(octets: bytes) -> Head:
    """The head of an envelope; its content is not copied. Raises BadEnvelope."""
    if len(octets) < OVERHEAD:
        raise BadEnvelope("it is too short")
    kind, host, number = _HEAD.unpack_from(octets)
    if kind not in (MESSAGE, GAP):
        raise BadEnvelope(f"it is of the unknown kind {kind}")
    return Head(kind, host, number)


def unwrap(octets: bytes) -> Envelope:
    """The reverse of `wrap`. Raises BadEnvelope."""
    return Envelope(*head(octets), octets[OVERHEAD:])


class Receiver(Protocol):
    """Where a session's answers and messages go."""

    def arrived(self, topic: str, envelope: bytes, offset: int, epoch: str) -> None:
        """Something was published; `offset` is its place in the topic's history, 0 if none is kept."""

    def looked(self, request: int, joined: Joined, missed: list[Kept], keeps: bool) -> None:
        """The answer to `Session.look`; `keeps` says whether the topic keeps a history."""

    def settled(self, number: int) -> None:
        """The answer to `Session.settle`."""

    def refused(self, topic: str, why: str) -> None:
        """A publication to the topic was not taken."""


class Session(Protocol):
    """One connection to a broker. `name` is how log lines call the broker, `largest` is how many octets an
    envelope may have, and `why_no_history` says why the broker keeps no history, "" if it keeps one."""

    name: str
    largest: int
    why_no_history: str

    def publish(self, topic: str, envelope: bytes, keep: Keep | None) -> None:
        """Publish; `keep` is None if the broker keeps no history."""

    def subscribe(self, topic: str) -> None:
        """Subscribe to a topic, which is not subscribed yet."""

    def unsubscribe(self, topic: str) -> None:
        """The reverse of `subscribe`."""

    def look(self, topic: str, since: Position | None, request: int) -> None:
        """Find out where a topic stands, and what was missed; answered by `looked`."""

    def settle(self, number: int) -> None:
        """Have `settled` called once the broker has dealt with everything before this, and after the messages
        that this connection has published until now have arrived."""

    def probe(self) -> None:
        """Have the broker send something, so that `heard` changes."""

    @property
    def heard(self) -> int:
        """Changes whenever something comes from the broker."""

    async def run(self, receiver: Receiver) -> None:
        """Work until the connection is lost. Raises BrokerError, which says why."""

    async def close(self) -> None:
        """Idempotent; does not wait for the broker."""
