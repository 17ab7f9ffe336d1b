"""A session with a real NATS: orders, subjects, and what becomes of it when something is wrong."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import nats
import pytest
import trustme

from asgiws.brokers.nats import NO_HISTORY, NatsSession, Target, connect
from asgiws.brokers.secrets import Secret
from asgiws.config import StartError
from asgiws.topics.broker import GAP, MESSAGE, OVERHEAD, BrokerError, Session, wrap
from asgiws.topics.message import KEPT, Position
from tests.support.brokers import Broker, Link, broker
from tests.support.server import free_port
from tests.support.sessions import HOST, Arrived, Refused, Settled, Working, working

needs_nats = pytest.mark.skipif(shutil.which("nats-server") is None, reason="needs nats-server")


@pytest.fixture(scope="module")
def server() -> Iterator[Broker]:
    """For tests that leave it as it was."""
    if shutil.which("nats-server") is None:
        pytest.skip("needs nats-server")
    with broker("nats") as running:
        yield running


@pytest.fixture
def own() -> Iterator[Broker]:
    """For tests that end it."""
    if shutil.which("nats-server") is None:
        pytest.skip("needs nats-server")
    with broker("nats") as running:
        yield running


@pytest.fixture
def prefix() -> str:
    return secrets.token_hex(6)


async def make(url: str, prefix: str = "app", file: Path | None = None) -> Session:
    return await connect(Target(url, Secret(None if file is None else str(file))), prefix)


def session(
    url: str, prefix: str = "app", file: Path | None = None
) -> AbstractAsyncContextManager[Working]:
    return working(make(url, prefix, file))


async def check(url: str, file: Path | None = None) -> str:
    """A session there works; returns its name."""
    async with session(url, secrets.token_hex(6), file) as one:
        await one.join("t")
        one.publish("t", b"a")
        assert await one.arrived() == [("t", b"a")]
        return one.session.name


async def refusal(url: str, file: Path | None = None) -> str:
    with pytest.raises((BrokerError, OSError)) as caught:
        await asyncio.wait_for(make(url, file=file), 30)
    return str(caught.value)


async def publish(server: Broker, subject: str, *payloads: bytes) -> None:
    """Publish as somebody else."""
    client = await nats.connect(server.url())
    for payload in payloads:
        await client.publish(subject, payload)
    await client.close()


# Orders.


async def test_answers_and_messages_come_in_the_order_of_what_was_asked(
    server: Broker, prefix: str
) -> None:
    async with session(server.url(), prefix) as one:
        one.session.subscribe("t")
        one.session.look("t", None, 1)
        one.publish("t", b"a")
        one.session.settle(100)
        one.publish("u", b"nobody")
        one.session.look("t", None, 2)
        one.publish("t", b"b")
        one.session.look("t", KEPT, 3)
        kinds = [
            (type(event).__name__, event[1] if isinstance(event, Arrived) else event[0])
            for event in await one.events()
        ]
    assert kinds == [
        *(("Looked", 1), ("Arrived", b"a"), ("Settled", 100), ("Looked", 2), ("Arrived", b"b")),
        ("Looked", 3),
    ]


async def test_own_messages_come_before_they_are_settled(server: Broker, prefix: str) -> None:
    async with session(server.url(), prefix) as one:
        for topic in "abc":
            await one.join(topic)
        for _ in range(20):
            expected = [("abc"[at % 3], b"%d" % at) for at in range(50)]
            for topic, data in expected:
                one.publish(topic, data)
            assert await one.arrived() == expected


async def test_the_messages_of_several_topics_keep_their_order(server: Broker, prefix: str) -> None:
    topics = ["c", "a", "b", "d"]
    async with session(server.url(), prefix) as one, session(server.url(), prefix) as two:
        for each in (one, two):
            for topic in topics:
                await each.join(topic)
        expected = [(topics[at * 7 % 4], b"%d" % at) for at in range(2000)]
        for topic, data in expected:
            one.publish(topic, data)
        assert await one.arrived() == expected
        await two.got.until(lambda events: len(events) >= len(expected))
        assert await two.arrived() == expected


async def test_each_publisher_keeps_its_order(server: Broker, prefix: str) -> None:
    topics = ["a", "b", "c"]
    async with session(server.url(), prefix) as one, session(server.url(), prefix) as two:
        for topic in topics:
            await one.join(topic)
            await two.join(topic)
        hosts = (b"host-one", b"host-two")
        for at in range(300):
            for each, host in ((one, hosts[0]), (two, hosts[1])):
                data = b"%b %d" % (host, at)
                envelope = wrap(MESSAGE, host, at + 1, data)
                each.session.publish(topics[at % 3], envelope, None)
            if at % 50 == 0:
                await asyncio.sleep(0)
        for each in (one, two):
            await each.got.until(
                lambda events: sum(isinstance(event, Arrived) for event in events) >= 600
            )
            found = await each.arrived()
            for host in hosts:
                numbers = [int(data[9:]) for _, data in found if data.startswith(host)]
                assert numbers == list(range(300))
        del found


async def test_settled_waits_for_messages_that_came_at_the_same_time(
    server: Broker, prefix: str
) -> None:
    """Whatever the kinds of what is between."""
    async with session(server.url(), prefix) as one:
        await one.join("t")
        one.session.publish("t", wrap(GAP, HOST, 1, b"gap"), None)
        one.session.settle(1000)
        one.session.publish("t", wrap(MESSAGE, HOST, 5, b"a"), None)
        one.session.settle(1001)
        one.session.settle(1002)
        one.session.publish("t", wrap(GAP, HOST, 5, b"gap"), None)
        one.session.publish("t", wrap(MESSAGE, HOST, 9, b"b"), None)
        events = await one.events()
        contents = [event[1] for event in events if isinstance(event, Arrived)]
        assert sorted(contents) == [b"a", b"b", b"gap", b"gap"]
        assert [event[0] for event in events if isinstance(event, Settled)] == [1000, 1001, 1002]
        places = [event[1] if isinstance(event, Arrived) else event[0] for event in events]
        assert places.index(b"gap") < places.index(1000)
        assert places.index(b"a") < places.index(1001)


# Topics.


TOPICS = [
    *(
        "a",
        "a b",
        " ",
        "a.b",
        ".",
        "..",
        "a.",
        ".a",
        "*",
        "a.*",
        ">",
        "a.>",
        "$SYS",
        "_INBOX.x",
        "%2E",
    ),
    *(
        "a:b",
        "\\",
        '"',
        "~",
        "-",
        "_",
        "/",
        "grüße",
        "日本語",
        "🙂",
        "\u2028",
        "x" * 255,
        "🙂" * 255,
        "+",
    ),
]


async def test_topics_with_any_characters(server: Broker, prefix: str) -> None:
    async with session(server.url(), prefix) as one:
        for topic in TOPICS:
            await one.join(topic)
        expected = [(topic, topic.encode()) for topic in TOPICS]
        for topic, data in expected:
            one.publish(topic, data)
        assert await one.arrived() == expected


async def test_a_topic_is_no_pattern(server: Broker, prefix: str) -> None:
    async with session(server.url(), prefix) as one:
        for topic in ("*", ">", "a.*", "a.>", "a*"):
            await one.join(topic)
        for topic in ("a", "a.b", "a.b.c", "ab"):
            one.publish(topic, b"x")
        assert await one.arrived() == []


async def test_applications_are_kept_apart(server: Broker) -> None:
    async with (
        session(server.url(), "app") as one,
        session(server.url(), "app2") as two,
        session(server.url(), "app-own") as three,
    ):
        for each in (one, two, three):
            await each.join("t")
        one.publish("t", b"one")
        assert await one.arrived() == [("t", b"one")]
        assert await two.arrived() == []
        assert await three.arrived() == []


async def test_unsubscribing(server: Broker, prefix: str) -> None:
    async with session(server.url(), prefix) as one:
        for topic in ("t", "u"):
            await one.join(topic)
        one.session.unsubscribe("t")
        one.session.unsubscribe("unknown")
        one.publish("t", b"1")
        one.publish("u", b"2")
        assert await one.arrived() == [("u", b"2")]
        await one.join("t")
        one.publish("t", b"3")
        assert await one.arrived() == [("t", b"3")]
        for _ in range(3):
            one.session.unsubscribe("t")
            one.session.subscribe("t")
        one.publish("t", b"4")
        assert await one.arrived() == [("t", b"4")]


# No history.


async def test_it_keeps_no_history(server: Broker, prefix: str) -> None:
    async with session(server.url(), prefix) as one:
        assert isinstance(one.session, NatsSession)
        assert one.session.why_no_history == NO_HISTORY
        assert one.session.name == f"NATS at 127.0.0.1:{server.port}"
        looked = await one.join("t")
        assert (looked.position.offset, looked.missed, looked.keeps) == (0, [], False)
        assert looked.recovered is None
        one.publish("t", b"a")
        (arrived,) = await one.events()
        assert arrived == ("t", b"a", 0, "")
        for since in (looked.position, Position("x", 7), Position("\ud800", 7)):
            assert (await one.look("t", since)).recovered is False
        kept = await one.look("t", KEPT)
        assert (kept.missed, kept.recovered) == ([], None)


# What is wrong.


async def test_a_message_that_is_larger_than_it_takes(tmp_path: Path, server: Broker) -> None:
    assert server.port
    file = tmp_path / "nats.conf"
    file.write_text("max_payload: 2000\n")
    with broker("nats", "-c", str(file)) as small:
        async with session(small.url()) as one:
            assert one.session.largest == 2000
            await one.join("a.b")
            one.publish("a.b", b"x" * (2000 - OVERHEAD))
            one.publish("a.b", b"y" * (2001 - OVERHEAD))
            one.publish("a.b", b"z")
            events = await one.events()
            arrived = [event[1][:1] for event in events if isinstance(event, Arrived)]
            assert arrived == [b"x", b"z"]
            (refused,) = [event for event in events if isinstance(event, Refused)]
            assert refused.topic == "a.b"
            assert "2000" in refused.why


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_server_that_ends_ends_the_session(own: Broker, number: signal.Signals) -> None:
    async with session(own.url()) as one:
        await one.join("t")
        own.stop(number)
        assert await one.end()
    assert await refusal(own.url())


async def test_a_way_that_is_cut_ends_the_session(server: Broker) -> None:
    async with Link(server) as link, session(server.url(link.port)) as one:
        await one.join("t")
        link.cut()
        assert await one.end()


async def test_a_server_that_is_frozen(own: Broker) -> None:
    """It can be probed, and closing does not wait for it for long."""
    async with session(own.url()) as one, session(own.url()) as two:
        await one.join("t")
        heard = one.session.heard
        one.session.probe()
        await one.events()
        assert one.session.heard > heard + 1
        own.freeze()
        heard = one.session.heard
        one.session.probe()
        for _ in range(20):
            one.publish("t", b"x" * 500_000)
            two.publish("t", b"y" * 500_000)
        await asyncio.sleep(0.05)
        assert one.session.heard == heard
        two.run.cancel()
        await asyncio.wait([two.run])
        await asyncio.wait_for(two.session.close(), 30)
        own.thaw()
        await one.got.until(lambda events: len([e for e in events if e[1][:1] == b"x"]) == 20)


@needs_nats
async def test_a_subscriber_that_nats_finds_too_slow(tmp_path: Path) -> None:
    file = tmp_path / "nats.conf"
    file.write_text("max_payload: 500000\nmax_pending: 500000\n")
    with broker("nats", "-c", str(file)) as strict:
        async with session(strict.url()) as one:
            await one.join("t")
            # The event loop does nothing else meanwhile.
            _flood(strict.port, "app.t", 200)
            assert await one.end()


def _flood(port: int, subject: str, count: int) -> None:
    """Publish many large messages."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(b'CONNECT {"verbose": false}\r\n')
        message = b"PUB %b 500000\r\n%b\r\n" % (subject.encode(), b"x" * 500_000)
        for _ in range(count):
            connection.sendall(message)
        connection.sendall(b"PING\r\n")
        received = b""
        while b"PONG" not in received:
            received += connection.recv(65536)


async def test_what_strangers_publish_there(
    server: Broker, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    strange = [b"", b"x", b"\0" * 16, b"\xff" * 100, b"s:1::0", wrap(MESSAGE, b"stranger", 1, b"")]
    async with session(server.url(), prefix) as one:
        await one.join("t")
        await publish(server, f"{prefix}.t", *strange)
        await one.got.until(lambda events: len(events) >= len(strange))
        assert {event[:1] + event[2:] for event in await one.events()} == {("t", 0, "")}
        one.publish("t", b"a")
        assert await one.arrived() == [("t", b"a")]


@pytest.mark.parametrize("what", ["publish", "subscribe"])
async def test_a_user_who_may_not_use_its_subjects(tmp_path: Path, what: str) -> None:
    """NATS tells it late, and the session ends: what it believes to be in force may not be."""
    file = tmp_path / "nats.conf"
    file.write_text(
        "authorization { users = [{user: u, password: secret, permissions: "
        '{publish: {deny: ["app.publish"]}, subscribe: {deny: ["app.subscribe"]}}}] }\n'
    )
    with broker("nats", "-c", str(file)) as strict:
        async with session(strict.url(user="u:secret")) as one:
            if what == "publish":
                one.publish("publish", b"a")
            else:
                one.session.subscribe("subscribe")
            assert f"permissions violation for {what[:7]}" in (await one.end()).lower()


# URLs.


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("nats://", "NATS at localhost"),
        ("nats://h", "NATS at h"),
        ("nats://u:secret@a,b:1,[::1]:2", "NATS at a,b:1,[::1]:2"),
        ("tls://s%2Fcret@a/", "NATS at a"),
    ],
)
def test_names_have_no_password(url: str, name: str) -> None:
    assert Target(url, Secret(None)).name == name


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nats://h", {}),
        ("nats://t%40ken@h", {"token": "t@ken"}),
        ("nats://:t%40ken@h", {"token": "t@ken"}),
        ("nats://u%3A:p%40@h", {"user": "u:", "password": "p@"}),
    ],
)
def test_arguments(url: str, expected: dict[str, str]) -> None:
    assert Target(url, Secret(None)).arguments() == {"servers": ["nats://h:4222"], **expected}


@pytest.mark.parametrize(
    "url",
    [
        *(
            "nats://u:secret/word@h",
            "nats://u:12/secret@h",
            "nats://u:secret#@h",
            "nats://u:secret?@h",
        ),
        *("nats://[secret", "nats://h:secret", "nats://u:secret@h/topic", "nats://h/secret"),
        *("nats://h?nothing=secret", "nats://a,:1", "nats://h:99999"),
    ],
)
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(StartError) as caught:
        Target(url, Secret(None))
    text = str(caught.value)
    assert text.startswith("pubsub: ")
    assert "\n" not in text
    assert "secret" not in text


async def test_several_servers_of_which_some_are_down(server: Broker) -> None:
    down = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    for hosts in (f"{down},127.0.0.1:{server.port}", f"127.0.0.1:{server.port},{down}"):
        for _ in range(3):
            assert await check(f"nats://{hosts}") == f"NATS at {hosts}"
    # All of them: it says why, at once.
    assert "Connect" in await refusal(f"nats://{down}")


async def test_attempts_leave_nothing_open(own: Broker, tmp_path: Path) -> None:
    def is_open() -> int:
        return len(os.listdir("/proc/self/fd"))

    with broker("nats", "--user", "u", "--pass", "p") as strict:
        await refusal(strict.url())
        before = is_open()
        for _ in range(5):
            assert "uthorization" in await refusal(strict.url(user="u:wrong"))
            await refusal(f"nats://127.0.0.1:{free_port()}")
            assert "TLS" in await refusal(f"tls://u:p@127.0.0.1:{own.port}")
            async with session(own.url()) as one:
                await one.events()
        await asyncio.sleep(0)
        assert is_open() <= before


PASSWORD = "p@:/ ?#%wörd"
QUOTED = "p%40%3A%2F%20%3F%23%25w%C3%B6rd"


@needs_nats
async def test_users_and_passwords(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    with broker("nats", "--user", "u", "--pass", PASSWORD) as own:
        await check(own.url(user=f"u:{QUOTED}"))
        for text, user in (
            (f"u:{PASSWORD}\n", ""),
            (f":{PASSWORD}", "u"),
            (f"u:{PASSWORD}", "x:y"),
        ):
            file.write_text(text, encoding="utf-8")
            await check(own.url(user=user), file)
        for user in ("", "u:wrong", "wrong"):
            assert "wrong" not in await refusal(own.url(user=user))
        # It is read for each connection.
        target = Target(own.url(), Secret(str(file)))
        file.write_text("u:wrong")
        with pytest.raises(BrokerError):
            await connect(target, "app")
        file.write_text(f"u:{PASSWORD}", encoding="utf-8")
        async with working(connect(target, "app")) as one:
            await one.events()
        file.unlink()
        with pytest.raises(BrokerError, match="pubsub_password_file"):
            await connect(target, "app")


@needs_nats
async def test_tokens(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    with broker("nats", "--auth", PASSWORD) as own:
        await check(own.url(user=QUOTED))
        await check(own.url(user=f":{QUOTED}"))
        file.write_text(f":{PASSWORD}", encoding="utf-8")
        await check(own.url(), file)
        assert "wrong" not in await refusal(own.url(user="wrong"))


@needs_nats
async def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    pem, ca = tmp_path / "server.pem", tmp_path / "ca.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    authority.cert_pem.write_to_path(str(ca))
    with broker("nats", "--tls", "--tlscert", str(pem), "--tlskey", str(pem)) as own:
        url = own.url().replace("nats:", "tls:")
        assert "certificate" in (await refusal(url)).lower()
        assert await check(f"{url}?ca={ca}") == f"NATS at 127.0.0.1:{own.port}"
        # Without, the authorities are those of the system, or of OpenSSL's variable.
        monkeypatch.setenv("SSL_CERT_FILE", str(ca))
        assert await check(url) == f"NATS at 127.0.0.1:{own.port}"
        assert "localhost" in await refusal(url.replace("127.0.0.1", "localhost"))


async def test_closing_is_idempotent(server: Broker) -> None:
    async with session(server.url()) as one:
        await one.join("t")
        await one.session.close()
        await one.session.close()
        assert await one.end()


def _token(issuer: Any, subject: bytes, **nats: Any) -> str:
    """A JWT as NATS has them."""

    def part(value: Any) -> bytes:
        octets = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(octets).rstrip(b"=")

    claims = {
        "jti": secrets.token_hex(8),
        "iat": 1_700_000_000,
        "iss": issuer.public_key.decode(),
        "name": "test",
        "sub": subject.decode(),
        "nats": {"version": 2, **nats},
    }
    signed = part({"typ": "JWT", "alg": "ed25519-nkey"}) + b"." + part(claims)
    return (signed + b"." + part(issuer.sign(signed))).decode()


@needs_nats
async def test_credentials(tmp_path: Path) -> None:
    keys = pytest.importorskip("nkeys", reason="needs nkeys")

    def pair(prefix: int) -> tuple[Any, bytes]:
        seed = bytes(keys.encode_seed(secrets.token_bytes(32), prefix))
        return keys.from_seed(bytearray(seed)), seed

    operator, _ = pair(keys.PREFIX_BYTE_OPERATOR)
    account, _ = pair(keys.PREFIX_BYTE_ACCOUNT)
    user, seed = pair(keys.PREFIX_BYTE_USER)
    unlimited = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
    limits = {**unlimited, "wildcards": True}
    tokens = [
        _token(operator, operator.public_key, type="operator"),
        _token(operator, account.public_key, type="account", limits=limits),
        _token(account, user.public_key, type="user", subs=-1, data=-1, payload=-1),
    ]
    file = tmp_path / "nats.conf"
    name = account.public_key.decode()
    file.write_text(
        f"operator: {tokens[0]}\nresolver: MEMORY\nresolver_preload: {{ {name}: {tokens[1]} }}\n"
    )
    credentials = tmp_path / "user.creds"
    credentials.write_text(
        f"-----BEGIN NATS USER JWT-----\n{tokens[2]}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed.decode()}\n------END USER NKEY SEED------\n"
    )
    with broker("nats", "-c", str(file)) as own:
        assert await check(f"{own.url()}?credentials={credentials}")
        assert await refusal(own.url())
        other = credentials.read_text().replace(
            seed.decode(), pair(keys.PREFIX_BYTE_USER)[1].decode()
        )
        for text in ("", "nonsense", other):
            credentials.write_text(text)
            assert await refusal(f"{own.url()}?credentials={credentials}")


def test_credentials_need_a_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "nkeys", None)
    file = tmp_path / "user.creds"
    file.touch()
    with pytest.raises(StartError, match="nkeys"):
        Target(f"nats://h?credentials={file}", Secret(None))


def test_credentials_need_a_file(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="does not exist"):
        Target(f"nats://h?credentials={tmp_path / 'none.creds'}", Secret(None))
