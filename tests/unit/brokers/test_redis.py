"""A session with a real Redis: orders, histories, and what becomes of it when something is wrong."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import signal
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import redis as library

from asgiws.brokers.redis import LARGEST, RedisSession, connect
from asgiws.brokers.redis_servers import Server
from asgiws.brokers.secrets import Secret
from asgiws.topics.broker import GAP, MESSAGE, OVERHEAD, BrokerError, Session, wrap
from asgiws.topics.message import KEPT, Keep, Position
from tests.support.brokers import Broker, Link, broker
from tests.support.sessions import HOST, Arrived, Looked, Refused, Working, working

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")

DOCS = Path(__file__).parents[3] / "docs"

MOST = 1 << 20

KEEP = Keep(100, 60.0)


@pytest.fixture(scope="module")
def redis() -> Iterator[Broker]:
    """For tests that leave it as it was, but for keys with prefixes of their own."""
    with broker("redis") as running:
        yield running


@pytest.fixture
def own() -> Iterator[Broker]:
    """For tests that change what all its clients notice."""
    with broker("redis") as running:
        yield running


@pytest.fixture
def prefix() -> str:
    return secrets.token_hex(6)


async def make(url: str, prefix: str, most: int = MOST) -> Session:
    return await connect(Server(url, Secret(None)), prefix, most)


def session(url: str, prefix: str, most: int = MOST) -> AbstractAsyncContextManager[Working]:
    return working(make(url, prefix, most))


def do(server: Broker, *words: Any, db: int = 0) -> Any:
    """A command of somebody else."""
    with library.Redis(port=server.port, db=db) as client:
        return client.execute_command(*words)


# Orders.


async def test_answers_and_messages_come_in_the_order_of_what_was_asked(
    redis: Broker, prefix: str
) -> None:
    async with session(redis.url(), prefix) as one:
        one.session.subscribe("t")
        one.session.look("t", None, 1)
        one.publish("t", b"a")
        one.session.settle(100)
        one.session.look("t", None, 2)
        one.publish("t", b"b", KEEP)
        one.session.look("t", KEPT, 3)
        one.session.unsubscribe("t")
        one.publish("t", b"c")
        kinds = [
            (type(event).__name__, event[1] if isinstance(event, Arrived) else event[0])
            for event in await one.events()
        ]
        looked = [event for event in one.got.events if isinstance(event, Looked)]
    assert looked == []
    places = {kind: kinds.index(kind) for kind in kinds}
    in_order = [("Looked", 1), ("Arrived", b"a"), ("Settled", 100), ("Looked", 2), ("Looked", 3)]
    assert [places[kind] for kind in in_order] == sorted(places[kind] for kind in in_order)
    # Its own message comes before the answer to the command, or behind it, but not behind the next.
    assert places[("Looked", 2)] < places[("Arrived", b"b")] < places[("Looked", 3)]
    assert ("Arrived", b"c") not in kinds


async def test_own_messages_come_before_they_are_settled(redis: Broker, prefix: str) -> None:
    async with session(redis.url(), prefix) as one:
        await one.join("t")
        for count in (1, 2, 100):
            expected = [("t", b"%d" % number) for number in range(count)]
            for topic, data in expected:
                one.publish(topic, data, KEEP if count == 2 else None)
            assert await one.arrived() == expected


async def test_the_messages_of_several_topics_keep_their_order(redis: Broker, prefix: str) -> None:
    topics = ["a", "b", "c"]
    async with session(redis.url(), prefix) as one, session(redis.url(), prefix) as two:
        for topic in topics:
            await one.join(topic)
            await two.join(topic)
        expected = [(topics[number % 3], b"%d" % number) for number in range(300)]
        for topic, data in expected:
            one.publish(topic, data)
        assert await one.arrived() == expected
        assert await two.arrived() == expected


async def test_what_is_asked_in_a_turn_leaves_in_one_write(redis: Broker, prefix: str) -> None:
    def reads() -> int:
        with library.Redis(port=redis.port) as client:
            return int(client.info("stats")["total_reads_processed"])

    async with session(redis.url(), prefix) as one:
        await one.join("t")
        alone = reads()
        alone = reads() - alone
        before = reads()
        for _ in range(50):
            one.publish("t", b"x")
        assert len(await one.arrived()) == 50
        assert reads() - before - alone <= 2


async def test_what_was_published_before_a_subscription_does_not_come(
    redis: Broker, prefix: str
) -> None:
    async with session(redis.url(), prefix) as one:
        one.publish("t", b"before", KEEP)
        looked = await one.join("t")
        one.publish("t", b"after", KEEP)
        assert (looked.position.offset, looked.missed) == (1, [])
        assert await one.arrived() == [("t", b"after")]
        one.session.unsubscribe("t")
        one.publish("t", b"between", KEEP)
        assert await one.arrived() == []
        looked = await one.join("t", looked.position)
        one.publish("t", b"then", KEEP)
        assert (looked.recovered, looked.missed) == (True, [(2, b"after"), (3, b"between")])
        assert await one.arrived() == [("t", b"then")]


# Histories.


async def test_a_history(redis: Broker, prefix: str) -> None:
    async with session(redis.url(), prefix) as one, session(redis.url(), prefix) as two:
        start = await one.join("t")
        assert (start.position.offset, start.recovered, start.keeps) == (0, None, False)
        for number in range(5):
            one.publish("t", b"%d" % number, Keep(3, 60.0))
        one.publish("t", b"also")
        arrived = await one.events()
        assert [event[:3] for event in arrived] == [
            *(("t", b"%d" % number, number + 1) for number in range(5)),
            ("t", b"also", 6),
        ]
        (epoch,) = {event.epoch for event in arrived}
        assert epoch == start.position.epoch
        kept = [(4, b"3"), (5, b"4"), (6, b"also")]
        top = Position(epoch, 6)
        assert await two.look("t") == (7, top, None, [], True)
        assert await two.look("t", KEPT) == (7, top, None, kept, True)
        assert await two.look("t", Position(epoch, 3)) == (7, top, True, kept, True)
        assert await two.look("t", Position(epoch, 5)) == (7, top, True, kept[2:], True)
        assert await two.look("t", top) == (7, top, True, [], True)
        assert await two.look("t", Position(epoch, 2)) == (7, top, False, [], True)
        assert await two.look("t", Position(epoch, 7)) == (7, top, False, [], True)
        assert await two.look("t", start.position) == (7, top, False, [], True)


async def test_word_of_a_loss_takes_no_place_in_the_history(redis: Broker, prefix: str) -> None:
    async with session(redis.url(), prefix) as one:
        await one.join("t")
        one.publish("t", b"last value", Keep(1, 60.0))
        one.session.publish("t", wrap(GAP, HOST, 9, b""), None)
        assert [offset for _, _, offset, _ in await one.events()] == [1, 0]
        assert (await one.look("t", KEPT)).missed == [(1, b"last value")]


@pytest.mark.parametrize(
    "epoch", ["", "x", ".", "..", "?", "x.y", "kept", "é" * 200, "\ud800", "\0\r\n"]
)
async def test_epochs_that_nobody_gave(redis: Broker, prefix: str, epoch: str) -> None:
    async with session(redis.url(), prefix) as one:
        one.publish("t", b"a", KEEP)
        looked = await one.look("t", Position(epoch, 1))
        run_id = looked.position.epoch.rpartition(".")[2]
        assert (looked.recovered, looked.missed) == (False, [])
        assert (await one.look("t", Position(f"{epoch}.{run_id}", 1))).recovered is False
        assert (await one.look("t", looked.position)).recovered is True


async def test_missed_messages_have_a_most_of_octets(redis: Broker, prefix: str) -> None:
    async with session(redis.url(), prefix, 1000) as one:
        for _ in range(10):
            one.publish("t", b"x" * (200 - OVERHEAD), KEEP)
        position = (await one.look("t")).position
        looked = await one.look("t", Position(position.epoch, 5))
        assert (looked.recovered, len(looked.missed)) == (True, 5)
        looked = await one.look("t", Position(position.epoch, 4))
        assert (looked.recovered, len(looked.missed)) == (False, 0)
        looked = await one.look("t", KEPT)
        assert looked.missed[-1][0] == 10
        assert 0 < len(looked.missed) <= 5


async def test_the_epoch_changes_whenever_all_is_lost(own: Broker, prefix: str) -> None:
    """However often, while the sessions stay."""
    async with session(own.url(), prefix) as one:
        await one.join("t")
        epochs: list[str] = []
        for _ in range(4):
            for data in (b"a", b"b"):
                one.publish("t", data, KEEP)
            found = {event.epoch for event in await one.events()}
            epochs += found
            assert len(found) == 1
            assert (await one.look("t", Position(epochs[0], 1))).recovered is (len(epochs) == 1)
            do(own, "FLUSHALL")
            if len(epochs) == 2:
                # Looking makes one as well.
                epochs.append((await one.look("t")).position.epoch)
                do(own, "FLUSHALL")
    assert len(set(epochs)) == len(epochs) == 5


async def test_the_epoch_changes_with_a_new_start(tmp_path: Path, prefix: str) -> None:
    """Even if everything is still there: the last messages may be not."""
    options = ("--appendonly", "yes", "--dir", str(tmp_path))
    with broker("redis", *options) as own:
        async with session(own.url(), prefix) as one:
            one.publish("t", b"a", KEEP)
            one.publish("t", b"b", KEEP)
            before = (await one.look("t")).position
            own.stop(signal.SIGTERM)
            assert await one.end()
        own.start()
        async with session(own.url(), prefix) as two:
            looked = await two.look("t", before)
            assert (looked.recovered, looked.missed) == (False, [])
            assert looked.position.offset == 2
            assert looked.position.epoch != before.epoch
            kept = (await two.look("t", KEPT)).missed
            assert kept == [(1, b"a"), (2, b"b")]


TOPICS = [
    *("a", "a b", " ", "a:b", ":", "{a}", "}{", "a.b", "*", "a*", "[a-z]", "?", "a/0:b", "\\", '"'),
    *("grüße", "日本語", "🙂", "%", "%2E", "\u2028", "x" * 255, "🙂" * 255, "state", "topic:a"),
]


async def test_topics_with_any_characters(redis: Broker, prefix: str) -> None:
    async with session(redis.url(), prefix) as one:
        for topic in TOPICS:
            await one.join(topic)
        for topic in TOPICS:
            one.publish(topic, b"1", KEEP)
            one.publish(topic, topic.encode(), KEEP)
        expected = [(topic, data) for topic in TOPICS for data in (b"1", topic.encode())]
        assert await one.arrived() == expected
        for topic in TOPICS:
            kept = (await one.look(topic, KEPT)).missed
            assert [data for _, data in kept] == [b"1", topic.encode()]


async def test_applications_are_kept_apart(own: Broker) -> None:
    ways = [("a", ""), ("b", ""), ("a", "/1"), ("a-", "/11"), ("state", "/1")]
    for number, (prefix, path) in enumerate(ways):
        async with session(own.url() + path, prefix) as one:
            assert (await one.join("t", KEPT)).missed == []
            for data in range(number + 1):
                one.publish("t", b"%d" % data, KEEP)
            await one.events()
            for other_prefix, other_path in ways:
                if (other_prefix, other_path) != (prefix, path):
                    async with session(own.url() + other_path, other_prefix) as other:
                        other.publish("t", b"other")
                        await other.events()
            assert await one.arrived() == []
            do(own, "FLUSHALL")


async def test_everything_that_is_stored_has_the_prefix(own: Broker) -> None:
    async with session(own.url(), "app") as one:
        for topic in TOPICS:
            one.publish(topic, b"x", KEEP)
        await one.events()
    expected = {b"{app}:topic:%b" % topic.encode() for topic in TOPICS} | {b"{app}:state"}
    assert set(do(own, "KEYS", "*")) == expected


# What is wrong.


@pytest.mark.parametrize("at", ["secret", ":wrong", "nobody:right", "default:wrong"])
async def test_a_wrong_password(own: Broker, prefix: str, at: str) -> None:
    do(own, "CONFIG", "SET", "requirepass", "right")
    user = f"{at}@"
    with pytest.raises(BrokerError) as caught:
        await make(own.url().replace("//", f"//{user}"), prefix)
    assert str(caught.value)
    assert not any(word in str(caught.value) for word in ("wrong", "right", "secret"))


async def test_without_a_password(own: Broker, prefix: str) -> None:
    do(own, "CONFIG", "SET", "requirepass", "right")
    with pytest.raises(BrokerError, match=r"^it needs a password$"):
        await make(own.url(), prefix)


async def test_a_user_that_may_not_publish(own: Broker, prefix: str) -> None:
    do(own, "ACL", "SETUSER", "u", "on", ">pw", "~*", "&*", "+@all", "-publish")
    async with session(own.url(user="u:pw"), prefix) as one:
        await one.join("t")
        one.publish("t", b"a")
        one.publish("t", b"b", KEEP)
        events = await one.events()
        assert [type(event) for event in events] == [Refused, Refused]
        assert [event.topic for event in events] == ["t", "t"]
        assert own.url()[8:] in events[0].why
        assert "pw" not in events[0].why
        # What others publish comes.
        async with session(own.url(), prefix) as other:
            other.publish("t", b"c")
            await other.events()
        assert await one.arrived() == [("t", b"c")]


async def test_a_user_with_no_more_than_the_docs_name(own: Broker) -> None:
    (rule,) = re.findall("`ACL SETUSER ([^`]+)`", (DOCS / "pubsub.md").read_text("utf-8"))
    do(own, "ACL", "SETUSER", *rule.replace("PASSWORD", "pw").split())
    async with session(own.url(user="app:pw"), "asgiws") as one:
        await one.join("t")
        one.publish("t", b"a")
        for _ in range(3):
            one.publish("t", b"b", Keep(2, 60.0))
        one.session.probe()
        assert await one.arrived() == [("t", b"a"), *[("t", b"b")] * 3]
        assert (await one.look("t", KEPT)).missed == [(2, b"b"), (3, b"b")]
        # Too old at the next: it is deleted.
        one.publish("t", b"c", Keep(2, 0.001))
        await one.events()
        await asyncio.sleep(0.01)
        one.publish("t", b"d", Keep(2, 0.001))
        one.session.unsubscribe("t")
        assert not any(isinstance(event, Refused) for event in await one.events())
    async with session(own.url(user="app:pw"), "other") as one:
        one.session.look("t", None, 1)
        assert await one.end()


async def test_a_user_that_may_not_subscribe(own: Broker, prefix: str) -> None:
    """What its answer would be for is not mistaken for the answer to something else."""
    do(own, "ACL", "SETUSER", "u", "on", ">pw", "~*", "resetchannels", "+@all")
    async with session(own.url(user="u:pw"), prefix) as one:
        one.session.subscribe("t")
        one.session.look("t", None, 1)
        assert "permission" in (await one.end()).lower()


@pytest.mark.parametrize("what", ["evalsha", "script|load"])
async def test_a_user_that_may_not_use_scripts(own: Broker, prefix: str, what: str) -> None:
    do(own, "ACL", "SETUSER", "u", "on", ">pw", "~*", "&*", "+@all", f"-{what}")
    if what == "evalsha":
        async with session(own.url(user="u:pw"), prefix) as one:
            one.session.look("t", None, 1)
            assert what in await one.end()
    else:
        with pytest.raises(BrokerError, match="script"):
            await make(own.url(user="u:pw"), prefix)


async def test_a_redis_without_memory_refuses_what_is_kept(own: Broker, prefix: str) -> None:
    async with session(own.url(), prefix) as one:
        await one.join("t")
        one.publish("t", b"a", KEEP)
        assert await one.arrived() == [("t", b"a")]
        do(own, "CONFIG", "SET", "maxmemory-policy", "noeviction")
        do(own, "CONFIG", "SET", "maxmemory", "1")
        one.publish("t", b"b", KEEP)
        (refused,) = await one.events()
        assert isinstance(refused, Refused)
        assert refused.topic == "t"
        assert "maxmemory" in refused.why
        assert (await one.look("t", KEPT)).missed == [(1, b"a")]
        do(own, "CONFIG", "SET", "maxmemory", "0")
        one.publish("t", b"c", KEEP)
        assert [event[:3] for event in await one.events()] == [("t", b"c", 2)]


async def test_a_redis_without_memory_takes_what_is_not_kept(own: Broker, prefix: str) -> None:
    """From the start on: nothing is stored for it."""
    do(own, "CONFIG", "SET", "maxmemory", "1")
    async with session(own.url(), prefix) as one:
        await one.join("t")
        one.publish("t", b"a")
        assert await one.arrived() == [("t", b"a")]


async def test_scripts_that_were_flushed_end_the_session(own: Broker, prefix: str) -> None:
    async with session(own.url(), prefix) as one:
        await one.join("t")
        do(own, "SCRIPT", "FLUSH")
        one.publish("t", b"a")
        assert "script" in (await one.end()).lower()
        assert not any(isinstance(event, Refused) for event in one.got.events)
    async with session(own.url(), prefix) as one:
        await one.join("t")
        one.publish("t", b"b")
        assert await one.arrived() == [("t", b"b")]


async def test_a_connection_that_is_killed_ends_the_session(own: Broker, prefix: str) -> None:
    async with session(own.url(), prefix) as one:
        await one.join("t")
        do(own, "CLIENT", "KILL", "TYPE", "pubsub")
        assert await one.end()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_server_that_ends_ends_the_session(
    own: Broker, prefix: str, number: signal.Signals
) -> None:
    async with session(own.url(), prefix) as one:
        await one.join("t")
        own.stop(number)
        assert await one.end()
    with pytest.raises((BrokerError, OSError)):
        await make(own.url(), prefix)


async def test_a_way_that_is_cut_ends_the_session(redis: Broker, prefix: str) -> None:
    async with Link(redis) as link, session(redis.url(link.port), prefix) as one:
        await one.join("t")
        link.cut()
        assert await one.end()


async def test_a_server_that_is_frozen(own: Broker, prefix: str) -> None:
    """It can be probed, and closing does not wait for it."""
    async with session(own.url(), prefix) as one, session(own.url(), prefix) as two:
        await one.join("t")
        heard = one.session.heard
        one.session.probe()
        await one.events()
        assert one.session.heard > heard
        own.freeze()
        heard = one.session.heard
        one.session.probe()
        one.publish("t", b"x" * 4_000_000)
        await asyncio.sleep(0.05)
        assert one.session.heard == heard
        two.run.cancel()
        await asyncio.wait([two.run])
        await asyncio.wait_for(two.session.close(), 30)
        own.thaw()
        assert await one.arrived() == [("t", b"x" * 4_000_000)]


async def test_a_master_that_becomes_a_replica_ends_the_session(own: Broker, prefix: str) -> None:
    async with session(own.url(), prefix) as one:
        await one.join("t")
        do(own, "REPLICAOF", "127.0.0.1", "1")
        one.publish("t", b"a", KEEP)
        assert "read only" in await one.end()
        assert not any(isinstance(event, Refused) for event in one.got.events)


async def test_a_master_that_became_a_replica_is_found_by_a_probe(own: Broker, prefix: str) -> None:
    """Redis itself would go on to take messages that are not kept, and pass them on to nobody elsewhere."""
    async with session(own.url(), prefix) as one:
        await one.join("t")
        one.session.probe()
        assert await one.events() == []
        do(own, "REPLICAOF", "127.0.0.1", "1")
        one.publish("t", b"a")
        one.session.probe()
        assert "replica" in await one.end()


async def test_without_info_it_works(own: Broker, prefix: str) -> None:
    do(own, "ACL", "SETUSER", "u", "on", ">pw", "~*", "&*", "+@all", "-info")
    async with session(own.url(user="u:pw"), prefix) as one:
        await one.join("t")
        one.publish("t", b"a", KEEP)
        heard = one.session.heard
        one.session.probe()
        assert await one.arrived() == [("t", b"a")]
        assert one.session.heard == heard + 4


async def test_a_replica_is_not_used(own: Broker, prefix: str) -> None:
    """What is published there reaches nobody elsewhere."""
    do(own, "REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(BrokerError, match="replica"):
        await make(own.url(), prefix)


async def test_a_subscriber_that_redis_finds_too_slow(own: Broker, prefix: str) -> None:
    async with session(own.url(), prefix) as one:
        await one.join("t")
        do(own, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 100kb 100kb 0")
        one.publish("t", b"x" * 4_000_000)
        assert await one.end()


async def test_the_largest_envelope(redis: Broker, prefix: str) -> None:
    async with session(redis.url(), prefix) as one, session(redis.url(), prefix) as two:
        await one.join("t")
        await two.join("t")
        data = b"x" * (LARGEST - OVERHEAD)
        one.publish("t", data)
        one.publish("t", data)
        for each in (one, two):
            assert [len(found) for _, found in await each.arrived()] == [len(data)] * 2


STRANGE = [
    *(b"", b":", b"::", b":::", b"x", b"1", b"1:", b"1:e", b"0:-:", b"x:y:z", b"-1:e:", b"+1:e:x"),
    *(b"99999999999999999999:e:x", b"9" * 5000 + b":e:x", b"0x10:e:x", "٣:e:x".encode(), b"\xff"),
    *(b"1:\xff\xfe:x", b"1:" + b"e" * 100_000 + b":x", bytes(range(256)), b"\r\n", b" 1:e:x"),
]


async def test_what_strangers_publish_there(redis: Broker, prefix: str) -> None:
    async with session(redis.url(), prefix) as one:
        await one.join("t")
        one.publish("t", b"known", KEEP)
        (known,) = await one.events()
        for payload in STRANGE:
            do(redis, "PUBLISH", f"{prefix}/0:t", payload)
        events = await one.events()
        assert len(events) == len(STRANGE)
        # None of them moves the topic: they are no messages of ours.
        assert {event.topic for event in events} == {"t"}
        assert {event.offset for event in events} == {0}
        one.publish("t", b"next", KEEP)
        assert await one.events() == [("t", b"next", 2, known.epoch)]


async def test_a_message_that_seems_to_be_ours_has_its_place(redis: Broker, prefix: str) -> None:
    async with session(redis.url(), prefix) as one:
        await one.join("t")
        do(redis, "PUBLISH", f"{prefix}/0:t", b"12:e:" + wrap(MESSAGE, HOST, 5, b"x"))
        (event,) = await one.events()
        assert event[:3] == ("t", b"x", 12)
        assert event.epoch.startswith("e.")
        do(
            redis,
            "PUBLISH",
            f"{prefix}/0:t",
            b"12:%b:%b" % (b"e" * 49, wrap(MESSAGE, HOST, 6, b"")),
        )
        assert await one.events() == [("t", b"", 0, "")]


async def test_what_session_says_of_itself(redis: Broker, prefix: str) -> None:
    async with session(redis.url(), prefix) as one:
        assert isinstance(one.session, RedisSession)
        assert one.session.name == f"Redis at 127.0.0.1:{redis.port}"
        assert one.session.why_no_history == ""
        assert one.session.largest == LARGEST


async def test_closing_is_idempotent(redis: Broker, prefix: str) -> None:
    async with session(redis.url(), prefix) as one:
        await one.session.close()
        await one.session.close()
