"""asgiws/net/progress.py: what the kernel holds for a peer."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from asgiws.net.progress import in_kernel


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
