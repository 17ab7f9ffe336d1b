"""asgiws/net/connection.py: between a transport and a driver, over real sockets and both event loops."""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path
from typing import Any

from asgiws.net.ending import FLUSH, LINGER, QUIET
from asgiws.tls.context import make_context
from tests.support.loops import on_each_loop, settle
from tests.support.pair import OURS, Pair, Recorder, transport, whose_transport
from tests.support.pki import Authority

__all__ = ["whose_transport"]  # each test has either transport


@on_each_loop
async def test_addresses_and_registration() -> None:
    pair = await Pair().open()
    assert pair.connection.client == pair.peer.getsockname()
    assert pair.connection.server == pair.peer.getpeername()
    assert pair.connection.secure is False
    assert pair.connection in pair.runtime.connections
    await pair.close()
    assert pair.connection not in pair.runtime.connections
    assert pair.driver.events.count("lost") == 1


@on_each_loop
async def test_last_words_reach_a_peer_that_is_still_sending() -> None:
    pair = await Pair().open()

    def react() -> None:
        pair.connection.write(b"goodbye")
        pair.connection.close()
        pair.connection.write(b"not any more")
        assert pair.connection.is_closing()

    pair.driver.react = react
    await pair.say(b"first")
    # Octets that arrive after the close would reset the connection, were they left unread.
    for _ in range(20):
        await pair.loop.sock_sendall(pair.peer, b"more" * 5000)
        await settle()
    assert await pair.read_to_end() == b"goodbye"
    assert pair.driver.events == ["connected", b"first"]
    pair.peer.close()
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_close_without_linger_closes_both_sides() -> None:
    pair = await Pair().open()
    pair.connection.write(b"goodbye")
    pair.connection.close(linger=False)
    pair.connection.close()
    assert await pair.read_to_end() == b"goodbye"
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_close_sends_all_that_was_written() -> None:
    for linger in (True, False):
        pair = await Pair().open(send_buffer=65536)
        payload = b"p" * 1_000_000
        pair.connection.write(payload)
        pair.connection.close(linger=linger)
        assert await pair.read_to_end() == payload
        await pair.close()


@on_each_loop
async def test_our_side_ends_once_what_is_awaited_has_passed() -> None:
    pair = await Pair().open()
    pair.connection.await_rest(1000)
    pair.connection.write(b"no")
    pair.connection.close()
    await pair.loop.sock_sendall(pair.peer, b"x" * 999)
    assert await pair.read(2) == b"no"
    await pair.loop.sock_sendall(pair.peer, b"x")
    assert await pair.read_to_end() == b""
    pair.peer.close()
    await pair.driver.until("lost")


@on_each_loop
async def test_our_side_ends_when_no_more_comes_of_what_is_awaited() -> None:
    pair = await Pair().open()
    pair.connection.await_rest(1 << 62)
    pair.connection.close()
    now = pair.loop.time()
    assert pair.connection.tick(now) > now
    assert pair.connection.tick(now + QUIET) > now
    assert await pair.read_to_end() == b""
    pair.peer.close()
    await pair.driver.until("lost")


@on_each_loop
async def test_a_lingering_peer_is_cut_off() -> None:
    pair = await Pair().open()
    pair.connection.close()
    assert await pair.read_to_end() == b""
    await pair.until_all_is_taken()
    assert pair.connection.tick(pair.loop.time() + LINGER) == 0.0
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_a_server_that_stops_does_not_wait_for_a_peer_that_sends_on() -> None:
    pair = await Pair().open()
    pair.connection.shutdown()
    pair.connection.close()  # later, when the driver has come to its end
    closed = pair.loop.time()
    assert await pair.read_to_end() == b""
    await pair.until_all_is_taken()
    await pair.loop.sock_sendall(pair.peer, b"more of an upload")
    await settle()
    assert pair.connection.tick(closed + LINGER / 2) <= closed + LINGER
    assert pair.connection.tick(closed + LINGER) == 0.0
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_a_slow_peer_is_waited_for_and_one_that_stands_still_is_cut_off() -> None:
    pair = await Pair().open(send_buffer=65536)
    pair.connection.write(b"p" * 1_000_000)
    pair.connection.close()
    now = pair.loop.time()
    await pair.read(300_000)
    await settle()
    assert pair.connection.tick(now) == now + LINGER
    assert pair.connection.tick(now + FLUSH) == 0.0
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_after_the_last_octet_was_taken_the_peer_has_time_to_close() -> None:
    pair = await Pair().open(send_buffer=65536)
    pair.connection.write(b"p" * 1_000_000)
    pair.connection.close()
    assert len(await pair.read_to_end()) == 1_000_000
    now = pair.loop.time()
    await pair.until_all_is_taken()
    assert pair.connection.tick(now) >= now
    assert pair.connection.tick(now + LINGER) == 0.0
    await pair.close()


@on_each_loop
async def test_end_of_stream_leaves_our_side_open() -> None:
    pair = await Pair().open()
    pair.peer.shutdown(socket.SHUT_WR)
    await pair.driver.until("eof")
    pair.connection.write(b"still here")
    assert await pair.read(10) == b"still here"
    pair.connection.close()
    assert await pair.read_to_end() == b""
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_reading_pauses_and_goes_on() -> None:
    pair = await Pair().open()
    pair.connection.pause_reading()
    pair.connection.pause_reading()
    await pair.loop.sock_sendall(pair.peer, b"later")
    await settle(50)
    assert b"later" not in pair.driver.events
    pair.connection.resume_reading()
    pair.connection.resume_reading()
    await pair.driver.until(b"later")
    await pair.close()


@on_each_loop
async def test_the_end_of_the_peer_is_told_once() -> None:
    """Also when reading is paused, and goes on, behind it."""
    pair = await Pair().open()
    assert (pair.connection.reading, pair.connection.eof) == (True, False)
    pair.peer.shutdown(socket.SHUT_WR)
    await pair.driver.until("eof")
    assert (pair.connection.reading, pair.connection.eof) == (True, True)
    pair.connection.pause_reading()
    assert not pair.connection.reading
    await settle(50)
    pair.connection.resume_reading()
    assert pair.connection.reading
    await settle(50)
    assert pair.driver.events == ["connected", "eof"]
    assert not pair.connection.hung_up
    pair.connection.close()
    assert await pair.read_to_end() == b""
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_a_server_that_stops_first_and_closes_then_does_not_linger() -> None:
    """Whether it is told before the driver closes, or while the peer is let finish."""
    for shutdown_first in (True, False):
        pair = await Pair().open()
        pair.connection.await_rest(1 << 62)
        if shutdown_first:
            pair.connection.shutdown()
            assert not pair.connection.is_closing()
        pair.connection.close()
        assert pair.connection.is_closing()
        pair.connection.shutdown()
        closed = pair.loop.time()
        assert await pair.read_to_end() == b""  # what was awaited has not come
        await pair.until_all_is_taken()
        await pair.loop.sock_sendall(pair.peer, b"more")
        await settle()
        pair.connection.tick(closed + LINGER / 2)
        assert pair.connection.tick(closed + LINGER + 1) == 0.0
        await pair.driver.until("lost")
        assert pair.driver.events.count("shutdown") == shutdown_first
        await pair.close()


@on_each_loop
async def test_closing_behind_a_reset_is_no_error() -> None:
    for _ in range(10):
        pair = await Pair().open()

        def react(pair: Pair = pair) -> None:
            pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            pair.peer.close()
            pair.connection.write(b"too late")
            pair.connection.close()

        pair.driver.react = react
        await pair.say(b"bye")
        await pair.driver.until("lost")
        await pair.close()


@on_each_loop
async def test_a_paused_connection_still_closes() -> None:
    pair = await Pair().open()
    pair.connection.pause_reading()
    pair.connection.close()
    pair.connection.pause_reading()
    assert await pair.read_to_end() == b""
    pair.peer.close()
    await pair.driver.until("lost")
    await pair.close()


@on_each_loop
async def test_hand_over_gives_the_tail_to_the_next_driver() -> None:
    pair = await Pair().open()
    following = Recorder()
    pair.driver.react = lambda: pair.connection.hand_over(following, b"tail")
    await pair.say(b"head")
    assert following.events == ["connected", b"tail"]
    await pair.loop.sock_sendall(pair.peer, b"more")
    await following.until(b"more")
    pair.connection.hand_over(pair.driver, b"")
    assert pair.driver.events == ["connected", b"head", "connected"]
    await pair.close()


@on_each_loop
async def test_ticks_and_shutdown_go_to_the_driver() -> None:
    pair = await Pair().open()
    pair.driver.next_check = 12.5
    assert pair.connection.tick(1.0) == 12.5
    pair.connection.check_at(pair.loop.time())
    await pair.driver.until("check")
    pair.connection.shutdown()
    assert pair.driver.events[-1] in ("shutdown", "check")
    pair.connection.close()
    pair.driver.events.clear()
    pair.connection.shutdown()
    assert pair.driver.events == []
    pair.peer.close()
    await pair.close()


@on_each_loop
async def test_a_peer_that_goes_while_reading_is_paused_is_told_of() -> None:
    pair = await Pair().open()
    pair.connection.pause_reading()
    pair.peer.send(b"x" * 1000)
    pair.peer.close()
    if transport() == OURS:
        await pair.driver.until("hung up")
    assert b"x" * 1000 not in pair.driver.events
    pair.connection.resume_reading()
    await pair.driver.until("eof")
    assert b"x" * 1000 in pair.driver.events
    pair.connection.pause_reading()
    pair.connection.abort()
    await pair.driver.until("lost")


@on_each_loop
async def test_without_tls_there_is_nothing_to_tell_of_it() -> None:
    pair = await Pair().open()
    assert pair.connection.tls() is None
    pair.connection.abort()
    await pair.driver.until("lost")
    pair.peer.close()


@on_each_loop
async def test_what_is_told_of_tls_is_found_once_and_is_the_callers_own(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = make_context(authority.config(ssl_ca_certs=authority.roots, ssl_cert_reqs="required"))
    certificate = authority.issue(common_name="device 7")
    pair = Pair(context)
    opening = asyncio.ensure_future(pair.open())
    await settle()
    _, writer = await asyncio.open_connection(
        sock=pair.peer, ssl=authority.client(certificate), server_hostname="localhost"
    )
    await opening
    await pair.driver.until("connected")
    outlet = pair.driver.outlet  # uvloop has its own protocol in front of ours
    first = outlet.tls()
    second = outlet.tls()
    assert first is not None
    assert first == second
    assert first is not second
    assert first["client_cert_name"].startswith("CN=device 7,")
    assert first["client_cert_chain"] is second["client_cert_chain"]
    writer.close()
    if transport() == OURS:  # the loops' own ends both sides by itself
        await pair.driver.until("eof")
        outlet.close()
    await pair.driver.until("lost")


@on_each_loop
async def test_a_deadline_that_fails_ends_its_connection() -> None:
    pair = await Pair().open()
    told: list[Any] = []
    pair.loop.set_exception_handler(lambda loop, context: told.append(context["exception"]))
    error = RuntimeError("a fault of the driver's")

    def fails(now: float) -> float:
        raise error

    pair.driver.check = fails  # type: ignore[method-assign]
    assert pair.connection.tick(pair.loop.time()) == 0.0
    await pair.driver.until("lost")
    assert told == [error]
    pair.peer.close()
