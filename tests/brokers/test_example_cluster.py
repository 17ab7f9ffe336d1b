"""examples/cluster: two nodes, HAProxy and Redis; no message is lost when a node falls."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from examples.cluster.__main__ import NODES, Cluster, free_port, run, start

pytestmark = [
    pytest.mark.skipif(
        not (shutil.which("redis-server") and shutil.which("haproxy")),
        reason="redis-server or haproxy is not installed",
    ),
    pytest.mark.timeout(120),
]

CLIENTS = 8
#: What each says, and how many seconds are between two.
MESSAGES = 60
BETWEEN = 0.05
#: When the first node falls.
FALLS = 20


class Client:
    """What the page does: it comes back with where it was, and says again what was not confirmed."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.nodes: list[str] = []
        #: What came, by the client that said it; and what came twice with another place.
        self.heard: defaultdict[str, list[int]] = defaultdict(list)
        self.places: list[int] = []
        self.gone = 0
        self._port = port
        self._place: tuple[str, int] | None = None
        self._said = 0
        self._unconfirmed: dict[int, str] = {}
        self._socket: ClientConnection | None = None

    async def run(self) -> None:
        while True:
            query = ""
            if self._place is not None:
                query = f"?epoch={self._place[0]}&offset={self._place[1]}"
            with suppress(OSError, ConnectionClosed, InvalidHandshake):
                async with connect(
                    f"ws://127.0.0.1:{self._port}/{query}", proxy=None, open_timeout=5
                ) as socket:
                    self._socket = socket
                    for text in self._unconfirmed.values():
                        await socket.send(text)
                    async for message in socket:
                        self._take(json.loads(message))
            self._socket = None
            await asyncio.sleep(0.1)

    async def say(self, **fields: object) -> None:
        self._said += 1
        text = json.dumps({"name": self.name, "number": self._said, **fields})
        self._unconfirmed[self._said] = text
        if self._socket is not None:
            with suppress(ConnectionClosed):
                await self._socket.send(text)

    def has_all(self, names: list[str]) -> bool:
        return all(len(self.heard[name]) == MESSAGES for name in names)

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("kind") == "here":
            self.nodes.append(message["node"])
        elif message.get("kind") == "gone":
            self.gone += 1
        else:
            self._place = (message["epoch"], message["offset"])
            self.places.append(message["offset"])
            said = json.loads(message["text"])
            numbers = self.heard[said["name"]]
            if numbers and said["number"] <= numbers[-1]:
                return  # it was said again
            numbers.append(said["number"])
            if said["name"] == self.name:
                self._unconfirmed.pop(said["number"])


async def test_no_message_is_lost_when_a_node_falls(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, free_port())
    try:
        await asyncio.to_thread(cluster.start)
        clients = [Client(f"client-{number}", cluster.port) for number in range(CLIENTS)]
        names = [client.name for client in clients]
        running = [asyncio.create_task(client.run()) for client in clients]
        while not all(client.nodes for client in clients):
            await asyncio.sleep(0.05)
        assert {client.nodes[0] for client in clients} == set(NODES)
        for number in range(MESSAGES):
            if number == FALLS:
                os.kill(cluster.processes[NODES[0]].pid, signal.SIGKILL)
            for client in clients:
                await client.say(text=f"message {number}")
            await asyncio.sleep(BETWEEN)
            cluster.watch()
        while not all(client.has_all(names) for client in clients):
            await asyncio.sleep(0.05)
            cluster.watch()
        for task in running:
            task.cancel()
        for client in clients:
            for name in names:
                assert client.heard[name] == list(range(1, MESSAGES + 1))
            # Each place once, and none left out: the server lost nothing, and told nothing twice.
            assert client.places == list(range(1, len(client.places) + 1))
            assert not client.gone
        moved = [client for client in clients if client.nodes[0] == NODES[0]]
        assert moved
        assert all(len(client.nodes) > 1 for client in moved)
        # It is started again, and takes its part.
        while cluster.processes[NODES[0]].poll() is not None:
            await asyncio.sleep(0.1)
            cluster.watch()
    finally:
        await asyncio.to_thread(cluster.stop)


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(port) == 1
    assert f"port {port} is taken" in capsys.readouterr().err


def test_a_second_start_leaves_the_first_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "cluster.pid"
    state.write_text(str(os.getpid()))
    assert start(free_port(), state) == 1
    assert "it is running" in capsys.readouterr().err
    assert state.read_text() == str(os.getpid())


def test_what_does_not_start_is_told_with_its_log(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, free_port(), pubsub="redis://")
    try:
        with pytest.raises(RuntimeError, match=r"east does not listen on port (?s:.)*--pubsub"):
            cluster.start()
    finally:
        cluster.stop()
