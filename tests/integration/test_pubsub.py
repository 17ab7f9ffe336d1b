"""Topics in one process, over real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import textwrap
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.raw import CLOSE, TEXT, Raw
from tests.support.server import RunningServer, serve

APP = "pubsub_app:app"
PATIENCE = 20
PAGE = Path(__file__).resolve().parents[2] / "docs" / "pubsub.md"


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with serve(APP) as running:
        yield running


def client(server: RunningServer, path: str = "/") -> connect:
    return connect(server.ws_url(path), proxy=None)


def request(server: RunningServer, path: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(server.url(path), body, timeout=PATIENCE) as answer:
        found: bytes = answer.read()
        return found


async def do(socket: ClientConnection, *events: dict[str, Any]) -> None:
    await socket.send(json.dumps(events))


async def join(socket: ClientConnection, topic: str = "room", **more: Any) -> Any:
    """Subscribe, and wait until that is in force."""
    await do(socket, {"type": "websocket.subscribe", "topic": topic, "id": 0, **more})
    return json.loads(await get(socket))


async def get(socket: ClientConnection) -> Any:
    return await asyncio.wait_for(socket.recv(), PATIENCE)


def publish(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "websocket.publish", "topic": "room", "text": text, **more}


async def test_everybody_gets_everything_once_and_in_order(server: RunningServer) -> None:
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(client(server)) for _ in range(5)]
        for socket in sockets:
            await join(socket)
        for number, socket in enumerate(sockets):
            await do(socket, *(publish(f"{number} {count}") for count in range(50)))
        for socket in sockets:
            found = [await get(socket) for _ in range(250)]
            for number in range(5):
                own = [one for one in found if one.startswith(f"{number} ")]
                assert own == [f"{number} {count}" for count in range(50)]


async def test_to_the_client_and_to_the_application(server: RunningServer) -> None:
    async with client(server) as one, client(server) as other:
        await join(one)
        await join(other, deliver="app")
        await do(one, publish("text"), {**publish(""), "text": None, "bytes": "octets"})
        assert await get(one) == "text"
        assert await get(one) == b"octets"
        message = {"type": "websocket.message", "topic": "room"}
        assert json.loads(await get(other)) == {**message, "text": "text"}
        assert json.loads(await get(other)) == {**message, "bytes": "octets"}


async def test_acknowledgements(server: RunningServer) -> None:
    async with client(server) as socket:
        joined = await join(socket, "quiet")
        epoch = joined.pop("epoch")
        assert isinstance(epoch, str)
        told = {"id": 0, "topic": "quiet"}
        assert joined == {
            **told,
            "type": "websocket.subscribed",
            "offset": 0,
            "recovered": None,
        }
        await do(
            socket,
            {**publish("heard"), "topic": "quiet"},
            {"type": "websocket.unsubscribe", "topic": "quiet", "id": {"any": ["thing", None]}},
            {**publish("to nobody"), "topic": "quiet", "id": "p"},
        )
        # A message that was on its way when its subscription ended may be left out.
        found = [await get(socket) for _ in range(2)]
        if found[0] == "heard":
            found = [found[1], await get(socket)]
        assert [json.loads(one) for one in found] == [
            {"type": "websocket.unsubscribed", "id": {"any": ["thing", None]}, "topic": "quiet"},
            {"type": "websocket.published", "id": "p", "topic": "quiet"},
        ]
        await join(socket, "quiet")  # once more; what nobody heard is gone
        await do(socket, {**publish("again"), "topic": "quiet"})
        assert await get(socket) == "again"


async def test_all_but_the_publisher(server: RunningServer) -> None:
    async with client(server) as one, client(server) as other:
        await join(one)
        await join(other)
        await do(one, publish("to others", exclude_self=True), publish("to all"))
        assert await get(one) == "to all"
        assert [await get(other) for _ in range(2)] == ["to others", "to all"]


async def test_nothing_reaches_a_topic_of_another_name(server: RunningServer) -> None:
    async with client(server) as socket:
        await join(socket)
        await do(socket, {**publish("elsewhere"), "topic": "Room"}, publish("here"))
        assert await get(socket) == "here"


async def test_a_publishers_own_sends_keep_their_place(server: RunningServer) -> None:
    async with client(server) as socket:
        await join(socket)
        say = {"type": "websocket.send"}
        for round_ in range(20):
            await do(
                socket,
                publish(f"{round_} a"),
                {**say, "text": f"{round_} b"},
                publish(f"{round_} c"),
                {**say, "text": f"{round_} d"},
            )
        assert [await get(socket) for _ in range(80)] == [
            f"{round_} {letter}" for round_ in range(20) for letter in "abcd"
        ]


async def test_history(server: RunningServer) -> None:
    for number in range(3):
        request(server, "/publish", str(number).encode())
    async with client(server) as socket:
        joined = await join(socket, since="kept", offsets=True)
        assert joined["offset"] == 3
        found = [json.loads(await get(socket)) for _ in range(3)]
        assert [(one["text"], one["offset"]) for one in found] == [("0", 1), ("1", 2), ("2", 3)]
        last = found[1]
    async with client(server) as socket:
        since = {"epoch": last["epoch"], "offset": last["offset"]}
        assert (await join(socket, since=since))["recovered"] is True
        assert await get(socket) == "2"


async def test_what_is_not_kept_any_more_is_told(server: RunningServer) -> None:
    async with client(server) as socket:
        await do(
            socket,
            *(publish(str(number), keep={"messages": 2, "seconds": 60}) for number in range(5)),
        )
        epoch = (await join(socket))["epoch"]

        async def rejoin(since: Any) -> Any:
            await do(socket, {"type": "websocket.unsubscribe", "topic": "room"})
            return (await join(socket, since=since))["recovered"]

        async def heard(end: str) -> list[str]:
            await do(socket, publish(end, keep={"messages": 3, "seconds": 60}))
            found: list[str] = []
            while not found or found[-1] != end:
                found.append(await get(socket))
            return found

        assert await rejoin({"epoch": epoch, "offset": 2}) is False
        assert await heard("a") == ["a"]
        assert await rejoin({"epoch": "another", "offset": 4}) is False
        assert await heard("b") == ["b"]
        assert await rejoin({"epoch": epoch, "offset": 4}) is True
        assert await heard("c") == ["4", "a", "b", "c"]


async def test_the_last_value_is_kept(server: RunningServer) -> None:
    async with client(server) as socket:
        last = {"messages": 1, "seconds": 60}
        await do(socket, publish("old", keep=last), publish("new", keep=last))
        await join(socket, since="kept")
        assert await get(socket) == "new"


async def test_requests_threads_and_the_lifespan(server: RunningServer) -> None:
    async with client(server) as socket:
        await join(socket, deliver="app")
        await asyncio.to_thread(request, server, "/publish", b"from a request")
        event = json.loads(await get(socket))
        assert (event["type"], event["text"]) == ("websocket.message", "from a request")
        await asyncio.to_thread(request, server, "/thread")
        found = [json.loads(await get(socket))["text"] for _ in range(100)]
        assert found == [str(number) for number in range(100)]
    heard = json.loads(await asyncio.to_thread(request, server, "/heard"))
    assert heard == ["from a request", *found]
    server.stop()
    assert "the iteration has ended" in server.stderr()


@pytest.mark.parametrize(
    ("on_gap", "wanted"),
    [
        ("event", ["0", "1", ["busy", 3], "last"]),
        ("raise", ["0", "1", "3 of topic 'busy' were lost", 3, "last"]),
        ("ignore", ["0", "1", "last"]),
    ],
)
def test_a_task_that_is_behind(server: RunningServer, on_gap: str, wanted: list[Any]) -> None:
    assert json.loads(request(server, f"/behind/{on_gap}")) == wanted


async def test_one_that_does_not_read_holds_up_nobody() -> None:
    """One of 200: it is in another topic as well, whose messages fill its connection."""
    with (
        serve(APP, "--ws-max-outbound", "64KiB") as server,
        Raw.connect(server, 4096) as deaf,
    ):
        enter(deaf, [subscribe("room"), subscribe("large")])
        async with AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(client(server)) for _ in range(199)]
            for socket in sockets:
                await join(socket)
            for number in range(60):
                large = {**publish("x" * 60000), "topic": "large"}
                await do(sockets[0], large, publish(str(number)))
                for socket in sockets:
                    assert await get(socket) == str(number)
        server.wait_for_log(r"slow consumer: 65536 bytes wait to be sent \(ws_max_outbound\)")


@pytest.mark.parametrize("on_gap", ["event", "close"])
async def test_what_a_client_did_not_read_is_told(on_gap: str) -> None:
    """With `--ws-slow-consumer wait` it stays, and misses what it has no room for."""
    options = ("--ws-max-outbound", "64KiB", "--ws-slow-consumer", "wait")
    with serve(APP, *options) as server, Raw.connect(server, 4096) as deaf:
        enter(deaf, [subscribe("room", on_gap=on_gap)])
        async with client(server) as socket:
            await join(socket)
            for number in range(100):
                await do(socket, publish(f"{number} ".ljust(60000, "x")))
                assert len(await get(socket)) == 60000
        if on_gap == "close":
            found, end = await asyncio.to_thread(closed_with, deaf)
            assert end == (1013, "messages were lost")
        else:
            found = await asyncio.to_thread(read_with_gaps, deaf, 100)
        assert found == list(range(len(found)))
        assert 0 < len(found) < 100


async def test_only_what_is_latest() -> None:
    """A client that did not read is sent the last message of each key, and not all of them."""
    with serve(APP) as server, Raw.connect(server, 4096) as deaf:
        enter(deaf, [subscribe("room", overflow="latest")])
        async with client(server) as socket:
            await join(socket)
            for number in range(200):
                text = f"{number} ".ljust(60000, "x")
                await do(socket, publish(text, key=str(number % 2)))
                assert await get(socket) == text
            found = await asyncio.to_thread(numbers_until, deaf, {198, 199})
            assert found == sorted(found)
            assert found[-2:] == [198, 199]
            assert len(found) < 200
            await do(socket, publish("200 and on"))
            assert await asyncio.to_thread(deaf.message) == "200 and on"


def subscribe(topic: str, **more: Any) -> dict[str, Any]:
    return {"type": "websocket.subscribe", "topic": topic, **more}


def enter(raw: Raw, events: list[dict[str, Any]]) -> None:
    """Open the WebSocket, and have the events sent; returns once that was done."""
    raw.upgrade("/")
    last = {"type": "websocket.send", "text": "done"}
    raw.send_frame(TEXT, json.dumps([*events, last]).encode())
    assert raw.message() == "done"


def number_of(message: str | bytes) -> int:
    assert isinstance(message, str)
    return int(message.split(" ", 1)[0])


def numbers_until(raw: Raw, wanted: set[int]) -> list[int]:
    """The numbers of the messages, up to the one with which all that are wanted were there."""
    found: list[int] = []
    while not wanted.issubset(found):
        found.append(number_of(raw.message()))
    return found


def read_with_gaps(raw: Raw, published: int) -> list[int]:
    """The numbers of the messages, which are all that were published with those that gaps tell of."""
    found: list[int] = []
    lost = 0
    while len(found) + lost < published:
        message = raw.message()
        assert isinstance(message, str)
        if message.startswith("{"):
            event = json.loads(message)
            assert (event["type"], event["topic"]) == ("websocket.gap", "room")
            lost += event["lost"]
        else:
            found.append(number_of(message))
    assert len(found) + lost == published
    return found


def closed_with(raw: Raw) -> tuple[list[int], tuple[int, str]]:
    """The numbers of the messages up to the close frame, and what that says."""
    found: list[int] = []
    while (frame := raw.frame()).opcode == TEXT:
        found.append(number_of(frame.payload.decode()))
    assert frame.opcode == CLOSE
    return found, (int.from_bytes(frame.payload[:2], "big"), frame.payload[2:].decode())


@pytest.mark.parametrize(
    ("event", "wanted"),
    [
        (subscribe(""), "1 to 255 characters (max_topic)"),
        (subscribe("x" * 256), "1 to 255 characters (max_topic), and this one 256"),
        (subscribe("a\nb"), "no control characters"),
        (subscribe("room"), "already subscribed to 'room'"),
        (subscribe("third"), "at most 2 subscriptions (max_subscriptions)"),
        (subscribe("x", on_gap="raise"), "'on_gap' is one of 'event', 'close', 'ignore'"),
        (subscribe("x", since={"offset": 1}), "'since' needs a dict with 'epoch' and 'offset'"),
        ({"type": "websocket.unsubscribe", "topic": "x"}, "not subscribed to 'x'"),
        (publish("x" * 1025), "at most 1024 bytes (max_message), and this one 1025"),
        (publish("x", bytes="x"), "one of 'text' and 'bytes'"),
        (publish("x", keep={"messages": 1}), "'keep' needs a dict with 'messages' and 'seconds'"),
    ],
)
async def test_a_mistake_is_told_and_the_connection_goes_on(
    event: dict[str, Any], wanted: str
) -> None:
    options = ("--pubsub-max-subscriptions", "2", "--pubsub-max-message", "1KiB")
    with serve(APP, *options) as server:
        async with client(server) as socket:
            await join(socket)
            await join(socket, "second")
            await do(socket, event)
            error = json.loads(await get(socket))["error"]
            assert error.startswith(event["type"])
            assert wanted in error
            await do(socket, publish("on"))
            assert await get(socket) == "on"


async def test_nothing_is_subscribed_before_the_accept(server: RunningServer) -> None:
    async with client(server, "/early") as socket:
        assert "websocket.subscribe" in json.loads(await get(socket))["error"]
        await join(socket)


async def test_too_much_is_refused_and_the_connection_goes_on(server: RunningServer) -> None:
    async with client(server) as socket:
        await join(socket)
        await do(socket, {"type": "flood"})
        answer = json.loads(await get(socket))
        assert answer["class"] == "TooMuchQueued"
        assert "16777216 bytes" in answer["error"]
        await do(socket, publish("on"))
        assert await get(socket) == "on"


@pytest.mark.parametrize("value", ["host", "off"])
def test_topics_can_be_switched_off(value: str) -> None:
    with serve(APP, "--pubsub", value) as server:
        names = json.loads(request(server, "/extensions"))
        assert ("asgiws.pubsub" in names) == (value == "host")


def blocks() -> list[str]:
    """The code of the page."""
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


async def test_the_tutorial(tmp_path: Path) -> None:
    (tmp_path / "chat.py").write_text(blocks()[0])
    with serve("chat:app", "--workers", "2", cwd=tmp_path) as server:
        async with AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(client(server)) for _ in range(6)]
            for number, socket in enumerate(sockets):
                await socket.send(f"here is {number}")
                while (
                    await get(socket) != f"here is {number}"
                ):  # what comes back shows it is subscribed
                    pass
            for socket in sockets:
                await socket.send("the end of the greetings")
                for other in sockets:
                    while await get(other) != "the end of the greetings":
                        pass


async def test_the_other_code_of_the_page(tmp_path: Path) -> None:
    _, task, _, _, _, again = (textwrap.indent(block, "    ") for block in blocks())
    (tmp_path / "page.py").write_text(f"""\
import asyncio
import json

said = []

def print(*words):
    said.append(words)

async def task(scope):
{task}
async def again(send):
{again}
async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    background = None
    while (event := await receive())["type"] != "websocket.disconnect":
        if event["type"] == "websocket.connect":
            await send({{"type": "websocket.accept"}})
            await again(send)
        elif event["type"] == "websocket.subscribed":
            background = asyncio.create_task(task(scope))
            await send({{"type": "websocket.send", "text": json.dumps(event)}})
        elif event["type"] == "websocket.receive":
            await send({{"type": "websocket.send", "text": json.dumps(said)}})
    background.cancel()
""")
    with serve("page:app", cwd=tmp_path) as server:
        async with client(server) as socket:
            joined = json.loads(await get(socket))
            assert (joined["topic"], joined["recovered"]) == ("room", False)
            # It is published before the subscription of the same task, and comes to that of the WebSocket.
            message = json.loads(await get(socket))
            assert message["text"] == "the server restarts in five minutes"
            async with client(server) as other:
                await get(other)
                await get(other)
            while not json.loads(await ask(socket)):
                pass
            assert json.loads(await ask(socket))[0] == ["room", message["text"]]


async def ask(socket: ClientConnection) -> str:
    """What the application has been said so far."""
    await socket.send("?")
    while not (answer := await get(socket)).startswith("["):
        pass
    return str(answer)


async def test_the_code_for_frameworks_of_the_page(tmp_path: Path) -> None:
    _, _, room, layers, middleware, _ = blocks()
    heading = "from fastapi import FastAPI, WebSocket\n\napp = FastAPI()\n\n"
    (tmp_path / "rooms.py").write_text(heading + room + middleware + layers)
    with serve("rooms:app", "--workers", "2", cwd=tmp_path) as server:
        async with AsyncExitStack() as stack:
            sockets = [
                await stack.enter_async_context(client(server, path="/room")) for _ in range(4)
            ]
            for number, socket in enumerate(sockets):
                await socket.send(str(number))
                while await get(socket) != str(number):
                    pass
            await sockets[0].send("all are here")
            for socket in sockets:
                while await get(socket) != "all are here":
                    pass
