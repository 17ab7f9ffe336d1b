"""Topics in one process, over real sockets."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.raw import TEXT, Raw
from tests.support.server import RunningServer, serve

APP = "pubsub_app:app"
PATIENCE = 20
PAGE = Path(__file__).resolve().parents[2] / "docs" / "pubsub.md"


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with serve(APP) as running:
        yield running


def client(server: RunningServer) -> connect:
    return connect(server.ws_url("/"), proxy=None)


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


async def test_one_that_does_not_read_holds_up_nobody() -> None:
    with (
        serve(APP, "--ws-max-outbound", "64KiB") as server,
        Raw.connect(server, 4096) as deaf,
    ):
        deaf.upgrade("/")
        subscribe = json.dumps([{"type": "websocket.subscribe", "topic": "room"}])
        deaf.send_frame(TEXT, subscribe.encode())
        async with AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(client(server)) for _ in range(20)]
            for socket in sockets:
                await join(socket)
            for _ in range(60):
                await do(sockets[0], publish("x" * 60000))
                for socket in sockets:
                    assert len(await get(socket)) == 60000
        server.wait_for_log(r"slow consumer: 65536 bytes wait to be sent \(ws_max_outbound\)")


async def test_a_mistake_is_told_and_the_connection_goes_on(server: RunningServer) -> None:
    async with client(server) as socket:
        await do(socket, {"type": "websocket.subscribe", "topic": ""})
        assert "topic" in json.loads(await get(socket))["error"]
        await join(socket)
        await do(socket, publish("on"))
        assert await get(socket) == "on"


@pytest.mark.parametrize("value", ["host", "off"])
def test_topics_can_be_switched_off(value: str) -> None:
    with serve(APP, "--pubsub", value) as server:
        names = json.loads(request(server, "/extensions"))
        assert ("asgiws.pubsub" in names) == (value == "host")


async def test_the_tutorial(tmp_path: Path) -> None:
    code = PAGE.read_text().split("```python\n", 1)[1].partition("```")[0]
    (tmp_path / "chat.py").write_text(code)
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
