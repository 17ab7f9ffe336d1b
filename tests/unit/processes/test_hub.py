"""The hub process, run for real: what workers get through it, and what it bears."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from asgiws.processes import hub as module
from asgiws.topics import link
from asgiws.topics.hub import TooMuchQueued
from asgiws.topics.linked import LinkedHub
from asgiws.topics.message import Keep, Position
from tests.support.hub_bench import Bench, Reader, bench, join, publish
from tests.support.loops import on_each_loop
from tests.support.server import is_alive

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers are not for Windows")

KEEP = Keep(100, 1000.0)


async def connect(here: Bench) -> socket.socket:
    """A link of a process that speaks for itself."""
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    await here.loop.sock_connect(sock, here.process.path)
    return sock


async def read_to_the_end(sock: socket.socket) -> bytes:
    octets = b""
    while data := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 65536), 40):
        octets += data
    return octets


# Messages.


@on_each_loop
async def test_every_worker_gets_every_message_once_and_in_order() -> None:
    async with bench() as here:
        hubs = [here.hub() for _ in range(4)]
        readers = [await join(hub, Reader("room")) for hub in hubs for _ in range(2)]
        for number in range(300):
            for index, hub in enumerate(hubs):
                publish(hub, "room", f"{index} {number}")
            if number % 50 == 0:
                await asyncio.sleep(0)
        heard = [(await reader.hears(1200))[1:] for reader in readers]
        # One order for all, in which each publisher's is kept.
        assert all(one == heard[0] for one in heard)
        for index in range(4):
            own = [one for one in heard[0] if one.startswith(f"{index} ")]
            assert own == [f"{index} {number}" for number in range(300)]


@on_each_loop
async def test_text_octets_keys_and_senders() -> None:
    async with bench() as here:
        one, other = here.hub(), here.hub()
        me, you = object(), object()
        mine = await join(one, Reader("a", me))
        yours = await join(one, Reader("a", you))
        far = await join(other, Reader("a", me))  # the same object at another worker
        publish(one, "a", "ü", sender=me, excludes=True, key="k")
        publish(one, "a", b"\xff\x00", sender=me)
        publish(one, "a", "", sender=you)
        assert await mine.hears(2) == ["joined", b"\xff\x00", ""]
        assert await yours.hears(3) == ["joined", "ü", b"\xff\x00", ""]
        assert await far.hears(3) == ["joined", "ü", b"\xff\x00", ""]
        assert yours.senders == [me, me, you]
        assert far.senders == [None, None, None]


async def test_order_across_topics() -> None:
    async with bench() as here:
        one, other = here.hub(), here.hub()
        heard: list[object] = []
        for topic in "abc":
            reader = await join(other, Reader(topic))
            reader.heard = heard
        heard.clear()
        numbers = list(range(200))
        for number in numbers:
            publish(one, "abc"[number % 3], str(number))
        await reader.until(lambda: len(heard) == 200)
        assert heard == list(map(str, numbers))


async def test_nothing_from_before_a_subscription_and_nothing_after_its_end() -> None:
    async with bench() as here:
        hub = here.hub()
        first = await join(hub, Reader("a"))
        publish(hub, "a", "before")
        later = await join(hub, Reader("a"))
        publish(hub, "a", "after")
        hub.unsubscribe(first)
        publish(hub, "a", "end")
        assert await later.hears(2) == ["joined", "after", "end"]
        assert "after" not in first.heard
        # A topic that nobody wants any more is not sent, and can be subscribed again.
        hub.unsubscribe(later)
        again = await join(hub, Reader("a"))
        publish(hub, "a", "again")
        assert await again.hears(1) == ["joined", "again"]


async def test_history_is_replayed_to_those_who_come_back_and_outlives_workers() -> None:
    async with bench() as here:
        one = here.hub()
        for number in range(10):
            publish(one, "a", str(number), KEEP)
        first = await join(one, Reader("a"))
        position = first.joined[0].position
        assert position.offset == 10
        one.close()
        two = here.hub()
        here.hubs.remove(one)
        live = await join(two, Reader("a"))
        publish(two, "a", "10", KEEP)
        # While messages flow: each comes once.
        back = Reader("a")
        two.subscribe(back, Position(position.epoch, 7), back.joins)
        publish(two, "a", "11", KEEP)
        assert await back.hears(5) == ["joined", "7", "8", "9", "10", "11"]
        assert back.offsets == [8, 9, 10, 11, 12]
        assert back.joined[0].recovered is True
        assert await live.hears(2) == ["joined", "10", "11"]
        gone = await join(two, Reader("a"), Position("another", 7))
        assert gone.joined[0].recovered is False
        assert gone.joined[0].position == Position(position.epoch, 12)


@pytest.mark.parametrize("seed", range(3))
async def test_whoever_comes_and_goes_misses_nothing_and_gets_nothing_twice(seed: int) -> None:
    """With a history, offsets show it: a subscription gets all from its position on, and one that comes back
    from where it was."""
    chance = random.Random(seed)
    async with bench() as here:
        hubs = [here.hub() for _ in range(3)]
        live: list[tuple[LinkedHub, Reader]] = []
        gone: list[Reader] = []
        seen: list[tuple[Reader, Position | None]] = []
        for topic in "abc":  # so that each has a history from the start
            publish(hubs[0], topic, "first", Keep(10**6, 1000.0))
        await join(hubs[0], Reader("a"))
        for step in range(1500):
            what = chance.random()
            if what < 0.6:
                publish(chance.choice(hubs), chance.choice("abc"), str(step))
            elif what < 0.8 or not live:
                hub, reader, since = chance.choice(hubs), Reader(chance.choice("abc")), None
                if gone and chance.random() < 0.5:
                    before = gone.pop(chance.randrange(len(gone)))
                    reader = Reader(before.topic)
                    position = before.joined[0].position
                    since = Position(position.epoch, max([position.offset, *before.offsets]))
                hub.subscribe(reader, since, reader.joins)
                live.append((hub, reader))
                seen.append((reader, since))
            else:
                hub, reader = live.pop(chance.randrange(len(live)))
                hub.unsubscribe(reader)
                if reader.joined:
                    gone.append(reader)
            if chance.random() < 0.1:
                await asyncio.sleep(chance.choice((0, 0, 0.002)))
        for _, reader in live:
            await reader.until(lambda reader=reader: reader.joined)  # type: ignore[misc]
        for topic in "abc":
            publish(hubs[0], topic, "end")
        for _, reader in live:
            await reader.until(lambda reader=reader: "end" in reader.heard)  # type: ignore[misc]
        for reader, since in seen:
            if not reader.joined:
                assert not reader.heard
                continue
            (joined,) = reader.joined
            start = joined.position.offset if since is None else since.offset
            assert joined.recovered is (None if since is None else True)
            assert reader.heard[0] == "joined"
            assert reader.offsets == list(range(start + 1, start + 1 + len(reader.offsets)))
        ends = {(reader.topic, reader.offsets[-1]) for _, reader in live}
        assert len(ends) == len({topic for topic, _ in ends})


# Trouble.


async def test_it_is_killed_and_another_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async with bench() as here:
        one, other = here.hub(), here.hub()
        readers = [await join(hub, Reader("a")) for hub in (one, other)]
        publish(one, "a", "before", KEEP)
        for reader in readers:
            await reader.hears(1)
        pid = here.pid()
        here.signal(signal.SIGKILL)
        await here.until(lambda: all(len(reader.joined) == 2 for reader in readers))
        assert here.pid() not in (0, pid)
        publish(other, "a", "after", KEEP)
        for reader in readers:
            assert await reader.hears(2) == ["joined", "before", ("lost", None), "joined", "after"]
            assert reader.joined[1].recovered is False
            assert reader.joined[1].position.epoch != reader.joined[0].position.epoch
        assert f"({pid}) was killed by SIGKILL" in caplog.text


async def test_what_is_published_and_asked_for_without_a_process_waits_for_it() -> None:
    async with bench() as here:
        one = here.hub()
        reader = await join(one, Reader("a"))
        here.signal(signal.SIGKILL)
        await reader.until(lambda: ("lost", None) in reader.heard)
        late = Reader("a")
        one.subscribe(late, None, late.joins)
        publish(one, "a", "meanwhile")
        await here.until(late.messages)
        assert late.heard == ["joined", "meanwhile"]
        assert reader.heard == ["joined", ("lost", None), "joined", "meanwhile"]


async def test_one_that_hangs_is_killed() -> None:
    async with bench(timeout_worker_healthcheck=0.3) as here:
        reader = await join(here.hub(), Reader("a"))
        pid = here.pid()
        here.signal(signal.SIGSTOP)

        def is_replaced() -> bool:
            here.process.check(0.3)
            return len(reader.joined) == 2

        await here.until(is_replaced)
        assert here.pid() != pid
        assert not is_alive(pid)


def child(path: str, code: str) -> subprocess.Popen[str]:
    """A worker in a process of its own, which has a hub, and a reader of the topic a."""
    text = f"""
import asyncio, sys
from asgiws.processes.line import Dialer
from asgiws.topics.linked import LinkedHub
from tests.support.hub_bench import Reader, join, publish
async def main():
    loop = asyncio.get_running_loop()
    hub = LinkedHub(loop.call_soon, loop, Dialer(loop, {path!r}), 1 << 20, 1 << 20)
    reader = await join(hub, Reader("a"))
    print("joined", flush=True)
    {code}
asyncio.run(main())
"""
    return subprocess.Popen(
        [sys.executable, "-c", text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


async def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 40)


@on_each_loop
async def test_a_worker_that_does_not_read_costs_nobody_else_and_hears_of_it() -> None:
    async with bench(pubsub_queue=1 << 20) as here:
        hub = here.hub()
        reader = await join(hub, Reader("a"))
        code = (
            "await reader.until(lambda: str(reader.heard[-1]).startswith('end')); "
            "print(*reader.heard[1:], sep='\\n')"
        )
        with child(here.process.path, code) as stopped:
            assert await line_of(stopped) == "joined\n"
            os.kill(stopped.pid, signal.SIGSTOP)
            # Far more than its link holds.
            for number in range(1000):
                publish(hub, "a", f"{number}:" + "x" * 10000)
                await reader.hears(number + 1)
            os.kill(stopped.pid, signal.SIGCONT)
            rest = asyncio.create_task(asyncio.to_thread(stopped.communicate, timeout=40))
            ends = 0
            while not rest.done():
                # Until it has room again, what is published is lost to it too.
                publish(hub, "a", f"end:{ends}")
                ends += 1
                await asyncio.wait([rest], timeout=0.05)
        *heard, gap, end = (await rest)[0].splitlines()
        assert [one.split(":")[0] for one in heard] == list(map(str, range(len(heard))))
        assert gap.startswith("('lost', ")
        # Each message was either delivered or counted.
        lost = int(gap.removeprefix("('lost', ").removesuffix(")"))
        assert len(heard) + lost == 1000 + int(end.removeprefix("end:"))


async def test_a_worker_that_dies_takes_nobody_along() -> None:
    async with bench() as here:
        one, other = here.hub(), here.hub()
        readers = [await join(hub, Reader("a")) for hub in (one, other)]
        with child(here.process.path, "await asyncio.sleep(1000)") as dying:
            assert await line_of(dying) == "joined\n"
            for number in range(200):
                publish(one, "a", str(number))
                if number == 100:
                    dying.kill()
                await asyncio.sleep(0)
        for reader in readers:
            assert await reader.hears(200) == ["joined", *map(str, range(200))]


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        link.hello()[:-1] + b"?",
        link.hello().replace(bytes((link.VERSION,)) + b"asgiws", b"\x63asgiws"),
        link.hello() + b"\x05\x00\x00\x00\x63rest",
        link.hello() + link.publish("a\x00", b"\x00", None, False),
        link.hello() + link.unsubscribe(5),
        link.hello() + link.subscribe(1, 1, "a", None) + link.subscribe(2, 1, "b", None),
    ],
)
async def test_a_malformed_record_ends_that_link_alone(
    octets: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    async with bench() as here:
        hub = here.hub()
        reader = await join(hub, Reader("a"))
        with await connect(here) as sock:
            await here.loop.sock_sendall(sock, octets)
            await read_to_the_end(sock)
        publish(hub, "a", "still here")
        assert await reader.hears(1) == ["joined", "still here"]
    text = capfd.readouterr().err
    assert text.count(f"The link of process {os.getpid()} is closed: ") == 1
    assert "Traceback" not in text


async def test_random_octets_end_links_and_not_the_process() -> None:
    async with bench() as here:
        hub = here.hub()
        reader = await join(hub, Reader("a"))
        pid = here.pid()
        for _ in range(20):
            with await connect(here) as sock:
                await here.loop.sock_sendall(sock, link.hello() + os.urandom(3000))
                sock.shutdown(socket.SHUT_WR)
                await read_to_the_end(sock)
        publish(hub, "a", "still here")
        assert await reader.hears(1) == ["joined", "still here"]
        assert here.pid() == pid


async def test_a_link_that_publishes_and_never_reads_is_not_read_from_for_ever() -> None:
    """What it causes on its own link would be held otherwise."""
    async with bench(pubsub_queue=1 << 20) as here:
        with await connect(here) as sock:
            await here.loop.sock_sendall(sock, link.hello() + link.subscribe(1, 1, "a", None))
            record = link.publish("a", b"\x00" + b"x" * 1000, None, True)
            sent = 0
            try:
                while sent < 1 << 26:
                    await asyncio.wait_for(here.loop.sock_sendall(sock, record * 64), 2)
                    sent += 64
            except asyncio.TimeoutError:
                pass
            assert sent < 1 << 26
            # The others are served.
            hub = here.hub()
            reader = await join(hub, Reader("a"))
            publish(hub, "a", "end")
            await reader.until(lambda: "end" in reader.heard)


async def test_too_much_for_one_link_is_refused_at_the_publisher() -> None:
    async with bench(pubsub_queue=1 << 20) as here:
        hub = here.hub()
        reader = await join(hub, Reader("a"))
        here.signal(signal.SIGSTOP)
        count = 0

        async def publish_on() -> None:
            nonlocal count
            while count < 100_000:
                publish(hub, "a", f"{count} " + "x" * 1000)
                count += 1
                await asyncio.sleep(0)

        with pytest.raises(TooMuchQueued, match="pubsub_queue"):
            await publish_on()
        here.signal(signal.SIGCONT)
        heard = await reader.hears(count)
        assert [int(one.split()[0]) for one in heard[1:]] == list(range(count))


# Who is let in.


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another user")
async def test_another_user_is_not_let_in(capfd: pytest.CaptureFixture[str]) -> None:
    code = f"""
import os, socket, sys
os.setgid(65534); os.setuid(65534)
sock = socket.socket(socket.AF_UNIX)
try:
    sock.connect(sys.argv[1])
except PermissionError:
    sys.exit(5)
try:
    sock.sendall({link.hello()!r})
    sys.exit(7 if sock.recv(100) else 6)
except ConnectionError:
    sys.exit(6)
"""
    async with bench() as here:
        hub = here.hub()
        reader = await join(hub, Reader("a"))
        path = Path(here.process.path)
        assert path.parent.stat().st_mode & 0o777 == 0o700

        async def attempt() -> int:
            words = [sys.executable, "-c", code, str(path)]
            return await asyncio.to_thread(subprocess.call, words, cwd="/")

        assert await attempt() == 5
        # Should the directory be opened to others by mistake:
        path.parent.chmod(0o755)
        path.chmod(0o777)
        assert await attempt() == 6
        publish(hub, "a", "still here")
        assert await reader.hears(1) == ["joined", "still here"]
    assert "of another user (65534) was not let in" in capfd.readouterr().err


def test_the_process_at_the_other_end() -> None:
    one, other = socket.socketpair()
    with one, other:
        pid, user = module.owner_of(one)
        if hasattr(socket, "SO_PEERCRED"):
            assert (pid, user) == (os.getpid(), os.getuid())
        else:
            assert (pid, user) == (0, None)
