"""asgiws/services/admission.py: the counts, and who is one too many."""

from __future__ import annotations

from typing import Any

import pytest

from asgiws.config import Config
from asgiws.http.errors import HTTPError
from asgiws.services.admission import SWEEP, Admission


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def admission(clock: Clock | None = None, **options: Any) -> Admission:
    return Admission(Config("main:app", **options), clock or Clock())


def status(refusal: HTTPError | None) -> tuple[int, str] | None:
    if refusal is None:
        return None
    assert (b"retry-after", b"1") in refusal.headers
    return refusal.status, refusal.limit


def test_without_limits_everybody_is_let_in() -> None:
    one = admission()
    assert not one.counts_connections
    assert one.enter(("192.0.2.1", 1)) is None
    one.http = 10**6
    assert one.request(10**6) is None
    assert one.handshake(("192.0.2.1", 1)) is None


def test_connections() -> None:
    one = admission(limit_connections=2)
    assert one.counts_connections
    client = ("192.0.2.1", 1)
    assert [status(one.enter(client)) for _ in range(3)] == [
        None,
        None,
        (503, "limit_connections"),
    ]
    one.leave_refused()
    assert one.enter(client) is not None
    one.leave(client)
    assert one.enter(None) is None


def test_who_is_refused_takes_nobodys_place() -> None:
    one = admission(limit_per_ip=1, limit_connections=2, limit_concurrency=2)
    client = ("192.0.2.1", 1)
    assert one.enter(client) is None
    for _ in range(5):
        assert status(one.enter(client)) == (429, "limit_per_ip")
    assert one.enter(("192.0.2.2", 1)) is None
    one.http = 7
    assert one.request(0) is None
    one.leave_refused()
    assert status(one.request(0)) == (503, "limit_concurrency")


def test_connections_of_one_address() -> None:
    one = admission(limit_per_ip=1)
    assert one.enter(("192.0.2.1", 1)) is None
    assert status(one.enter(("192.0.2.1", 2))) == (429, "limit_per_ip")
    assert one.enter(("192.0.2.2", 1)) is None
    assert one.enter(None) is None
    assert one.enter(None) is None
    one.leave(("192.0.2.1", 1))
    assert one.enter(("192.0.2.1", 3)) is None


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_what_counts_as_one_address(first: str, second: str, same: bool) -> None:
    one = admission(limit_per_ip=1)
    assert one.enter((first, 1)) is None
    assert (one.enter((second, 1)) is not None) is same


def test_websockets() -> None:
    one = admission(limit_websockets=1)
    assert one.handshake(None) is None
    one.websockets += 1
    assert status(one.handshake(None)) == (503, "limit_websockets")


def test_requests_without_websockets() -> None:
    one = admission(limit_concurrency=2)
    one.http = 2
    assert one.request(1) is None
    assert status(one.request(2)) == (503, "limit_concurrency")
    # Many WebSockets, on however few connections, neither take a request's place nor make room for one.
    one.websockets, one.websocket_calls = 5, 5
    assert one.request(6) is None
    assert status(one.request(7)) == (503, "limit_concurrency")
    # One whose application has ended waits for the client's close frame.
    one.websocket_calls = 4
    assert status(one.request(6)) == (503, "limit_concurrency")
    one.http = 3
    assert status(one.request(0)) == (503, "limit_concurrency")


def test_the_rate_of_handshakes() -> None:
    clock = Clock()
    one = admission(clock, limit_handshakes_per_ip=2)
    client = ("192.0.2.1", 1)
    assert [one.handshake(client) is None for _ in range(3)] == [True, True, False]
    assert status(one.handshake(client)) == (429, "limit_handshakes_per_ip")
    assert one.handshake(("192.0.2.2", 1)) is None
    assert one.handshake(None) is None
    clock.now += 0.5
    assert [one.handshake(client) is None for _ in range(2)] == [True, False]
    clock.now += 60
    assert [one.handshake(client) is None for _ in range(3)] == [True, True, False]


def test_addresses_of_the_past_are_forgotten() -> None:
    clock = Clock()
    one = admission(clock, limit_handshakes_per_ip=1)
    for number in range(SWEEP):
        assert one.handshake((f"10.0.{number >> 8}.{number & 255}", 1)) is None
    clock.now += 1
    assert one.handshake(("192.0.2.1", 1)) is None
    assert one.handshake(("192.0.2.1", 1)) is not None
    assert len(one._allowances) == 1
