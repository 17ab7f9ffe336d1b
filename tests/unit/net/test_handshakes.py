"""TLS handshakes in progress: who is in one, until when, with which context."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any

import pytest

from asgiws.net.handshakes import Handshaking
from asgiws.net.ticker import Ticker
from asgiws.services.notices import Notices


class Certificates:
    def __init__(self, seconds: float) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.handshake_timeout = seconds


class Transport:
    """A client in its handshake."""

    bucket = 0

    def __init__(self) -> None:
        self.ticks: list[float] = []

    def tick(self, now: float) -> float:
        self.ticks.append(now)
        return 0.0


class Bench:
    """A worker's handshakes, of 50 milliseconds each."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ticker = Ticker(self.loop)
        self.certificates = Certificates(0.05)
        self.pending: set[Any] = set()
        self.handshaking = Handshaking(
            self.loop, self.ticker, self.certificates, self.pending, Notices(self.loop)
        )


async def test_a_client_is_pending_from_the_start_and_has_a_deadline() -> None:
    bench, one = Bench(), Transport()
    deadline = bench.handshaking.begin(one)
    assert bench.pending == {one}
    while not one.ticks:
        await asyncio.sleep(0.01)
    assert one.ticks[0] >= deadline


async def test_a_handshake_that_has_ended_has_no_deadline() -> None:
    bench, one = Bench(), Transport()
    bench.handshaking.begin(one)
    bench.handshaking.end(one)
    assert not bench.pending
    assert len(bench.ticker) == 0


async def test_the_context_is_the_one_in_use_now() -> None:
    bench = Bench()
    assert bench.handshaking.context() is bench.certificates.context
    bench.certificates.context = other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert bench.handshaking.context() is other


async def test_a_failure_is_told_with_the_seconds_that_it_had(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "asgiws.error")
    bench = Bench()
    bench.handshaking.tell(("192.0.2.1", 5), None)
    bench.handshaking.tell(("192.0.2.1", 5), ConnectionAbortedError("slow"))
    assert caplog.messages == [
        "192.0.2.1:5 - TLS handshake failed: it took longer than 0.05 seconds (ssl_handshake_timeout)"
    ]
