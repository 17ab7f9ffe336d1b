"""`asgiws/websocket/keepalive.py`: the clocks of an open connection, moved by hand."""

from __future__ import annotations

import pytest

from asgiws.websocket.keepalive import IDLE, IDLE_PARTS, OLD, PING, PROBE, SILENT, KeepAlive, Times


class Peer:
    """Whether the peer takes what is sent to it, and how often that was asked."""

    def __init__(self) -> None:
        self.takes_it = False
        self.asked = 0

    def takes(self) -> bool:
        self.asked += 1
        return self.takes_it


@pytest.fixture
def peer() -> Peer:
    return Peer()


def test_without_times_there_is_nothing_to_look_at(peer: Peer) -> None:
    clocks = KeepAlive(Times(), 100.0, 0.5)
    assert clocks.next_look() == 0.0
    assert clocks.check(1e9, True, peer.takes) == 0
    assert not clocks.pong(clocks.payload(), 1e9)
    assert peer.asked == 0


def test_a_ping_and_its_pong(peer: Peer) -> None:
    clocks = KeepAlive(Times(interval=20.0, timeout=5.0), 100.0, 0.0)
    assert clocks.next_look() == 120.0
    assert clocks.check(119.9, True, peer.takes) == 0
    assert clocks.check(120.0, True, peer.takes) == PING
    assert peer.asked == 1  # what is in front of the ping is looked at
    assert clocks.next_look() == 125.0
    assert not clocks.pong(b"else", 121.0)
    assert clocks.next_look() == 125.0
    assert clocks.pong(clocks.payload(), 121.0)
    assert clocks.next_look() == 141.0
    assert not clocks.pong(clocks.payload(), 122.0)  # nothing waits for it any more
    first = clocks.payload()
    assert clocks.check(141.0, True, peer.takes) == PING
    assert clocks.payload() != first
    assert len(first) == 4


def test_a_peer_that_says_nothing_is_silent(peer: Peer) -> None:
    clocks = KeepAlive(Times(interval=20.0, timeout=5.0), 0.0, 0.0)
    clocks.heard = True  # before the ping: it proves nothing
    assert clocks.check(20.0, True, peer.takes) == PING
    assert clocks.check(24.9, True, peer.takes) == 0
    assert clocks.check(25.0, True, peer.takes) == SILENT


@pytest.mark.parametrize("why", ["heard", "takes", "paused"])
def test_what_explains_a_late_pong(peer: Peer, why: str) -> None:
    clocks = KeepAlive(Times(interval=20.0, timeout=5.0), 0.0, 0.0)
    assert clocks.check(20.0, True, peer.takes) == PING
    clocks.heard = why == "heard"
    peer.takes_it = why == "takes"
    todo = clocks.check(25.0, why != "paused", peer.takes)
    assert todo == (PROBE if why == "paused" else 0)
    assert clocks.next_look() == 30.0
    # It does so once: what was heard then is no news at the next look.
    peer.takes_it = False
    assert clocks.check(30.0, True, peer.takes) == SILENT


def test_pings_without_a_timeout_go_on(peer: Peer) -> None:
    clocks = KeepAlive(Times(interval=20.0), 0.0, 0.0)
    for moment in (20.0, 40.0, 60.0):
        assert clocks.next_look() == moment
        assert clocks.check(moment, True, peer.takes) == PING
    assert peer.asked == 0


@pytest.mark.parametrize(("chance", "end"), [(0.0, 60.0), (0.5, 65.0), (1.0, 70.0)])
def test_the_age_with_its_jitter(peer: Peer, chance: float, end: float) -> None:
    clocks = KeepAlive(Times(age=60.0, age_jitter=10.0), 0.0, chance)
    assert clocks.next_look() == end
    assert clocks.check(end - 0.1, True, peer.takes) == 0
    assert clocks.check(end, True, peer.takes) == OLD


def test_an_idle_connection(peer: Peer) -> None:
    clocks = KeepAlive(Times(idle=8.0), 0.0, 0.0)
    looks = [clocks.check(clocks.next_look(), True, peer.takes) for _ in range(IDLE_PARTS)]
    assert looks == [0] * (IDLE_PARTS - 1) + [IDLE]
    assert clocks.next_look() == 8.0 + 8.0 / IDLE_PARTS


def test_a_message_makes_it_busy_again(peer: Peer) -> None:
    clocks = KeepAlive(Times(idle=8.0), 0.0, 0.0)
    for _ in range(IDLE_PARTS - 1):
        assert clocks.check(clocks.next_look(), True, peer.takes) == 0
    clocks.active = True
    looks = [clocks.check(clocks.next_look(), True, peer.takes) for _ in range(IDLE_PARTS + 1)]
    assert looks == [0] * IDLE_PARTS + [IDLE]


def test_the_earliest_comes_first(peer: Peer) -> None:
    clocks = KeepAlive(Times(interval=20.0, timeout=5.0, idle=400.0, age=50.0), 0.0, 0.0)
    assert clocks.next_look() == 20.0
    assert clocks.check(20.0, True, peer.takes) == PING
    assert clocks.pong(clocks.payload(), 45.0)
    assert clocks.next_look() == 50.0
    # Several things may be due at once; the end of age goes before that of idleness.
    assert clocks.check(100.0, True, peer.takes) == PING | OLD
    assert clocks.check(1000.0, True, peer.takes) == SILENT
