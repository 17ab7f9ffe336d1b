"""The PROXY protocol in front of a driver."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any

import pytest

from asgiws.config import Config
from asgiws.drivers.http_parts import LAST_REQUEST
from asgiws.drivers.proxy_protocol import PREFACE_TIMEOUT, ProxyProtocolDriver
from asgiws.services.runtime import Runtime
from tests.support.memory_outlet import MemoryOutlet, RecordingDriver

LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"
PROXY = ("10.0.0.1", 1234)
STRANGER = ("203.0.113.9", 1234)


def connect(
    client: tuple[str, int] | None = PROXY, trusted: str = "10.0.0.0/8"
) -> tuple[MemoryOutlet, RecordingDriver]:
    behind = RecordingDriver()
    config = Config(app="x:y", forwarded_allow_ips=trusted)
    runtime = Runtime(_never, config, asyncio.get_running_loop(), None)
    return MemoryOutlet(ProxyProtocolDriver(runtime, behind), client), behind


async def _never(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


@pytest.mark.parametrize("cuts", [(), (1,), (5, 20), tuple(range(1, len(LINE) + 6))])
async def test_the_driver_behind_it_sees_the_client_and_all_that_follows(
    cuts: tuple[int, ...],
) -> None:
    outlet, behind = connect()
    data = LINE + b"GET / "
    edges = [0, *cuts, len(data)]
    for start, end in itertools.pairwise(edges):
        await outlet.feed(data[start:end])
    assert outlet.driver is behind
    assert (outlet.client, outlet.server) == (("192.0.2.7", 4711), ("198.51.100.1", 443))
    assert behind.calls[0] == ("connected", outlet)
    assert b"".join(data for _, data in behind.calls[1:]) == b"GET / "


@pytest.mark.parametrize("preface", [b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"])
async def test_the_proxys_own_connection(preface: bytes) -> None:
    outlet, behind = connect()
    await outlet.feed(preface)
    assert outlet.driver is behind
    assert (outlet.client, outlet.server) == (PROXY, ("192.0.2.2", 80))
    assert behind.calls == [("connected", outlet)]


async def test_a_stranger_is_cut_off_before_it_is_read(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outlet, behind = connect(STRANGER)
    assert outlet.ended == "abort"
    assert caplog.messages == [
        "203.0.113.9:1234 - connection refused: it is not a trusted proxy (proxy_protocol)"
    ]
    # What is on its way all the same is not looked at.
    await outlet.call(outlet.driver.receive_data, bytearray(LINE), 0, len(LINE))
    assert behind.calls == []
    await outlet.lose()


@pytest.mark.parametrize(("trusted", "is_let_in"), [("unix", True), ("10.0.0.0/8", False)])
async def test_a_peer_on_a_unix_socket(trusted: str, is_let_in: bool) -> None:
    outlet, _ = connect(None, trusted)
    await outlet.feed(LINE)
    assert (outlet.client == ("192.0.2.7", 4711)) is is_let_in


async def test_what_is_no_preface_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    outlet, behind = connect()
    await outlet.feed(b"GET / HTTP/1.1\r\n\r\n")
    assert (outlet.ended, behind.calls, outlet.take()) == ("abort", [], b"")
    assert caplog.messages == [
        "10.0.0.1:1234 - connection refused: "
        "the connection does not begin with the PROXY protocol (proxy_protocol)"
    ]


async def test_it_must_come_in_time(caplog: pytest.LogCaptureFixture) -> None:
    outlet, _ = connect()
    (when,) = outlet.check_times
    assert when == pytest.approx(outlet.loop.time() + PREFACE_TIMEOUT, abs=1)
    await outlet.feed(LINE[:-1])
    assert await outlet.tick(when - 1) == when
    assert outlet.ended == ""
    assert await outlet.tick(when) == 0.0
    assert outlet.ended == "abort"
    assert caplog.messages == [
        "10.0.0.1:1234 - connection refused: the PROXY protocol did not come in time (proxy_protocol)"
    ]


async def test_the_end_before_it_and_within_it(caplog: pytest.LogCaptureFixture) -> None:
    outlet, _ = connect()
    await outlet.feed_eof()
    assert outlet.ended == "close"
    assert caplog.messages == []
    outlet, _ = connect()
    await outlet.feed(LINE[:10])
    await outlet.feed_eof()
    assert outlet.ended == "abort"
    assert caplog.messages == [
        "10.0.0.1:1234 - connection refused: it ended within the PROXY protocol (proxy_protocol)"
    ]


async def test_a_server_that_stops_does_not_wait_for_it_for_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outlet, _ = connect()
    assert not outlet.driver.lasts()
    outlet.driver.hung_up()
    await outlet.shutdown()
    assert outlet.ended == ""
    when = outlet.check_times[-1]
    assert when == pytest.approx(outlet.loop.time() + LAST_REQUEST, abs=1)
    assert await outlet.tick(when) == 0.0
    assert outlet.ended == "close"
    assert caplog.messages == []


async def test_one_that_is_on_its_way_when_the_server_stops_is_served() -> None:
    outlet, behind = connect()
    await outlet.feed(LINE[:10])
    await outlet.shutdown()
    await outlet.feed(LINE[10:] + b"GET / ")
    assert outlet.driver is behind
    assert behind.calls[-2:] == [("data", b"GET / "), ("shutdown", None)]


async def test_who_was_refused_is_not_stopped() -> None:
    outlet, _ = connect(STRANGER)
    await outlet.shutdown()
    assert (outlet.ended, outlet.check_times) == ("abort", [])
