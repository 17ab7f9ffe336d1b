"""Topics: clients and applications that subscribe and publish without measure."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from asgiws.topics.linked import BACKLOG
from asgiws.topics.local import QUEUE
from tests.abuse.harness import (
    ABUSER,
    GROWTH,
    MEGABYTE,
    Abuse,
    Watch,
    connect,
    flood,
    processes,
)
from tests.support.raw import CLOSE, TEXT, TIMEOUT, Raw, close_frame, frame
from tests.support.server import RunningServer

APP = "topics_app:app"
#: Answers that the victim must get while an application publishes without a pause.
ANSWERS = 10

KIB = 1024
#: What may wait for a client that does not read, in the tests that have such clients.
OUTBOUND = 64 * KIB
OUTBOUND_OPTIONS = ("--ws-max-outbound", str(OUTBOUND))

Event = dict[str, Any]


def subscribe(topic: Any, **more: Any) -> Event:
    return {"type": "websocket.subscribe", "topic": topic, **more}


def unsubscribe(topic: Any, **more: Any) -> Event:
    return {"type": "websocket.unsubscribe", "topic": topic, **more}


def publish(topic: Any, text: str, **more: Any) -> Event:
    return {"type": "websocket.publish", "topic": topic, "text": text, **more}


def do(raw: Raw, *events: Event) -> None:
    raw.send_frame(TEXT, json.dumps(events).encode())


def told(raw: Raw) -> Any:
    return json.loads(raw.message())


# Many subscriptions.

SOCKETS, TOPICS = 100, 100


def test_ten_thousand_subscriptions(abuse: Abuse) -> None:
    """Ten thousand topics of a hundred WebSockets, six times; more than a WebSocket may have are refused"""
    with abuse("--pubsub-max-subscriptions", str(TOPICS), app=APP, growth=10 * MEGABYTE) as scene:
        for turn in range(6):
            raws = [scene.opened("/commands") for _ in range(SOCKETS)]
            for number, raw in enumerate(raws):
                topics = [f"{turn} {number} {topic}" for topic in range(TOPICS)]
                do(raw, *map(subscribe, topics), subscribe("one more"))
            for raw in raws:
                error = told(raw)
                assert error["class"] == "ApplicationError"
                assert f"{TOPICS} subscriptions (max_subscriptions)" in error["error"]
            for number, raw in enumerate(raws):
                if number % 2:
                    topics = [f"{turn} {number} {topic}" for topic in range(TOPICS)]
                    do(raw, *map(unsubscribe, topics), subscribe("in the end", id=number))
                    assert told(raw)["id"] == number
            for number, raw in enumerate(raws):
                if number % 4 < 2:
                    raw.reset()
                else:
                    raw.send(close_frame())
                    assert raw.close_frame()[0] == 1000
        scene.victim.served()


def test_topics_that_come_and_go(abuse: Abuse) -> None:
    """Subscriptions to ever new topics, and messages that these are to keep, each for a moment"""
    history = MEGABYTE
    with abuse("--pubsub-history", str(history), app=APP, growth=history + 3 * MEGABYTE) as scene:
        raws = [scene.opened("/commands") for _ in range(4)]
        for turn in range(50):
            for raw in raws:
                topics = [f"{turn} {id(raw)} {topic}" for topic in range(100)]
                events: list[Event] = []
                for topic in topics:
                    keep = {"messages": 10, "seconds": 3600}
                    events += (
                        subscribe(topic),
                        publish(topic, "kept", keep=keep),
                        unsubscribe(topic),
                    )
                do(raw, *events, subscribe("the last", id=turn), unsubscribe("the last"))
            for raw in raws:
                got = raw.message()
                while got == "kept":  # unless it was unsubscribed before it was delivered
                    got = raw.message()
                assert json.loads(got)["id"] == turn


# Clients that do not read.


def wedged(server: RunningServer, path: str) -> Raw:
    """A WebSocket whose client does not read, and for which the kernel keeps little: the less, the smaller
    its segments are."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    sock.settimeout(TIMEOUT)
    sock.bind((ABUSER, 0))
    sock.connect((server.host, server.port))
    raw = Raw(sock)
    raw.upgrade(path)
    return raw


CLIENTS = 1000
#: Messages are published in rounds of so many, which all but one read before the next.
ROUNDS, EACH, SIZE = 12, 10, 4 * KIB
#: What a WebSocket takes at most, in either build.
CONNECTION = 12 * KIB


@pytest.mark.parametrize("how", ["close", "wait"])
def test_one_of_a_thousand_does_not_read(abuse: Abuse, how: str) -> None:
    """A client that does not read, among a thousand of a topic"""
    growth = CLIENTS * CONNECTION + OUTBOUND + 3 * MEGABYTE
    options = (*OUTBOUND_OPTIONS, "--ws-slow-consumer", how)
    texts = [f"{number} {'x' * SIZE}" for number in range(ROUNDS * EACH)]
    with abuse(*options, app=APP, growth=growth) as scene:
        members = [scene.handshake("/room") for _ in range(CLIENTS - 1)]
        for member in members:
            member.read_until(b"\r\n\r\n")
            assert str(member.message()).startswith("pid ")
        slow = wedged(scene.server, "/room")
        scene.raws.append(slow)
        publisher = scene.opened("/commands")
        for start in range(0, len(texts), EACH):
            part = texts[start : start + EACH]
            do(publisher, *(publish("room", text) for text in part))
            wanted = b"".join(frame(TEXT, text.encode(), mask=None) for text in part)
            for member in members:
                assert member.read(len(wanted)) == wanted
        scene.victim.served()
        assert str(slow.message()).startswith("pid ")
        got = read_slowly(slow, len(texts))
        numbers = [int(str(one).split()[0]) for one in got.texts]
        assert numbers == sorted(set(numbers))
        assert len(numbers) < len(texts)
        if how == "close":
            assert got.code == 1013
            assert numbers == list(range(len(numbers)))
        else:
            assert len(numbers) + got.lost == len(texts)
        for member in members:
            assert not member.buffer


class Got:
    """What a client has read: messages of the topic, how many it was told were lost, and a close code."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.lost = 0
        self.code: int | None = None


def read_slowly(raw: Raw, count: int) -> Got:
    """Read until so many messages have come or are known to be lost, or the connection is closed."""
    got = Got()
    while len(got.texts) + got.lost < count:
        opcode, payload = raw.frame()[:2]
        if opcode == CLOSE:
            got.code = int.from_bytes(payload[:2], "big")
            break
        text = payload.decode()
        if text.startswith("lost "):
            got.lost += int(text[5:])
        else:
            got.texts.append(text)
    return got


# Applications that publish without a pause.

#: Clients of the topic, which do not read.
DEAF = 30
STORMING = 20


def rage(server: RunningServer, kind: str) -> ExitStack:
    """Have an application publish without a pause, as it does when this returns, until the stack is closed."""
    stack = ExitStack()
    if kind == "storm":
        raws = [stack.enter_context(connect(server)) for _ in range(STORMING)]
        for raw in raws:
            raw.upgrade("/storm")
            assert raw.message() == "in"
        raws[0].send_frame(TEXT, b"begin")
    else:
        for _ in range(DEAF):
            stack.enter_context(wedged(server, "/room")).frame()
        raws = [stack.enter_context(connect(server))]
        raws[0].upgrade(f"/{kind}")
    assert first_of(raws).message() == "refused"
    return stack


def first_of(raws: list[Raw]) -> Raw:
    """Wait until something comes on one of them."""
    numbers = select.select([raw.sock for raw in raws], [], [], TIMEOUT)[0]
    assert numbers, "nothing has come"
    return next(raw for raw in raws if raw.sock in numbers)


@pytest.mark.parametrize("kind", ["long_publisher", "hub_publisher", "storm"])
def test_publishing_without_a_pause(abuse: Abuse, kind: str) -> None:
    """An application that publishes in a loop, or at each message of the topic; a server that is to end
    meanwhile ends"""
    options = (
        *(*OUTBOUND_OPTIONS, "--ws-slow-consumer", "wait"),
        *("--ws-cancel-after", "0.3", "--timeout-graceful-shutdown", "1"),
    )
    # A storm's messages wait for applications, 256 KiB for each.
    growth = QUEUE + max(DEAF * OUTBOUND, STORMING * 256 * KIB) + GROWTH
    finish = partial(rage, kind=kind)
    with abuse(*options, app=APP, growth=growth, finish=finish) as scene, rage(scene.server, kind):
        refused = scene.report()["refused"]
        scene.victim.served(ANSWERS)
        assert scene.report()["refused"] > refused  # it goes on


# What cannot be.

BAD_TOPICS: list[tuple[Any, str]] = [
    ("", r"1 to 255 characters (max_topic), and this one 0"),
    ("x" * 256, r"1 to 255 characters (max_topic), and this one 256"),
    ("x" * 1_000_000, r"1 to 255 characters (max_topic), and this one 1000000"),
    ("\0", "a control character"),
    ("room\r\n", "a control character"),
    ("room\x85", "a control character"),
    ("\ud800", "a lone surrogate"),
    ("room\udfff", "a lone surrogate"),
    (None, "a topic is a str, not NoneType"),
    (5, "a topic is a str, not int"),
    (["room"], "a topic is a str, not list"),
    ({"room": 1}, "a topic is a str, not dict"),
]
BAD_SINCE: list[Any] = [
    -1,
    10**300,
    "",
    "KEPT",
    [],
    {},
    {"epoch": "x"},
    {"offset": 1},
    {"epoch": "", "offset": 1},
    {"epoch": 1, "offset": 1},
    {"epoch": "x" * 1_000_000, "offset": 1},
    {"epoch": "x", "offset": -1},
    {"epoch": "x", "offset": 2**62},
    {"epoch": "x", "offset": 10**300},
    {"epoch": "x", "offset": 1.5},
    {"epoch": "x", "offset": float("nan")},
    {"epoch": "x", "offset": True},
    {"epoch": "x", "offset": None},
]
#: Positions that no server has given, and that a server could have given.
UNKNOWN_SINCE: list[Any] = [
    {"epoch": "x", "offset": 0},
    {"epoch": "x" * 255, "offset": 2**62 - 1},
    {"epoch": "\ud800", "offset": 1},
    {"epoch": "\0", "offset": 1, "more": "x"},
]


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_topics_and_positions_that_cannot_be(abuse: Abuse, options: tuple[str, ...]) -> None:
    """Topics and positions that an application takes from its client as they are"""
    with abuse(*options, app=APP) as scene:
        raw = scene.opened("/commands")
        for topic, wrong in BAD_TOPICS:
            for event in (subscribe(topic), unsubscribe(topic), publish(topic, "x")):
                do(raw, event)
                assert_refused(told(raw), event, wrong)
        for since in BAD_SINCE:
            event = subscribe("room", since=since)
            do(raw, event)
            assert_refused(told(raw), event, "'since'")
        for number, since in enumerate(UNKNOWN_SINCE):
            do(raw, subscribe("room", since=since, id=number), unsubscribe("room"))
            answer = told(raw)
            assert answer["id"] == number
            assert answer["recovered"] is False
        do(raw, subscribe("room", id="at last"))
        assert told(raw)["id"] == "at last"
        do(raw, publish("room", "heard"))
        assert raw.message() == "heard"


def assert_refused(answer: Any, event: Event, wrong: str) -> None:
    assert answer["class"] == "ApplicationError", answer
    assert answer["error"].startswith(f"{event['type']}: "), answer
    assert wrong in answer["error"], answer
    assert len(answer["error"]) < 500


# Several workers.


def flooding(server: RunningServer, path: str) -> ExitStack:
    """Publish without a pause from one worker, while clients of both do not read, until the stack is closed.
    What an application publishes is more than its worker may keep for the hub process, which stands still at
    first."""
    stack = ExitStack()
    workers: set[str | bytes] = set()
    while len(workers) < 2:
        workers.add(stack.enter_context(wedged(server, "/room")).message())
    raw = stack.enter_context(connect(server))
    if path == "/relay":
        raw.upgrade(path)
        stack.enter_context(flood(raw, frame(TEXT, b"x" * 1000) * 1000, reading=False))
    else:
        hub = int(server.wait_for_log(r"hub \((\d+)\): Started")[1])
        os.kill(hub, signal.SIGSTOP)
        try:
            raw.upgrade(path)
            assert raw.message() == "refused"
        finally:
            os.kill(hub, signal.SIGCONT)
    return stack


@pytest.mark.parametrize("path", ["/relay", "/long_publisher", "/short_publisher"])
def test_a_flood_over_workers(abuse: Abuse, path: str) -> None:
    """A client, or an application, that publishes as fast as it can, where clients of another worker do not
    read; a server that is to end meanwhile ends"""
    queue = 2 * MEGABYTE
    options = (
        *("--workers", "2", "--pubsub-queue", str(queue), *OUTBOUND_OPTIONS),
        *("--ws-slow-consumer", "wait", "--timeout-graceful-shutdown", "1"),
    )
    # Of a process: what waits on its links, in both directions, and on its way to clients.
    growth = 2 * queue + 2 * BACKLOG + 3 * MEGABYTE
    finish = partial(flooding, path=path)
    with abuse(*options, app=APP, growth=4 * growth, finish=finish) as scene:
        watches = [Watch(pid) for pid in processes(scene.server.process.pid)[1:]]
        assert len(watches) == 3
        with flooding(scene.server, path):
            scene.victim.served(4 * ANSWERS)
        for watch in watches:
            watch.stop()
            grown = watch.most_memory() - watch.memory_before
            assert grown < growth, f"memory grew by {grown / MEGABYTE:.1f} MiB"
