"""Which real Redis server a URL leads to: one, a master that Sentinel knows, a node of a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as library
import trustme

from asgiws.brokers.redis import connect
from asgiws.brokers.redis_servers import Server
from asgiws.brokers.secrets import Secret
from asgiws.config import StartError
from asgiws.topics.broker import BrokerError, Session
from asgiws.topics.message import KEPT, Keep
from tests.support.brokers import PATIENCE, Broker, broker
from tests.support.server import free_port
from tests.support.sessions import Working, working

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")

KEEP = Keep(10, 60.0)


async def make(url: str, prefix: str = "app", file: Path | None = None) -> Session:
    return await connect(Server(url, Secret(None if file is None else str(file))), prefix, 1 << 20)


def do(port: int, *words: Any) -> Any:
    with library.Redis(port=port) as client:
        return client.execute_command(*words)


async def check(url: str, file: Path | None = None) -> str:
    """A session there works; returns its name."""
    async with working(make(url, secrets.token_hex(6), file)) as one:
        await one.join("t")
        one.publish("t", b"a", KEEP)
        assert await one.arrived() == [("t", b"a")]
        return one.session.name


async def eventually(attempt: Callable[[], Any], *errors: type[Exception]) -> Any:
    """What an attempt returns, repeated until it has no such error, and is something."""
    end = time.monotonic() + PATIENCE
    last: object = None
    while True:
        try:
            found = attempt()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
        except errors as error:
            last = error
        assert time.monotonic() < end, last
        await asyncio.sleep(0.05)


# URLs.


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://", "Redis at localhost"),
        ("redis://h", "Redis at h"),
        ("redis://user:secret@h:1/2", "Redis at h:1"),
        ("redis://:secret@[::1]:5", "Redis at [::1]:5"),
        ("redis://:sec%2Fret@h?client_name=x", "Redis at h"),
        ("redis://:s@cret@h", "Redis at h"),
        ("unix:///run/redis.sock", "Redis at /run/redis.sock"),
        ("unix://user:secret@/run/redis.sock?db=1", "Redis at /run/redis.sock"),
        ("redis+sentinel://:secret@a,b:1/main", "Redis 'main' by Sentinel at a,b:1"),
        ("rediss+sentinel://a/main/3?ssl_cert_reqs=none", "Redis 'main' by Sentinel at a"),
        ("redis+cluster://u:secret@a:1,b:2", "Redis Cluster at a:1,b:2"),
        ("rediss+cluster://a:1?ssl_check_hostname=no", "Redis Cluster at a:1"),
    ],
)
def test_names_have_no_password(url: str, name: str) -> None:
    assert Server(url, Secret(None)).name == name


@pytest.mark.parametrize(
    "name",
    ["protocol", "socket_timeout", "decode_responses", "max_connections", "health_check_interval"],
)
def test_options_that_are_ours_to_set_are_refused(name: str) -> None:
    with pytest.raises(StartError, match=f"{name} is the server's own to set"):
        Server(f"redis+cluster://h?{name}=1", Secret(None))


@pytest.mark.parametrize(
    "url",
    [
        *(
            "redis://:secret/word@h",
            "redis://u:123/secret@h",
            "redis://:secret#@h",
            "redis://:a?secret@h",
        ),
        *(
            "redis://[secret",
            "redis://secret℀@h",
            "redis://h:secret",
            "redis://:secret",
            "redis://h:99999",
        ),
        *(
            "redis://h/secret",
            "redis://h/-1",
            "redis://h/1/2",
            "redis://h?db=secret",
            "redis://h/٣",
        ),
        *("redis://h?secrets=1", "redis://:secret@h?nothing=1", "redis://h?ssl_ca_certs=/secret"),
        *("redis://a,b:secret", "redis://:1"),
        *("unix://run/redis.sock", "unix://", "unix:///", "unix://:secret/word@/run/redis.sock"),
        *("redis+sentinel://:secret@h", "redis+sentinel://h/", "redis+sentinel://h/main/secret"),
        *(
            "redis+sentinel://h:secret/main",
            "redis+cluster://h/secret",
            "redis+cluster://h?nothing=1",
        ),
        "rediss+cluster://:secret@a,b:c",
    ],
)
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(StartError) as caught:
        Server(url, Secret(None))
    text = str(caught.value)
    assert text.startswith("pubsub: ")
    assert "\n" not in text
    assert "://:" not in text
    if "secrets" not in url:
        assert "secret" not in text


@needs_redis
async def test_an_address_and_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with broker("redis", "--unixsocket", str(path)) as own:
        assert await check(own.url()) == f"Redis at 127.0.0.1:{own.port}"
        assert await check(f"redis://localhost:{own.port}/15") == f"Redis at localhost:{own.port}"
        assert await check(f"unix://{path}") == f"Redis at {path}"
        async with (
            working(make(f"unix://{path}?db=3")) as one,
            working(make(own.url() + "/3")) as two,
            working(make(own.url() + "?db=3&client_name=someone")) as three,
        ):
            sessions = (one, two, three)
            for each in sessions:
                await each.join("t")
            one.publish("t", b"a", KEEP)
            await one.events()
            assert await two.arrived() == await three.arrived() == [("t", b"a")]
            names = {client["name"] for client in _clients(own.port)}
            assert "someone" in names
        with pytest.raises(BrokerError):
            await make(own.url() + "/16")
    for url in (own.url(), f"unix://{path}"):
        with pytest.raises((BrokerError, OSError)):
            await make(url)


def _clients(port: int) -> Any:
    with library.Redis(port=port) as client:
        return client.client_list()


@needs_redis
async def test_users_and_passwords(tmp_path: Path) -> None:
    password = "p@:/ ?#%wörd"
    file = tmp_path / "secret"
    with broker("redis") as own:
        do(own.port, "ACL", "SETUSER", "u", "on", f">{password}", "~*", "&*", "+@all")
        do(own.port, "CONFIG", "SET", "requirepass", password)
        quoted = "p%40%3A%2F%20%3F%23%25w%C3%B6rd"
        await check(own.url(user=f"u:{quoted}"))
        await check(own.url(user=f":{quoted}"))
        for text, user in ((f"u:{password}\n", ""), (f":{password}", ""), (f":{password}", "u")):
            file.write_text(text, encoding="utf-8")
            await check(own.url(user=user), file)
        # It is read for each connection.
        server = Server(own.url(), Secret(str(file)))
        file.write_text("u:wrong")
        with pytest.raises(BrokerError) as caught:
            await connect(server, "app", 1)
        assert "wrong" not in str(caught.value)
        file.write_text(f"u:{password}", encoding="utf-8")
        async with working(connect(server, "app", 1)) as one:
            await one.events()
        file.unlink()
        with pytest.raises(BrokerError, match="pubsub_password_file"):
            await connect(server, "app", 1)


# TLS.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA, tmp_path: Path) -> list[str]:
    """Options for a server with a certificate for 127.0.0.1; that of the authority is in ca.pem."""
    if not _has_tls():
        pytest.skip("needs a redis-server with TLS")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "server.pem")
    )
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    pem, ca = str(tmp_path / "server.pem"), str(tmp_path / "ca.pem")
    return ["--tls-cert-file", pem, "--tls-key-file", pem, "--tls-ca-cert-file", ca]


def _has_tls() -> bool:
    program = shutil.which("redis-server")
    if program is None:
        return False
    # It ends at once: there is no certificate.
    command = [program, "--port", "0", "--tls-port", "1", "--save", ""]
    ran = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    return b"tls-cert-file" in ran.stdout + ran.stderr


async def test_tls(tls: list[str], tmp_path: Path) -> None:
    port = free_port()
    with broker("redis", *tls, "--tls-port", str(port), "--tls-auth-clients", "no"):
        url, ca = f"rediss://127.0.0.1:{port}", f"ssl_ca_certs={tmp_path / 'ca.pem'}"
        assert await check(f"{url}?{ca}") == f"Redis at 127.0.0.1:{port}"
        assert await check(f"{url}/2?{ca}")
        assert await check(f"{url}?ssl_cert_reqs=none&ssl_check_hostname=no")
        with pytest.raises((BrokerError, OSError), match="certificate"):
            await make(url)
        with pytest.raises((BrokerError, OSError), match="certificate"):
            await make(f"rediss://localhost:{port}?{ca}")
        with pytest.raises((BrokerError, OSError)):
            await make(f"redis://127.0.0.1:{port}")
        with pytest.raises((BrokerError, OSError)):
            await make(f"{url}?ssl_ca_certs={tmp_path / 'none.pem'}")


async def test_tls_with_a_certificate_of_the_client(
    tls: list[str], authority: trustme.CA, tmp_path: Path
) -> None:
    pem = tmp_path / "client.pem"
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(str(pem))
    port = free_port()
    with broker("redis", *tls, "--tls-port", str(port)):
        url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path / 'ca.pem'}"
        assert await check(f"{url}&ssl_certfile={pem}&ssl_keyfile={pem}")
        with pytest.raises((BrokerError, OSError)):
            await make(url)


# Sentinel.


class Sentinel:
    """A Sentinel that watches `master`, as "main"."""

    def __init__(self, directory: Path, master: int, *lines: str) -> None:
        self.port = free_port()
        file = directory / "sentinel.conf"
        file.write_text(
            "\n".join(
                (
                    f"port {self.port}",
                    f"dir {directory}",
                    *lines,
                    f"sentinel monitor main 127.0.0.1 {master} 1",
                    "sentinel down-after-milliseconds main 500",
                    "sentinel failover-timeout main 3000",
                    "",
                )
            )
        )
        program = shutil.which("redis-server")
        assert program is not None
        self._log = directory / "sentinel.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, str(file), "--sentinel"], stdout=log, stderr=subprocess.STDOUT
            )

    async def sees_its_master(self) -> None:
        """Skips the test if it does not in time: it does nothing for half a minute if the clock has jumped, or
        if it did not run for two seconds (TILT)."""
        about: Any = "nothing"
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self._process.poll() is not None:
                pytest.skip(f"Sentinel has ended: {self._log.read_text()[-600:]}")
            try:
                with library.Redis(port=self.port) as client:
                    about = client.info("sentinel")
            except library.RedisError as error:
                about = repr(error)
            else:
                if about["master0"]["status"] == "ok" and not about["sentinel_tilt"]:
                    return
            await asyncio.sleep(0.05)
        pytest.skip(f"Sentinel does not see its master: {about}")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)


@needs_redis
async def test_after_the_masters_end_sentinel_names_another(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        # A replica stores what it gets; nobody else may load that.
        directory = ("--dir", str(tmp_path))
        master, replica = (stack.enter_context(broker("redis", *directory)) for _ in range(2))
        do(master.port, "CONFIG", "SET", "repl-diskless-sync-delay", 0)
        do(replica.port, "REPLICAOF", "127.0.0.1", master.port)
        # Sentinel asks only every ten seconds.
        await eventually(lambda: _info(master.port)["connected_slaves"])
        await eventually(lambda: _info(replica.port)["master_link_status"] == "up")
        sentinel = Sentinel(tmp_path, master.port)
        try:
            await sentinel.sees_its_master()
            url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}/main"
            name = await eventually(lambda: check(url), BrokerError, OSError)
            assert name.startswith("Redis 'main' by Sentinel at ")
            with pytest.raises(BrokerError):
                await make(url.replace("main", "other"))
            await eventually(
                lambda: do(sentinel.port, "SENTINEL", "REPLICAS", "main"), library.RedisError
            )
            async with working(make(url)) as one:
                one.publish("t", b"a", KEEP)
                before = (await one.look("t")).position
                assert do(master.port, "WAIT", 1, 10_000) == 1
                master.stop()
                # Nobody else may come to have its port: Sentinel would make it a replica.
                stack.enter_context(_held(master.port))
                assert await one.end()

            async def again() -> Working:
                return Working(await make(url))

            two = await eventually(again, BrokerError, OSError)
            looked = await two.join("t", before)
            assert looked.recovered is False
            assert (await two.look("t", KEPT)).missed == [(1, b"a")]
            two.publish("t", b"b", KEEP)
            assert await two.arrived() == [("t", b"b")]
            assert _info(replica.port)["role"] == "master"
            two.run.cancel()
            await asyncio.wait([two.run])
            await two.session.close()
        finally:
            sentinel.stop()


@needs_redis
async def test_why_no_sentinel_names_a_master(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        master, other = (stack.enter_context(broker("redis")) for _ in range(2))
        sentinel = Sentinel(tmp_path, master.port)
        stack.callback(sentinel.stop)
        await eventually(lambda: do(sentinel.port, "PING"), library.RedisError)
        do(other.port, "CONFIG", "SET", "requirepass", "right")
        gone = free_port()
        ports = (gone, other.port, sentinel.port)
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        texts = []
        for _ in range(2):
            with pytest.raises(BrokerError) as caught:
                await make(f"redis+sentinel://:secret@{hosts}/nothing")
            texts.append(str(caught.value))
        assert texts[0] == texts[1]  # or each attempt would be logged
        assert texts[0].startswith("no master 'nothing': 127.0.0.1:")
        assert all(f"127.0.0.1:{port}: " in texts[0] for port in ports)
        assert "secret" not in texts[0]
        assert "<" not in texts[0]


@contextlib.contextmanager
def _held(port: int) -> Iterator[None]:
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
        yield


def _info(port: int) -> Any:
    with library.Redis(port=port) as client:
        return client.info("replication")


async def test_sentinel_with_tls(tls: list[str], tmp_path: Path) -> None:
    port = free_port()
    with broker("redis", *tls, "--tls-port", str(port), "--tls-auth-clients", "no"):
        options = [option.removeprefix("--") for option in tls]
        lines = [" ".join(options[at : at + 2]) for at in range(0, len(options), 2)]
        tls_port = free_port()
        lines += [f"tls-port {tls_port}", "tls-auth-clients no", "tls-replication yes"]
        sentinel = Sentinel(tmp_path, port, *lines)
        try:
            await sentinel.sees_its_master()
            url = f"rediss+sentinel://127.0.0.1:{tls_port}/main?ssl_ca_certs={tmp_path / 'ca.pem'}"
            await eventually(lambda: check(url), BrokerError, OSError)
        finally:
            sentinel.stop()


# Cluster.


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[Broker]]:
    """Three nodes, each with a third of the slots."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server")
    with contextlib.ExitStack() as stack:
        nodes = []
        for number in range(3):
            directory = tmp_path / str(number)
            directory.mkdir()
            options = ("--cluster-enabled", "yes", "--dir", str(directory))
            bus = ("--cluster-port", str(free_port()))
            nodes.append(stack.enter_context(broker("redis", *options, *bus)))
        ports = [(node.port, _bus(node.port)) for node in nodes]
        for number, (port, _) in enumerate(ports):
            first, last = number * 16384 // 3, (number + 1) * 16384 // 3 - 1
            do(port, "CLUSTER", "ADDSLOTSRANGE", first, last)
            do(port, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for port, bus_port in ports[1:]:
            do(ports[0][0], "CLUSTER", "MEET", "127.0.0.1", port, bus_port)
        end = time.monotonic() + PATIENCE
        while any(not _is_whole(port) for port, _ in ports):
            assert time.monotonic() < end
            time.sleep(0.05)
        yield nodes


def _bus(port: int) -> int:
    return int(do(port, "CONFIG", "GET", "cluster-port")[b"cluster-port"])


def _is_whole(port: int) -> bool:
    with library.Redis(port=port) as client:
        info: Any = client.cluster("info")
        return info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "3"


async def test_a_cluster(cluster: list[Broker]) -> None:
    """Wherever sessions start, they meet: at the node that has the keys of the prefix."""
    urls = [f"redis+cluster://127.0.0.1:{node.port}" for node in cluster]
    down = free_port()
    nodes = {}
    for prefix in ("a", "b", "c", "d"):
        async with (
            working(make(urls[0], prefix)) as one,
            working(make(urls[1], prefix)) as two,
            working(make(f"redis+cluster://127.0.0.1:{down},{urls[2][16:]}", prefix)) as three,
        ):
            for each in (one, two, three):
                await each.join("t")
                await each.join("{other} topic")
            one.publish("t", b"a", KEEP)
            one.publish("{other} topic", b"b", KEEP)
            expected = [("t", b"a"), ("{other} topic", b"b")]
            for each in (one, two, three):
                assert await each.arrived() == expected
            assert (await three.look("t", KEPT)).missed == [(1, b"a")]
            (nodes[prefix],) = (
                node.port for node in cluster if do(node.port, "KEYS", f"{{{prefix}}}:*")
            )
    assert len(set(nodes.values())) > 1
    # A node that does not answer is passed over, unless it has the keys.
    cluster[0].freeze()
    hosts = ",".join(url[16:] for url in urls[:2])
    (other,) = [p for p, node in nodes.items() if node == cluster[1].port][:1]
    async with working(make(f"redis+cluster://{hosts}", other)) as one:
        await one.join("t")
    cluster[0].thaw()
    with pytest.raises(BrokerError):
        await make(f"redis+cluster://127.0.0.1:{down}")
    # A node that has other keys says so.
    wrong = 0
    for node in cluster:
        async with working(make(node.url(), "a")) as one:
            one.session.look("t", None, 1)
            await one.got.until(lambda events: events or one.run.done())
            if one.run.done():
                assert "redis+cluster://" in await one.end()
                wrong += 1
    assert wrong == 2
