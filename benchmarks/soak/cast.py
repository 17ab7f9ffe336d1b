"""Which behaviours there are, and how often each is drawn.

Rules of this file: weights are of connections begun. Those that live for long make up most of what is open.
"""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

from benchmarks.soak import behaviours, http, rooms
from benchmarks.soak.behaviours import Behaviour


class Role(NamedTuple):
    """A behaviour and its weight; `proxied` says that it also goes through the proxy, `topics` that it needs
    those of the server, `alone` that it needs a server with one worker."""

    name: str
    play: Behaviour
    weight: float
    proxied: bool = True
    topics: bool = False
    alone: bool = False


ROLES = [
    Role("echo", behaviours.echo, 24),
    Role("idle", behaviours.idle, 14),
    Role("listener", behaviours.listener, 10, alone=True),
    Role("publisher", behaviours.publisher, 2, alone=True),
    Role("tiny fragments", behaviours.tiny_fragments, 2),
    Role("slow reader", behaviours.slow_reader, 2, False),
    Role("to a slow application", behaviours.to_a_slow_application, 2, False),
    Role("late accept", behaviours.late_accept, 2),
    Role("closer", behaviours.closer, 6),
    Role("close in flight", behaviours.close_in_flight, 3),
    Role("close in a flood", behaviours.close_in_a_flood, 1, False),
    Role("unread and closed", behaviours.unread_and_closed, 1, False),
    Role("ping flood", behaviours.ping_flood, 1, False),
    Role("vanish", behaviours.vanish, 6),
    Role("vanish unread", behaviours.vanish_unread, 1, False),
    Role("half-close", behaviours.half_close, 3),
    Role("silent", behaviours.silent, 2, False),
    Role("the application closes", behaviours.app_closes, 3),
    Role("the application ends", behaviours.app_ends, 2),
    Role("refused", behaviours.refused, 2),
    Role("violator", behaviours.violator, 8, False),
    Role("garbage", behaviours.garbage, 1, False),
    Role("half a handshake", behaviours.half_handshake, 2),
    Role("connects and resets", behaviours.connect_and_reset, 1, False),
    Role("abandoned handshake", behaviours.abandoned_handshake, 2),
    Role("wrong handshake", behaviours.wrong_handshake, 1),
    Role("keep-alive", http.keep_alive, 4),
    Role("pipelined", http.pipelined, 2),
    Role("upload", http.upload, 2),
    Role("download", http.download, 2, False),
    Role("stalled request", http.stalled_request, 2),
    Role("malformed request", http.malformed, 1),
    Role("member", rooms.member, 6, topics=True),
    Role("vanishing member", rooms.vanishing_member, 3, topics=True),
    Role("returning member", rooms.returning_member, 6, topics=True),
    Role("latest of a topic", rooms.latest, 0.7, False, topics=True),
    Role("slow application of a topic", rooms.slow_application, 1, False, topics=True),
    Role("slow task of a topic", rooms.slow_task, 1, False, topics=True),
    Role("unread topic", rooms.unread_topic, 0.2, False, topics=True),
]
if importlib.util.find_spec("websockets") is not None:
    ROLES.append(Role("websockets library", behaviours.library, 3))


def roles(topics: bool, workers: int) -> list[Role]:
    """The roles for a server with topics or without, and with so many workers."""
    return [
        role for role in ROLES if (topics or not role.topics) and (workers == 1 or not role.alone)
    ]
