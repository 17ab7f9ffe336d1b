"""asgiws/net/progress.py: what the kernel holds for a peer, and whether the peer takes it."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from asgiws.net.ending import LEAST_TAKEN
from asgiws.net.progress import Watch, in_kernel, to_be_read


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells, others may not")
def test_what_the_peer_has_not_taken() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert in_kernel(one.fileno()) == 0
        one.send(b"x" * 5000)
        assert in_kernel(one.fileno()) >= 5000
        assert len(other.recv(5000)) == 5000
        assert in_kernel(one.fileno()) == 0


def test_where_there_is_no_telling() -> None:
    assert in_kernel(-1) == 0
    with open(os.devnull, "rb") as file:
        assert in_kernel(file.fileno()) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells, others may not")
def test_what_was_not_read_of_what_has_come() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert to_be_read(one.fileno()) == 0
        other.send(b"x" * 5000)
        assert to_be_read(one.fileno()) == 5000
    assert to_be_read(-1) == 0


def test_a_peer_has_its_time_and_then_as_much_again() -> None:
    watch = Watch(5.0, 100.0, 1000)
    assert (watch.when, watch.has_stalled) == (105.0, False)
    assert watch.look(105.5, 1000)
    assert (watch.when, watch.has_stalled) == (110.5, True)


def test_a_peer_that_takes_enough_has_not_stalled() -> None:
    watch = Watch(5.0, 100.0, 1000)
    assert not watch.look(105.0, 1000 + LEAST_TAKEN)
    # It counts anew from there.
    assert watch.look(110.0, 1000 + 2 * LEAST_TAKEN - 1)
    assert watch.has_stalled
    assert not watch.look(115.0, 1000 + 3 * LEAST_TAKEN)
    assert not watch.has_stalled
