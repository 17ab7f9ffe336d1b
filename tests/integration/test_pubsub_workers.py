"""Topics over several workers: what clients get, whatever becomes of workers, hub process and supervisor."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import urllib.request
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.server import RunningServer, is_alive, serve, start, wait_for_end

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers are not for Windows")


APP = "pubsub_workers_app:app"
#: No verdict hangs on it.
PATIENCE = 60.0
READY = re.compile(r"Worker (\d+) \((\d+)\) is ready")
HUB = re.compile(r"hub \((\d+)\): Started")


def workers(server: RunningServer) -> set[int]:
    """The processes that are alive."""
    return {int(pid) for _, pid in READY.findall(server.stderr()) if is_alive(int(pid))}


def hub_of(server: RunningServer) -> int:
    """The number of the latest hub process; 0 if there was none."""
    found = HUB.findall(server.stderr())
    return int(found[-1]) if found else 0


async def until(condition: Callable[[], object]) -> None:
    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.02)

    await asyncio.wait_for(wait(), PATIENCE)


class Client:
    """A client that writes down what it gets: `texts` was published, `events` is what the server told."""

    def __init__(self, websocket: ClientConnection, pid: int) -> None:
        self.websocket = websocket
        #: The process of its worker.
        self.pid = pid
        self.texts: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.reading = asyncio.create_task(self._read())

    @staticmethod
    async def of(server: RunningServer, stack: AsyncExitStack) -> Client:
        return await Client.at(server.ws_url("/"), stack)

    @staticmethod
    async def at(url: str, stack: AsyncExitStack) -> Client:
        opening = connect(url, max_queue=None, ping_interval=None, open_timeout=PATIENCE)
        websocket = await stack.enter_async_context(opening)
        hello = json.loads(await asyncio.wait_for(websocket.recv(), PATIENCE))
        return Client(websocket, hello["pid"])

    async def _read(self) -> None:
        try:
            async for text in self.websocket:
                assert isinstance(text, str)
                if text.startswith('{"event"'):
                    self.events.append(json.loads(text))
                else:
                    self.texts.append(text)
        except ConnectionClosed:
            pass

    async def send(self, kind: str, **more: Any) -> None:
        await self.websocket.send(json.dumps({"type": kind, **more}))

    async def subscribe(self, **more: Any) -> dict[str, Any]:
        """Returns the answer."""
        await self.send("subscribe", topic="room", id="s", **more)
        await until(lambda: self.told("subscribed") or self.reading.done())
        return self.told("subscribed")[0]

    async def publish(self, text: str, **more: Any) -> None:
        await self.send("publish", topic="room", text=text, **more)

    def told(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == event]


async def clients_of(server: RunningServer, stack: AsyncExitStack, each: int) -> list[Client]:
    """Clients that are subscribed, so many at each of four workers."""
    found: list[Client] = []
    while len({one.pid for one in found}) < 4 or len(found) < 4 * each:
        found.append(await Client.of(server, stack))
    for one in found:
        await one.subscribe()
    return found


def publications_of(texts: list[str], publisher: int) -> list[int]:
    """The numbers of what one of them published, in the order in which they came."""
    return [int(text.split()[1]) for text in texts if text.split()[0] == str(publisher)]


# Messages.


async def test_every_client_gets_every_message_once_and_in_order_per_publisher() -> None:
    with serve(APP, "--workers", "4") as server:
        async with AsyncExitStack() as stack:
            clients = await clients_of(server, stack, 3)

            async def publish(index: int) -> None:
                for number in range(100):
                    await clients[index].publish(f"{index} {number}")

            await asyncio.gather(*map(publish, range(len(clients))))
            total = 100 * len(clients)
            await until(lambda: all(len(one.texts) >= total for one in clients))
            for index in range(len(clients)):
                assert publications_of(clients[0].texts, index) == list(range(100))
            # And one order of all for everybody.
            assert all(one.texts == clients[0].texts for one in clients)
            assert not any(one.told("gap") for one in clients)
        assert len(HUB.findall(server.stderr())) == 1


async def test_requests_publish_too() -> None:
    with serve(APP, "--workers", "4") as server:
        async with AsyncExitStack() as stack:
            clients = await clients_of(server, stack, 1)

            def ask(number: int) -> None:
                urllib.request.urlopen(server.url(f"/publish/{number}"), timeout=PATIENCE).close()

            for number in range(20):
                await asyncio.to_thread(ask, number)
            await until(lambda: all(len(one.texts) >= 20 for one in clients))
            # They came to different workers, and each was answered after it was queued.
            assert all(sorted(map(int, one.texts)) == list(range(20)) for one in clients)


async def test_a_client_sees_what_it_publishes_and_what_it_is_sent_in_order() -> None:
    """The acknowledgement is sent by the application, the publication comes back from the hub process."""
    with serve(APP, "--workers", "2") as server:
        async with AsyncExitStack() as stack:
            client = await Client.of(server, stack)
            await client.subscribe()
            order: list[str] = []
            client.reading.cancel()
            await asyncio.gather(client.reading, return_exceptions=True)
            for number in range(50):
                await client.publish(str(number), id=number)
            while len(order) < 100:
                text = await asyncio.wait_for(client.websocket.recv(), PATIENCE)
                assert isinstance(text, str)
                order.append(text if "event" not in text else f"ack {json.loads(text)['id']}")
            assert [one for one in order if not one.startswith("ack")] == list(map(str, range(50)))
            for number in range(50):
                assert order.index(str(number)) < order.index(f"ack {number}")


# Workers that end.


async def test_a_worker_is_killed_and_nobody_else_loses_a_message() -> None:
    with serve(APP, "--workers", "4", expect_errors=True) as server:
        async with AsyncExitStack() as stack:
            clients = await clients_of(server, stack, 2)
            victim = clients[0].pid
            others = [one for one in clients if one.pid != victim]

            async def publish(index: int) -> None:
                for number in range(200):
                    await others[index].publish(f"{index} {number}")
                    if index == 0 and number == 100:
                        os.kill(victim, signal.SIGKILL)
                    await asyncio.sleep(0)

            await asyncio.gather(*map(publish, range(len(others))))
            await until(lambda: all(len(one.texts) >= 200 * len(others) for one in others))
            for one in others:
                for index in range(len(others)):
                    assert publications_of(one.texts, index) == list(range(200))
                assert not one.told("gap")
            # Its successor takes part.
            await until(lambda: len(workers(server)) == 4)
            while True:
                late = await Client.of(server, stack)
                if late.pid not in {one.pid for one in clients}:
                    break
            await late.subscribe()
            await others[0].publish("late")
            await until(lambda: late.texts)
            assert late.texts == ["late"]


async def test_a_rolling_restart_loses_nothing_for_clients_that_come_back() -> None:
    keep = {"messages": 10000, "seconds": 1000}
    with serve(APP, "--workers", "4", "--drain-window", "0.5") as server:
        before = workers(server)
        async with AsyncExitStack() as stack:
            publisher = await Client.of(server, stack)
            await publisher.publish("first", keep=keep, id=-1)
            await until(lambda: publisher.told("published"))
            codes: list[int | None] = []
            is_over = False

            async def listen() -> list[dict[str, Any]]:
                """What a client gets that comes back whenever it is sent away."""
                got: list[dict[str, Any]] = []
                since = None
                while True:
                    client = await Client.of(server, stack)
                    joined = await client.subscribe(offsets=True, since=since)
                    assert joined["recovered"] is (None if since is None else True)
                    if since is None:
                        since = {"epoch": joined["epoch"], "offset": joined["offset"]}
                    seen = 0
                    while not (client.reading.done() and seen == len(client.texts)):
                        for text in client.texts[seen:]:
                            got.append(json.loads(text))
                            since = {key: got[-1][key] for key in ("epoch", "offset")}
                        seen = len(client.texts)
                        if got and got[-1]["text"] == "end":
                            return got
                        await asyncio.sleep(0.01)
                    codes.append(client.websocket.close_code)
                    assert not client.told("gap")

            async def publish() -> None:
                """Publishes, and again what was not acknowledged."""
                client = publisher
                number = 0
                while not is_over:
                    if client.reading.done():
                        client = await Client.of(server, stack)
                    try:
                        await client.publish(str(number), keep=keep, id=number)
                    except ConnectionClosed:
                        await client.reading
                    while not client.reading.done():
                        if [one for one in client.told("published") if one["id"] == number]:
                            number += 1
                            break
                        await asyncio.sleep(0.002)
                if client.reading.done():
                    client = await Client.of(server, stack)
                await client.publish("end", keep=keep)

            listening = [asyncio.create_task(listen()) for _ in range(12)]
            publishing = asyncio.create_task(publish())
            await asyncio.sleep(0.2)
            server.send_signal(signal.SIGHUP)
            await until(lambda: "Replaced 4 workers" in server.stderr())
            await until(lambda: not any(map(is_alive, before)))
            is_over = True
            await publishing
            heard = await asyncio.gather(*listening)
        assert set(codes) == {1012}
        assert len(codes) >= 12
        for got in heard:
            offsets = [one["offset"] for one in got]
            assert offsets == list(range(offsets[0], offsets[-1] + 1))
            assert got[-1] == heard[0][-1]
            numbers = [int(one["text"]) for one in got[:-1] if one["text"] != "first"]
            assert numbers == sorted(numbers)
        assert len(HUB.findall(server.stderr())) == 1


async def test_a_worker_that_stands_still_costs_nobody_anything_and_hears_of_its_gap() -> None:
    options = ("--workers", "4", "--pubsub-queue", "1MiB")
    with serve(APP, *options) as server:
        async with AsyncExitStack() as stack:
            clients = await clients_of(server, stack, 2)
            victim = clients[0].pid
            others = [one for one in clients if one.pid != victim]
            slow = [one for one in clients if one.pid == victim]
            os.kill(victim, signal.SIGSTOP)
            try:
                for number in range(400):
                    await others[0].publish(f"0 {number} " + "x" * 10000)
                    if number % 20 == 19:  # no more than the publisher's own link holds
                        await until(lambda: len(others[0].texts) > number)  # noqa: B023
                await until(lambda: all(len(one.texts) >= 400 for one in others))
                assert not any(one.told("gap") for one in others)
                assert not any(one.texts for one in slow)
            finally:
                os.kill(victim, signal.SIGCONT)
            await until(lambda: all(one.told("gap") for one in slow))
            await others[0].publish("0 400")
            await until(lambda: all("0 400" in one.texts for one in slow))
            for one in slow:
                assert len(one.texts) + sum(gap["lost"] for gap in one.told("gap")) == 401
            for one in others:
                await until(lambda one=one: len(one.texts) == 401)  # type: ignore[misc]
                assert publications_of(one.texts, 0) == list(range(401))


# The hub process.


async def test_the_hub_process_is_killed_and_all_are_told_and_go_on() -> None:
    with serve(APP, "--workers", "4", expect_errors=True) as server:
        async with AsyncExitStack() as stack:
            clients = await clients_of(server, stack, 2)
            await clients[0].publish("0 0")
            await until(lambda: all(one.texts for one in clients))
            hub = hub_of(server)
            os.kill(hub, signal.SIGKILL)
            await until(lambda: all(one.told("gap") for one in clients))
            await until(lambda: hub_of(server) != hub)
            await until(lambda: all(one.told("gap")[0]["lost"] is None for one in clients))
            # A client that subscribes now shows that the others' worker is linked again.
            number = 1
            while not all(one.texts[-1].startswith("1 ") for one in clients):
                await clients[1].publish(f"1 {number}")
                number += 1
                await asyncio.sleep(0.1)
            seen = [publications_of(one.texts, 1) for one in clients]
            assert all(one == list(range(one[0], one[-1] + 1)) for one in seen)
            assert not any(one.reading.done() for one in clients)
    assert "The hub process of topics" in server.stderr()
    assert "was killed by SIGKILL" in server.stderr()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
async def test_an_application_without_topics_has_no_hub_process_and_no_socket(
    tmp_path: Path,
) -> None:
    def sockets(server: RunningServer) -> list[int]:
        found = []
        for pid in workers(server):
            links = [os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()]
            found.append(sum(one.startswith("socket:") for one in links))
        return sorted(found)

    folders = [tmp_path / "host", tmp_path / "off"]
    for folder in folders:
        folder.mkdir()
    environments = [{"TMPDIR": str(folder)} for folder in folders]
    with (
        serve(APP, "--workers", "2", env=environments[0]) as server,
        serve(APP, "--workers", "2", "--pubsub", "off", env=environments[1]) as plain,
    ):
        for one in (server, plain):
            answer = await asyncio.to_thread(urllib.request.urlopen, one.url("/"))
            answer.close()
        # The supervisor listens for the first use of topics, unless they are off.
        assert [len(list(folder.glob("asgiws-*/hub"))) for folder in folders] == [1, 0]
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        assert {int(pid) for pid in children.read_text().split()} == workers(server)
        await until(lambda: sockets(server) == sockets(plain))
        assert hub_of(server) == 0


# Ends of the supervisor.


@pytest.mark.parametrize("uses_topics", [True, False])
@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "SIGTERM twice", "SIGKILL"])
async def test_no_process_and_no_file_is_left_behind(
    how: str, uses_topics: bool, tmp_path: Path
) -> None:
    server = start(
        APP, "--workers", "2", "--timeout-graceful-shutdown", "3", env={"TMPDIR": str(tmp_path)}
    )
    try:
        server.wait_until_running()
        async with AsyncExitStack() as stack:
            client = await Client.of(server, stack)
            processes = workers(server)
            if uses_topics:
                await client.subscribe()
                processes.add(hub_of(server))
            assert len(processes) == 2 + uses_topics
            assert len(list(tmp_path.iterdir())) == 1
            name, _, twice = how.partition(" ")
            for _ in range(2 if twice else 1):
                server.send_signal(getattr(signal, name))
            await asyncio.to_thread(server.wait)
            for pid in processes:
                await asyncio.to_thread(wait_for_end, pid)
            assert list(tmp_path.iterdir()) == []
    finally:
        server.close()


async def test_signals_for_all_processes_end_the_hub_process_last() -> None:
    """As systemd sends them: what is published while the workers stop still arrives."""
    with serve(APP, "--workers", "2", "--drain-window", "1") as server:
        async with AsyncExitStack() as stack:
            clients = [await Client.of(server, stack) for _ in range(8)]
            for one in clients:
                await one.subscribe()
            hub = hub_of(server)
            for pid in (hub, *workers(server), server.process.pid):
                os.kill(pid, signal.SIGTERM)
            await asyncio.to_thread(server.wait)
            assert all(not one.told("gap") for one in clients)
            await asyncio.to_thread(wait_for_end, hub)
        assert "was killed" not in server.stderr()
