"""Topics over two nodes and a real broker: what clients get, whatever becomes of nodes, broker and network."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from typing import Any

import pytest

from tests.integration.test_pubsub_workers import (
    APP,
    HUB,
    PATIENCE,
    Client,
    hub_of,
    publications_of,
    until,
    workers,
)
from tests.support.brokers import PROGRAMS, Broker, Link, broker
from tests.support.gunicorn import gunicorn
from tests.support.server import APPLICATIONS, RunningServer, serve, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers are not for Windows")

KEEP = {"messages": 100000, "seconds": 1000}

#: Lines of the log.
AWAY = "Topics do not reach other hosts"
BACK = "Topics reach other hosts again"


def needs(kind: str) -> pytest.MarkDecorator:
    program = PROGRAMS[kind]
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


redis = pytest.param("redis", marks=needs("redis"))
nats = pytest.param("nats", marks=needs("nats"))
on_each = pytest.mark.parametrize("kind", [redis, nats])
on_redis = pytest.mark.parametrize("kind", [redis])


@contextmanager
def node(url: str, *options: str, workers: int = 2, errors: bool = True) -> Iterator[RunningServer]:
    count = ("--workers", str(workers)) if workers else ()
    with serve(APP, *count, "--pubsub", url, *options, expect_errors=errors) as server:
        yield server


async def clients_at(
    server: RunningServer, stack: AsyncExitStack, count: int, **options: Any
) -> list[Client]:
    """Clients that are subscribed."""
    found = [await Client.of(server, stack) for _ in range(count)]
    for one in found:
        await one.subscribe(**options)
    return found


async def publish(clients: list[Client], index: int, count: int, begin: int = 0) -> None:
    for number in range(begin, begin + count):
        await clients[index].publish(f"{index} {number}")
        if number % 10 == 9:
            await asyncio.sleep(0)


# Messages.


@on_each
@pytest.mark.parametrize("count", [0, 2])
async def test_every_client_gets_every_message_once_and_in_order_per_publisher(
    kind: str, count: int
) -> None:
    with (
        broker(kind) as there,
        node(there.url(), workers=count, errors=False) as one,
        node(there.url(), workers=count, errors=False) as two,
    ):
        async with AsyncExitStack() as stack:
            clients = await clients_at(one, stack, 4) + await clients_at(two, stack, 4)
            await asyncio.gather(*(publish(clients, index, 100) for index in range(8)))
            await until(lambda: all(len(one.texts) >= 800 for one in clients))
            for index in range(8):
                assert publications_of(clients[0].texts, index) == list(range(100))
            # And one order for everybody, wherever it is.
            assert all(client.texts == clients[0].texts for client in clients)
            assert not any(client.told("gap") for client in clients)


@on_each
async def test_exclude_self_and_order_with_own_sends(kind: str) -> None:
    with broker(kind) as there, node(there.url(), errors=False) as one:
        async with AsyncExitStack() as stack:
            client, other = await clients_at(one, stack, 2)
            for number in range(20):
                await client.publish(f"mine {number}", id=number)
                await client.publish(f"others {number}", exclude_self=True)
            await until(lambda: len(other.texts) == 40 and len(client.texts) == 20)
            assert client.texts == [f"mine {number}" for number in range(20)]


@on_each
async def test_topics_are_those_of_a_prefix(kind: str) -> None:
    with (
        broker(kind) as there,
        node(there.url()) as one,
        node(there.url(), "--pubsub-prefix", "other") as two,
    ):
        async with AsyncExitStack() as stack:
            (here,), (else_,) = await clients_at(one, stack, 1), await clients_at(two, stack, 1)
            await here.publish("here")
            await else_.publish("there")
            await until(lambda: here.texts and else_.texts)
            assert (here.texts, else_.texts) == (["here"], ["there"])


# What ends.


@on_each
async def test_a_worker_and_then_a_node_is_killed_and_nobody_else_loses_a_message(
    kind: str,
) -> None:
    with broker(kind) as there, node(there.url()) as one, node(there.url()) as two:
        async with AsyncExitStack() as stack:
            near, far = await clients_at(one, stack, 8), await clients_at(two, stack, 4)
            victim = near[0].pid
            rest = [client for client in near if client.pid != victim] + far
            assert len(rest) > len(far)
            publishing = [
                asyncio.create_task(publish(rest, index, 200)) for index in range(len(rest))
            ]
            await until(lambda: len(far[0].texts) > 50)
            os.kill(victim, signal.SIGKILL)
            await asyncio.gather(*publishing)
            await until(lambda: all(len(client.texts) >= 200 * len(rest) for client in rest))
            for client in rest:
                for index in range(len(rest)):
                    assert publications_of(client.texts, index) == list(range(200))
                assert not client.told("gap")
            # The node.
            before = [len(client.texts) for client in far]
            publishing = [asyncio.create_task(publish(far, index, 200, 1000)) for index in range(4)]
            await until(lambda: len(far[0].texts) > before[0] + 50)
            for pid in (*workers(one), hub_of(one), one.process.pid):
                os.kill(pid, signal.SIGKILL)
            await asyncio.gather(*publishing)
            await until(
                lambda: all(
                    len(client.texts) >= had + 800 for client, had in zip(far, before, strict=True)
                )
            )
            for client, had in zip(far, before, strict=True):
                for index in range(4):
                    expected = list(range(1000, 1200))
                    assert publications_of(client.texts[had:], index) == expected
                assert not client.told("gap")


@on_each
async def test_the_hub_process_is_killed_and_all_of_its_node_are_told_and_go_on(kind: str) -> None:
    with broker(kind) as there, node(there.url()) as one, node(there.url()) as two:
        async with AsyncExitStack() as stack:
            near, far = await clients_at(one, stack, 2), await clients_at(two, stack, 2)
            await near[0].publish("first")
            await until(lambda: all(client.texts for client in near + far))
            hub = hub_of(one)
            os.kill(hub, signal.SIGKILL)
            await until(lambda: all(client.told("gap") for client in near))
            await until(lambda: hub_of(one) != hub)
            number = 0
            while not all(client.texts[-1].startswith("0 ") for client in near):
                await publish(far, 0, 1, number)
                number += 1
                await asyncio.sleep(0.05)
            assert not any(client.told("gap") for client in far)
            assert publications_of(far[0].texts[1:], 0) == list(range(len(far[0].texts) - 1))


@on_each
async def test_the_broker_restarts_and_all_are_told_and_go_on(kind: str) -> None:
    with broker(kind) as there, node(there.url()) as one, node(there.url()) as two:
        async with AsyncExitStack() as stack:
            clients = await clients_at(one, stack, 2) + await clients_at(two, stack, 2)
            await publish(clients, 0, 10)
            await until(lambda: all(len(client.texts) == 10 for client in clients))
            there.stop()
            await until(lambda: all(client.told("gap") for client in clients))
            # What is published meanwhile waits, and who subscribes meanwhile does.
            await publish(clients, 0, 10, 10)
            late = await Client.of(two, stack)
            waiting = asyncio.create_task(late.subscribe())
            there.start()
            await until(lambda: BACK in one.stderr() and BACK in two.stderr())
            assert (await waiting)["event"] == "subscribed"
            await publish(clients, 2, 10)
            await until(lambda: all("2 9" in client.texts for client in (*clients, late)))
            for client in clients:
                # In order, without doubles; what is missing was told.
                numbers = publications_of(client.texts, 0)
                assert numbers == sorted(set(numbers))
                assert numbers[:10] == list(range(10))
                assert publications_of(client.texts, 2) == list(range(10))
                assert all(gap["lost"] is None for gap in client.told("gap"))
            # Those of the node that published were subscribed before what waited was sent.
            assert publications_of(clients[0].texts, 0) == list(range(20))
        for server in (one, two):
            assert server.stderr().count(BACK) == 1


@on_each
async def test_a_cut_link_costs_its_node_alone_and_is_told(kind: str) -> None:
    with broker(kind) as there:
        async with Link(there) as link:
            with node(there.url(link.port)) as one, node(there.url()) as two:
                async with AsyncExitStack() as stack:
                    near, far = await clients_at(one, stack, 2), await clients_at(two, stack, 2)
                    await publish(far, 0, 1)
                    await until(lambda: all(client.texts for client in near + far))
                    link.cut()
                    await until(lambda: all(client.told("gap") for client in near))
                    await publish(far, 0, 20, 1)
                    await until(lambda: all(len(client.texts) == 21 for client in far))
                    await link.restore()
                    await until(lambda: BACK in one.stderr())
                    number = 21
                    while not all(len(client.texts) > 1 for client in near):
                        await publish(far, 0, 1, number)
                        number += 1
                        await asyncio.sleep(0.02)
                    await until(lambda: len(far[0].texts) == number)
                    assert not any(client.told("gap") for client in far)
                    for client in near:
                        numbers = publications_of(client.texts, 0)
                        assert numbers[0] == 0
                        assert numbers[1:] == list(range(numbers[1], numbers[-1] + 1))


@on_each
async def test_what_the_link_took_along_is_told_at_the_other_node_too(kind: str) -> None:
    """The publisher's node cannot know whether the broker has it: the subscribers must."""
    with broker(kind) as there:
        async with Link(there) as link:
            with node(there.url(link.port)) as one, node(there.url()) as two:
                async with AsyncExitStack() as stack:
                    (near,), (far,) = (
                        await clients_at(one, stack, 1),
                        await clients_at(two, stack, 1),
                    )
                    await near.publish("0 0")
                    await until(lambda: far.texts and near.texts)
                    there.freeze()
                    await publish([near], 0, 5, 1)
                    await asyncio.sleep(0.3)  # they are on their way
                    link.cut()
                    there.thaw()
                    await link.restore()
                    await until(lambda: BACK in one.stderr())
                    await near.publish("0 6")
                    await until(lambda: "0 6" in far.texts)
                    numbers = publications_of(far.texts, 0)
                    assert numbers == sorted(set(numbers))
                    assert far.told("gap") or numbers == list(range(7))


# History.


@on_redis
async def test_history_fills_the_gap_that_a_cut_link_leaves(kind: str) -> None:
    with broker(kind) as there:
        async with Link(there) as link:
            with node(there.url(link.port)) as one, node(there.url()) as two:
                async with AsyncExitStack() as stack:
                    far = await Client.of(two, stack)
                    await far.publish("0", keep=KEEP, id=0)
                    await until(lambda: far.told("published"))
                    near = await clients_at(one, stack, 2, offsets=True)
                    await far.publish("1", keep=KEEP)
                    await until(lambda: all(client.texts for client in near))
                    link.cut()
                    await until(lambda: AWAY in one.stderr())
                    for number in range(2, 50):
                        await far.publish(str(number), keep=KEEP)
                    await link.restore()
                    await until(lambda: all(len(client.texts) >= 49 for client in near))
                    for client in near:
                        texts = [json.loads(text)["text"] for text in client.texts]
                        assert texts == [str(number) for number in range(1, 50)]
                        assert not client.told("gap")


@on_redis
async def test_history_outlives_a_node(kind: str) -> None:
    with broker(kind) as there:
        with node(there.url()) as one:
            async with AsyncExitStack() as stack:
                (client,) = await clients_at(one, stack, 1, offsets=True)
                for number in range(10):
                    await client.publish(str(number), keep=KEEP)
                await until(lambda: len(client.texts) == 10)
                last = json.loads(client.texts[4])
        since = {"epoch": last["epoch"], "offset": last["offset"]}
        with node(there.url()) as two:
            async with AsyncExitStack() as stack:
                client = await Client.of(two, stack)
                joined = await client.subscribe(offsets=True, since=since)
                assert joined["recovered"] is True
                await until(lambda: len(client.texts) == 5)
                assert [json.loads(text)["text"] for text in client.texts] == list("56789")
                late = await Client.of(two, stack)
                await late.subscribe(since="kept")
                await until(lambda: len(late.texts) == 10)
                assert late.texts == [str(number) for number in range(10)]


@on_redis
async def test_a_history_that_is_gone_is_told(kind: str) -> None:
    with broker(kind) as there, node(there.url()) as one:
        async with AsyncExitStack() as stack:
            (client,) = await clients_at(one, stack, 1, offsets=True)
            await client.publish("0", keep=KEEP)
            await until(lambda: client.texts)
            first = json.loads(client.texts[0])
            there.stop()
            there.start()
            await until(lambda: client.told("gap") and BACK in one.stderr())
            await client.publish("1", keep=KEEP)
            await until(lambda: len(client.texts) == 2)
            second = json.loads(client.texts[1])
            assert second["epoch"] != first["epoch"]
            late = await Client.of(one, stack)
            since = {key: first[key] for key in ("epoch", "offset")}
            assert (await late.subscribe(since=since))["recovered"] is False


@pytest.mark.parametrize("kind", [nats])
async def test_a_broker_without_history_refuses_to_keep(kind: str) -> None:
    with broker(kind) as there, node(there.url()) as one:
        async with AsyncExitStack() as stack:
            (client,) = await clients_at(one, stack, 1)
            await client.publish("0", keep=KEEP)
            await client.reading
            assert client.websocket.close_code == 1011
        assert "NATS keeps no history" in one.stderr()


# The broker is away, or does not want us.


def readiness(server: RunningServer) -> int:
    try:
        with urllib.request.urlopen(server.url("/health/ready"), timeout=PATIENCE) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@on_each
@pytest.mark.parametrize("count", [0, 2])
async def test_readiness_follows_the_broker(kind: str, count: int) -> None:
    options = ("--health-path", "/health", "--pubsub-readiness")
    with broker(kind) as there, node(there.url(), *options, workers=count) as one:
        await until(lambda: readiness(one) == 200)
        there.stop()
        await until(lambda: readiness(one) == 503)
        there.start()
        await until(lambda: readiness(one) == 200)


@on_each
async def test_it_starts_without_the_broker_and_finds_it_later(kind: str) -> None:
    there = Broker(kind)
    there.stop()
    try:
        with node(there.url()) as one:
            await until(lambda: AWAY in one.stderr())
            async with AsyncExitStack() as stack:
                client = await Client.of(one, stack)
                await client.publish("early")
                waiting = asyncio.create_task(client.subscribe())
                await asyncio.sleep(0.2)
                there.start()
                await waiting
                await client.publish("0 0")
                await until(lambda: "0 0" in client.texts)
            assert one.stderr().count(AWAY) == 1
    finally:
        there.stop()


@on_each
async def test_too_much_while_it_is_away_is_refused(kind: str) -> None:
    there = Broker(kind)
    there.stop()
    with node(there.url(), "--pubsub-queue", "1MiB", workers=0) as one:
        async with AsyncExitStack() as stack:
            client = await Client.of(one, stack)
            for number in range(20):
                await client.publish(f"0 {number} " + "x" * 100_000)
            await client.reading
            assert client.websocket.close_code == 1011
        assert "TooMuchQueued" in one.stderr()


@on_redis
async def test_a_wrong_password_is_one_line_without_it(kind: str) -> None:
    with broker(kind, "--requirepass", "right") as there:
        with node(there.url(user=":wrong-secret")) as one:
            await until(lambda: AWAY in one.stderr())
            await asyncio.sleep(0.5)
        assert one.stderr().count(AWAY) == 1
        assert "secret" not in one.stderr()
        with node(there.url(user=":right")) as one:
            await until(lambda: "connected to" in one.stderr())


@on_each
async def test_a_password_from_a_file(kind: str, tmp_path: Any) -> None:
    options = ("--requirepass", "hush") if kind == "redis" else ("--user", "me", "--pass", "hush")
    path = tmp_path / "password"
    path.write_text("wrong\n")
    with broker(kind, *options) as there:
        with node(there.url(), "--pubsub-password-file", str(path)) as one:
            await until(lambda: AWAY in one.stderr())
            path.write_text("hush\n" if kind == "redis" else "me:hush\n")
            await until(lambda: BACK in one.stderr() or "connected to" in one.stderr())
        assert "hush" not in one.stderr()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://127.0.0.1/0?bogus=1", "unknown option 'bogus'"),
        ("redis+sentinel://127.0.0.1", "needs the service"),
        ("nats://127.0.0.1/path", "has no meaning for NATS"),
        ("http://secret@host", "the URL of a broker"),
    ],
)
@pytest.mark.parametrize("count", [0, 2])
def test_a_url_that_cannot_work_ends_the_start(url: str, why: str, count: int) -> None:
    options = ("--workers", str(count)) if count else ()
    with closing(start(APP, "--pubsub", url, *options)) as server:
        assert server.wait() != 0
    assert why in server.stderr()
    assert "Traceback" not in server.stderr()
    assert "secret" not in server.stderr()
    assert not HUB.search(server.stderr())


# What is left behind.


@on_each
async def test_what_was_published_last_leaves_before_the_end(kind: str) -> None:
    with broker(kind) as there, node(there.url()) as two:
        async with AsyncExitStack() as stack:
            (far,) = await clients_at(two, stack, 1)
            with node(there.url(), errors=False) as one:
                (near,) = await clients_at(one, stack, 1)
                await publish([near], 0, 100)
                await near.publish("last", id=1)
                await until(lambda: near.told("published"))
                await near.websocket.close()
            await until(lambda: far.texts and far.texts[-1] == "last")
            assert publications_of(far.texts[:-1], 0) == list(range(100))


# Other servers.


@on_redis
async def test_the_middleware_reaches_all_workers_of_a_server_without_topics(kind: str) -> None:
    """Two workers that have no topics of their own, and a node that has."""
    with broker(kind) as there, node(there.url()) as one:
        options = ("--workers", "2", "--pubsub", "off")
        environment = {"PUBSUB_URL": there.url()}
        with serve("pubsub_elsewhere_app:app", *options, env=environment) as two:
            async with AsyncExitStack() as stack:
                (near,) = await clients_at(one, stack, 1)
                far: list[Client] = []
                while len({client.pid for client in far}) < 2:
                    far += await clients_at(two, stack, 1)
                await publish([near], 0, 20)
                for number in range(20):
                    await far[0].publish(f"1 {number}")
                everybody = [near, *far]
                await until(lambda: all(len(client.texts) == 40 for client in everybody))
                assert all(client.texts == near.texts for client in far)
                assert publications_of(near.texts, 1) == list(range(20))


@on_redis
async def test_workers_of_gunicorn_reach_each_other(kind: str) -> None:
    pytest.importorskip("gunicorn")
    with broker(kind) as there:
        options = ("--workers", "2")
        with gunicorn(APPLICATIONS, *options, app=APP, ASGIWS_PUBSUB=there.url()) as server:
            async with AsyncExitStack() as stack:
                clients: list[Client] = []
                while len({client.pid for client in clients}) < 2:
                    clients += await clients_at(server, stack, 1)
                await publish(clients, 0, 20)
                await until(lambda: all(len(client.texts) == 20 for client in clients))
