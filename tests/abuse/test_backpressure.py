"""Who does not listen: a slow application, and a slow client."""

from __future__ import annotations

import contextlib
import time

import pytest

from tests.abuse.harness import MEGABYTE, Abuse, Scene, ended, get, push
from tests.support.pki import Certificate
from tests.support.raw import BINARY, CLOSE, PING, PONG, TEXT, Frame, Raw, close_frame, frame

#: More than may wait for an application.
FULL = frame(BINARY, bytes(300000))


def next_but_text(raw: Raw) -> Frame:
    """The next frame that is no text."""
    while (got := raw.frame()).opcode == TEXT:
        pass
    return got


# The application is slow.


@pytest.mark.parametrize("size", [0, 65536])
def test_data_for_a_deaf_application(abuse: Abuse, size: int) -> None:
    """Messages without an end for an application that takes none"""
    with abuse("--ws-cancel-after", "0.5") as scene:
        data = frame(BINARY, bytes(size)) * (64 * MEGABYTE // (size + 14))
        for _ in range(4):
            assert push(scene.opened("/deaf"), data) < len(data)
        scene.victim.served()
        for raw in scene.raws:
            raw.reset()
        scene.until("deaf cancelled", 4)


def test_pings_behind_a_full_queue(abuse: Abuse) -> None:
    """A client that sends more than the application takes is still there: its pings are answered"""
    with abuse("--ws-cancel-after", "0.5") as scene:
        raw = scene.opened("/deaf")
        raw.send(FULL)
        for number in range(10):
            scene.victim.served(2)
            raw.send_frame(PING, bytes([number]))
            assert raw.frame()[:2] == (PONG, bytes([number]))


def test_pongs_behind_a_full_queue(abuse: Abuse) -> None:
    """A client that sends more than the application takes, and answers pings: its pongs are seen"""
    with abuse("--ws-ping-interval", "0.3", "--ws-cancel-after", "0.5") as scene:
        raw = scene.opened("/deaf")
        raw.send(FULL)
        for _ in range(6):  # the next ping comes after the pong, or after the timeout of 20 seconds
            got = raw.frame()
            assert got.opcode == PING
            raw.send_frame(PONG, got.payload)
        scene.victim.served()


@pytest.mark.parametrize("full", [False, True], ids=["empty", "full"])
@pytest.mark.parametrize("how", ["close", "reset", "shut"])
def test_who_leaves_a_deaf_application(abuse: Abuse, how: str, full: bool) -> None:
    """Clients that leave an application that never calls receive()"""
    with abuse("--ws-ping-interval", "0.5", "--ws-ping-timeout", "5") as scene:
        raws = [scene.opened("/deaf_pusher") for _ in range(20)]
        for raw in raws:
            if full:
                raw.send(FULL)
            assert raw.message() == "pushed"
        scene.victim.served()
        for raw in raws:
            if how == "close":
                raw.send(close_frame(4000, "leaving"))
            elif how == "reset":
                raw.reset()
            else:
                raw.shut()
        if how == "close":
            for raw in raws:
                assert next_but_text(raw).payload == b"\x0f\xa0leaving"
        scene.until("deaf_pusher told by send", len(raws))


@pytest.mark.parametrize("full", [False, True], ids=["empty", "full"])
@pytest.mark.parametrize("how", ["close", "reset", "shut"])
def test_an_application_that_hears_nothing_is_cancelled(abuse: Abuse, how: str, full: bool) -> None:
    """Clients that leave an application that calls nothing at all"""
    with abuse("--ws-cancel-after", "0.5", "--ws-ping-interval", "0.5") as scene:
        raws = [scene.opened("/deaf") for _ in range(20)]
        for raw in raws:
            if full:
                raw.send(FULL)
            if how == "close":
                raw.send(close_frame(4000))
            elif how == "reset":
                raw.reset()
            else:
                raw.shut()
        scene.until("deaf cancelled", len(raws))


# The client is slow.


def wedged(scene: Scene, path: str) -> Raw:
    """A WebSocket whose client has a small window and does not read."""
    return scene.opened(path, receive_buffer=4096)


def last_frame(raw: Raw) -> Frame | None:
    """The last frame that comes; None when the connection is cut."""
    last = None
    with contextlib.suppress(ConnectionResetError):
        while raw.buffer or raw._more():
            last = raw.frame()
        return last
    return None


def test_slow_reader_waits(abuse: Abuse) -> None:
    """A client that does not read, for an application that sends without an end, where it is to wait"""
    with abuse("--ws-slow-consumer", "wait", "--ws-send-timeout", "0.3") as scene:
        raws = [wedged(scene, "/endless") for _ in range(10)]
        started = time.monotonic()
        while time.monotonic() < started + 1.5:
            scene.victim.served(1)
        assert "endless told by send" not in scene.report()
        for raw in raws:
            assert raw.frame() == Frame(BINARY, bytes(65536))
        for raw in raws:
            raw.reset()
        scene.until("endless told by send", len(raws))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_slow_reader_is_closed(abuse: Abuse, certificate: Certificate, tls: bool) -> None:
    """A client that does not read, for an application that sends without an end"""
    with abuse("--ws-send-timeout", "1", tls=certificate if tls else None) as scene:
        raws = [wedged(scene, "/endless") for _ in range(10)]
        scene.until("endless told by send", len(raws))
        for raw in raws:
            last = last_frame(raw)
            assert last is not None
            assert last.opcode == CLOSE
            assert last.payload[:2] == (1013).to_bytes(2, "big")


def test_slow_reader_is_cut(abuse: Abuse) -> None:
    """A client that does not read, for an application that sends without an end, where it is cut"""
    with abuse("--ws-send-timeout", "1", "--ws-slow-consumer", "abort") as scene:
        raws = [wedged(scene, "/endless") for _ in range(10)]
        scene.until("endless told by send", len(raws))
        assert [last_frame(raw) for raw in raws] == [None] * len(raws)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_application_that_does_not_wait_for_send(
    abuse: Abuse, certificate: Certificate, tls: bool
) -> None:
    """A client that does not read, for an application that does not wait for send()"""
    with abuse("--ws-max-outbound", "1MiB", tls=certificate if tls else None) as scene:
        raws = [wedged(scene, "/unwaiting") for _ in range(5)]
        scene.until("unwaiting told by send", len(raws))
        for raw in raws:
            last = last_frame(raw)
            assert last is not None
            assert last.payload[:2] == (1013).to_bytes(2, "big")


def test_broadcast_with_one_that_does_not_read(abuse: Abuse) -> None:
    """A client that does not read, among many that an application sends to one after the other"""
    with abuse("--ws-send-timeout", "1") as scene:
        members = [scene.opened("/member") for _ in range(5)]
        wedged(scene, "/member")
        members += [scene.opened("/member") for _ in range(5)]
        speaker = members[0]
        for number in range(100):
            message = bytes([number]) * 65536
            speaker.send_frame(BINARY, message)
            for member in members:
                assert member.message() == message
        scene.until("member returned", 1)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_slow_download(abuse: Abuse, certificate: Certificate, tls: bool) -> None:
    """A client that requests a response without an end and does not read it"""
    with abuse("--timeout-send", "1", tls=certificate if tls else None) as scene:
        raws = [scene.raw(receive_buffer=4096) for _ in range(10)]
        for raw in raws:
            raw.send(get("/download"))
        scene.until("download told by send", len(raws))
        assert ended(raws) == [None] * len(raws)


def test_slow_download_that_goes_on(abuse: Abuse) -> None:
    """A client that reads slowly, and steadily: it is served"""
    with abuse("--timeout-send", "2") as scene:
        raw = scene.raw(receive_buffer=65536)
        raw.send(get("/download"))
        started = time.monotonic()
        read = 0
        while time.monotonic() < started + 4:
            raw.read(131072)
            read += 131072
            scene.victim.served(1)
        assert "download told by send" not in scene.report()
        raw.reset()
        scene.until("download told by send")
