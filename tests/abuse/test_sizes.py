"""Who sends too much: each size is known to be allowed before anything is kept of it."""

from __future__ import annotations

import select
import zlib

import pytest

from tests.abuse.harness import GROWTH, MEGABYTE, Abuse, ended, get, post, push
from tests.support.raw import BINARY, CONTINUATION, TEXT, Raw, close_frame, frame

#: How many abuse at once.
MANY = 20
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def readable(raw: Raw) -> bool:
    """Whether something comes within a second."""
    return bool(select.select([raw.sock], [], [], 1)[0])


def answered(raw: Raw, data: bytes) -> int:
    """The status that is answered to what is sent as far as it is taken; the connection must end in order."""
    push(raw, data)
    response = raw.response()
    assert response.get("connection") == "close"
    return response.status


# HTTP.


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"GET /" + b"a" * 2 * MEGABYTE, 414, id="line"),
        pytest.param(get("/tasks")[:-2] + b"X: " + b"a" * 2 * MEGABYTE, 431, id="one field"),
        pytest.param(get("/tasks")[:-2] + (b"X: " + b"a" * 990 + b"\r\n") * 2000, 431, id="fields"),
        pytest.param(get("/tasks")[:-2] + b"X: y\r\n" * 2000, 431, id="many fields"),
    ],
)
def test_large_heads(abuse: Abuse, data: bytes, status: int) -> None:
    """Request heads of 2 MB, or with 2,000 fields"""
    with abuse() as scene:
        for raw in scene.raws_of(MANY):
            assert answered(raw, data) == status
        assert "tasks began" in scene.report()


def test_head_options(abuse: Abuse) -> None:
    """Request heads above limits of one's own"""
    limits = {
        "--limit-request-line": "64",
        "--limit-header-bytes": "512",
        "--limit-header-count": "8",
    }
    with abuse(*(part for item in limits.items() for part in item)) as scene:
        assert scene.raw().request(get("/" + "tasks")).status == 200
        assert answered(scene.raw(), get("/" + "a" * 64)) == 414
        assert answered(scene.raw(), get("/tasks", "X: " + "a" * 512)) == 431
        assert answered(scene.raw(), get("/tasks", *["X: y"] * 8)) == 431
        for option in limits:
            scene.server.wait_for_log(rf"\({option.strip('-').replace('-', '_')}\)")


def test_large_body_announced(abuse: Abuse) -> None:
    """Request bodies that are announced as too large"""
    with abuse("--limit-request-body", "1MiB") as scene:
        for raw in scene.raws_of(MANY):
            head = post("/read", f"Content-Length: {MEGABYTE + 1}")
            assert answered(raw, head + bytes(MEGABYTE + 1)) == 413
        assert "read began" not in scene.report()
        allowed = post("/read", f"Content-Length: {MEGABYTE}") + bytes(MEGABYTE)
        assert scene.raw().request(allowed).body == b"1048576"


def test_large_body_chunked(abuse: Abuse) -> None:
    """Request bodies without a length that become too large"""
    with abuse("--limit-request-body", "1MiB") as scene:
        chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
        for raw in scene.raws_of(MANY):
            head = post("/read", "Transfer-Encoding: chunked")
            assert answered(raw, head + chunk * 160) == 413
        scene.until("read disconnected", MANY)
        allowed = post("/read", "Transfer-Encoding: chunked") + chunk * 16 + b"0\r\n\r\n"
        assert scene.raw().request(allowed).body == b"1048576"


def test_body_that_is_not_read(abuse: Abuse) -> None:
    """Request bodies without an end, for an application that does not read them"""
    with abuse() as scene:
        raws = scene.raws_of(5)
        for raw in raws:
            raw.send(post("/unread", "Content-Length: 1000000000"))
            assert push(raw, bytes(64 * MEGABYTE), quiet=0.2) < 64 * MEGABYTE
        scene.victim.served()
        assert scene.raw().request(get("/release")).status == 200
        for raw in raws:
            assert raw.response().body == b"unread"


def test_tiny_chunks_that_are_not_read(abuse: Abuse) -> None:
    """Request bodies in chunks of two octets, for an application that does not read them"""
    with abuse() as scene:
        raws = scene.raws_of(5)
        data = b"2\r\nab\r\n" * 33000
        for raw in raws:
            raw.send(post("/unread", "Transfer-Encoding: chunked"))
            push(raw, data, quiet=0.1)
        scene.victim.served()
        assert scene.raw().request(get("/release")).status == 200
        for raw in raws:
            assert raw.response().body == b"unread"


# WebSocket.


def test_message_announced_as_too_large(abuse: Abuse) -> None:
    """Messages that are announced as too large"""
    with abuse("--ws-max-size", "1MiB") as scene:
        for size in (MEGABYTE + 1, (1 << 63) - 1):
            for _ in range(MANY):
                raw = scene.opened("/echo")
                raw.send_frame(BINARY, b"only this", length=size)
                assert raw.close_frame()[0] == 1009
        scene.until("echo 1009", 2 * MANY)


def test_message_that_is_announced_and_does_not_come(abuse: Abuse) -> None:
    """Messages of the largest size that are announced, and of which little comes"""
    with abuse() as scene:
        raws = [scene.opened("/echo") for _ in range(200)]
        for raw in raws:
            raw.send_frame(BINARY, bytes(1000), length=16 * MEGABYTE)
        scene.victim.served()


def test_message_in_fragments_too_large(abuse: Abuse) -> None:
    """Messages that become too large by their fragments"""
    with abuse("--ws-max-size", "1MiB") as scene:
        fragment = bytes(65536)
        data = frame(BINARY, fragment, fin=False)
        data += frame(CONTINUATION, fragment, fin=False) * 100
        for _ in range(MANY):
            raw = scene.opened("/echo")
            push(raw, data)
            assert raw.close_frame()[0] == 1009
        scene.until("echo 1009", MANY)


def test_compression_bomb(abuse: Abuse) -> None:
    """Compressed messages that become a thousand times as large (16 KiB that inflate to 16 MiB)"""
    deflate = zlib.compressobj(9, wbits=-12)
    bomb = deflate.compress(bytes(16 * MEGABYTE)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 20000
    with abuse("--ws-max-size", "1MiB") as scene:
        for _ in range(MANY):
            raw = scene.opened("/echo", DEFLATE)
            raw.send_frame(BINARY, bomb.removesuffix(b"\0\0\xff\xff"), rsv=4)
            assert raw.close_frame()[0] == 1009
        scene.until("echo 1009", MANY)


def test_compression_bombs_that_are_allowed(abuse: Abuse) -> None:
    """Compressed messages of 1 MiB each, 200 in a read, for an application that takes none"""
    deflate = zlib.compressobj(9, wbits=-12)
    message = deflate.compress(bytes(MEGABYTE)) + deflate.flush(zlib.Z_FULL_FLUSH)
    data = frame(BINARY, message.removesuffix(b"\0\0\xff\xff"), rsv=4) * 200
    with abuse("--ws-cancel-after", "0.5") as scene:
        for _ in range(2):
            scene.opened("/deaf", DEFLATE).send(data)
        scene.victim.served()


def test_compression_bombs_that_do_not_end(abuse: Abuse) -> None:
    """Compressed messages of 16 MiB from 16 KiB each but for the last octet, from 32 clients, and plain ones"""
    deflate = zlib.compressobj(9, wbits=-12)
    bomb = deflate.compress(bytes(16 * MEGABYTE)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    limit = 32 * MEGABYTE
    # What grows by and by has an eighth to spare, or is copied.
    with abuse("--limit-incoming", "32MiB", growth=limit + 3 * GROWTH) as scene:
        for data in (
            frame(BINARY, bomb.removesuffix(b"\0\0\xff\xff"), rsv=4)[:-1],
            frame(BINARY, bytes(4 * MEGABYTE), fin=False),
        ):
            raws = [scene.opened("/echo", DEFLATE) for _ in range(32)]
            for raw in raws:
                raw.send(data)
            closed = sum(raw.close_frame()[0] == 1013 for raw in raws if readable(raw))
            assert closed >= 24
            scene.victim.served()
        scene.server.wait_for_log(r"\(limit_incoming\)")


def test_messages_for_a_deaf_application(abuse: Abuse) -> None:
    """Compressed messages of 16 MiB from 16 KiB each, from 32 clients, for an application that takes none"""
    deflate = zlib.compressobj(9, wbits=-12)
    bomb = deflate.compress(bytes(16 * MEGABYTE)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    data = frame(BINARY, bomb.removesuffix(b"\0\0\xff\xff"), rsv=4)
    options = ("--limit-incoming", "32MiB", "--ws-cancel-after", "0.5")
    # One message more than the limit, and what is joined for it.
    with abuse(*options, growth=80 * MEGABYTE) as scene:
        raws = [scene.opened("/deaf", DEFLATE) for _ in range(32)]
        for raw in raws:
            raw.send(data)
        scene.server.wait_for_log(r"\(limit_incoming\)")
        scene.victim.served()


# Fragments.


def fragmented(payload: bytes, size: int) -> bytes:
    """The payload as a message in fragments of `size`."""
    pieces = [payload[start : start + size] for start in range(0, len(payload), size)]
    frames = [frame(BINARY, pieces[0], fin=False)]
    frames += [frame(CONTINUATION, piece, fin=False) for piece in pieces[1:]]
    frames.append(frame(CONTINUATION, b""))
    return b"".join(frames)


def test_a_message_in_65537_fragments_passes(abuse: Abuse) -> None:
    """A message of 4 MiB in 65,537 fragments, which must pass"""
    payload = bytes(range(256)) * (4 * MEGABYTE // 256)
    with abuse() as scene:
        raw = scene.opened("/count")
        raw.send(fragmented(payload, 64))
        raw.send_frame(TEXT, b"count")
        assert raw.message() == f"1 {len(payload)}"


@pytest.mark.parametrize("size", [0, 1])
def test_endless_fragments(abuse: Abuse, size: int) -> None:
    """Messages of empty fragments, or of one octet each, without an end"""
    with abuse("--ws-max-fragments", "131072") as scene:
        data = frame(CONTINUATION, b"a" * size, fin=False) * 65536
        for _ in range(3):
            raw = scene.opened("/count")
            raw.send_frame(BINARY, b"a", fin=False)
            for _ in range(4):
                push(raw, data)
            assert raw.close_frame()[0] == 1008
        scene.victim.served()


def test_too_many_fragments(abuse: Abuse) -> None:
    """Messages of more fragments than a limit of one's own"""
    with abuse("--ws-max-fragments", "100") as scene:
        for _ in range(MANY):
            raw = scene.opened("/echo")
            raw.send(frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", fin=False) * 98)
            raw.send(frame(CONTINUATION, b"c"))
            assert raw.message() == "a" + "b" * 98 + "c"
            raw.send(frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", fin=False) * 100)
            assert raw.close_frame()[0] == 1008
        scene.until("echo 1008", MANY)


def test_one_octet_fragments_of_many(abuse: Abuse) -> None:
    """Messages in fragments of one octet, from many clients"""
    with abuse() as scene:
        raws = [scene.opened("/count") for _ in range(MANY)]
        data = fragmented(b"a" * 10000, 1)
        for raw in raws:
            raw.send(data + frame(TEXT, b"count"))
        for raw in raws:
            assert raw.message() == "1 10000"
            raw.send(close_frame())
        assert [answer is not None for answer in ended(raws)] == [True] * MANY
