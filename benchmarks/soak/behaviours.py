"""What WebSocket clients do: one function for each behaviour, good and bad.

Rules of this file:
- A behaviour says in its account what the ledger must hold, before or while it does it.
- Gone is allowed where the route cuts connections, and else caught by the behaviour that expects it.
- An exchange that is `exact` is complete in both directions before the connection ends in order.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Awaitable, Callable

from benchmarks.soak import messages, wire
from benchmarks.soak.actor import MAYBE, NO, YES, Actor
from benchmarks.soak.client import Gone, Impatient, Refused, handshake
from benchmarks.soak.wire import Closed

Behaviour = Callable[[Actor], Awaitable[None]]

#: Codes that a client may close with; None for an empty close frame.
CODES = (
    *(None, 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014),
    *(3000, 3999, 4000, 4999),
)
LOST = 1006

#: The largest message that the server takes in a soak.
MAX_SIZE = 2 * 1024 * 1024


# Well-behaved.


async def echo(actor: Actor) -> None:
    """Bursts of messages, each answered, for a lifetime; then an orderly end with any code."""
    deflate = actor.random.random() < 0.4
    await actor.websocket("/echo", deflate=deflate)
    lifetime = actor.lifetime()
    while lifetime > 0 and not actor.life.over:
        await actor.say(actor.random.randrange(1, 9))
        await actor.hear(actor.account.sent)
        think = actor.think()
        lifetime -= max(think, 0.05)
        await actor.life.nap(think, actor.client)
    await actor.close(actor.random.choice(CODES[:3]))
    actor.echoed()


async def idle(actor: Actor) -> None:
    """Open, and silent but for pongs."""
    client = await actor.websocket("/echo")
    await actor.life.nap(actor.lifetime() * 2, client)
    await actor.close(1001, "idle long enough")


async def listener(actor: Actor) -> None:
    """Subscribe, and get every message from the first to the last."""
    topic = actor.random.randrange(actor.pace.topics)
    client = await actor.websocket("/listen", topic=topic, deflate=actor.random.random() < 0.3)
    first = json.loads(str(await client.receive()))["first"]
    order = actor.replies = messages.Order(first)
    await actor.life.nap(actor.lifetime())
    client.write(wire.frame(wire.TEXT, b"stop"))
    while True:
        event = await client.receive()
        if isinstance(event, str) and event.startswith("{"):
            break
        actor.take(event)
    last = json.loads(event)["last"]
    if order.next != last or order.count != last - first:
        actor.problem(f"{order.count} messages up to {order.next}, not those of {first} to {last}")
    await actor.close(1000)


async def publisher(actor: Actor) -> None:
    """Publish to a topic, now and then."""
    topic = actor.random.randrange(actor.pace.topics)
    client = await actor.websocket("/publish", topic=topic)
    lifetime = actor.lifetime()
    while lifetime > 0 and not actor.life.over:
        await client.send(actor.message(actor.random.choice([20, 200, 2000]), text=True))
        await actor.hear(actor.account.sent)
        think = actor.think()
        lifetime -= max(think, 0.05)
        await actor.life.nap(think, client)
    await actor.close(None)
    actor.echoed()


async def tiny_fragments(actor: Actor) -> None:
    """Messages in fragments of one octet, pings among them."""
    client = await actor.websocket("/echo")
    ping = wire.frame(wire.PING, b"tiny")
    for _ in range(3):
        message = actor.message(actor.random.randrange(100, 1500))
        size = len(message.encode() if isinstance(message, str) else message)
        await client.send(message, [actor.random.choice([b"", b"", ping]) for _ in range(size)])
    await actor.hear(actor.account.sent)
    await actor.close(1000)
    actor.echoed()


async def slow_reader(actor: Actor) -> None:
    """Ask for more than the buffers hold, and read it little by little: some for longer than a ping may take,
    which is behind all of it."""
    size, count = 20_000, 150
    client = await actor.websocket("/flood", size=size, count=count, receive_buffer=65_536)
    client.reads_once = True
    at_once = actor.random.choice([1, 10])
    while actor.replies.count < count:
        if actor.replies.count % at_once == 0:
            await actor.life.nap(actor.random.uniform(0, 0.3))
        actor.take(await client.receive())
    if actor.replies.next != count:
        actor.problem(f"{actor.replies.count} messages came, not {count} in order")
    client.reads_once = False
    client.resume()
    await actor.close(4000, "all read")


async def to_a_slow_application(actor: Actor) -> None:
    """More than the application takes at once, with pings that must not wait for it."""
    client = await actor.websocket("/slow")
    for _ in range(actor.random.randrange(5, 40)):
        await client.send(actor.message(20_000))
    client.write(wire.frame(wire.PING, b"are you there?"))
    stop = messages.text(actor.account.sent, "stop")
    actor.sent(stop)
    await client.send(stop)
    while not isinstance(event := await client.receive(), str):
        actor.take(event)
    if json.loads(event)["received"] != actor.account.sent:
        actor.problem(f"the application had {event}, not all of {actor.account.sent}")
    await actor.close(1000)


async def late_accept(actor: Actor) -> None:
    """Messages right behind the handshake, which is accepted later."""
    client = await actor.connect()
    actor.account.called = MAYBE
    key = client.ask(actor.target("/late", ms=actor.random.randrange(0, 500)), False)
    await client.answered(key)
    actor.account.called = YES
    await actor.say(3)
    await actor.hear(3)
    await actor.close(1000)
    actor.echoed()


# Ends of the client's.


async def closer(actor: Actor) -> None:
    """Close with each code, reason and all, while messages may be in flight."""
    await actor.websocket("/sink")
    await actor.say(actor.random.randrange(0, 12))
    code = actor.random.choice(CODES)
    await actor.close(code, "" if code is None else actor.random.choice(["", "bye", "pâté 🦊" * 8]))


async def close_in_flight(actor: Actor) -> None:
    """Messages and the close frame in one piece: they are answered first."""
    client = await actor.websocket("/echo")
    count = actor.random.randrange(1, 40)
    sent = [actor.message(actor.random.randrange(0, 300)) for _ in range(count)]
    frames = [
        wire.frame(wire.TEXT, one.encode())
        if isinstance(one, str)
        else wire.frame(wire.BINARY, one)
        for one in sent
    ]
    client.write(b"".join(frames))
    await actor.close(4001, "in flight")
    if actor.replies.count < count:
        actor.counts["unanswered before a close"] += count - actor.replies.count


async def close_in_a_flood(actor: Actor) -> None:
    """Close while the application sends and does not listen."""
    client = await actor.websocket("/flood", size=5000, count=3000)
    for _ in range(actor.random.randrange(1, 50)):
        actor.take(await client.receive())
    await actor.close(4002, "enough")


async def unread_and_closed(actor: Actor) -> None:
    """Ask for a flood, read nothing of it, close, and reset in the end."""
    client = await actor.websocket("/flood", size=60_000, count=200, receive_buffer=8192)
    client.pause()
    await actor.nap(2)
    # Whether the frame or the reset is seen first is open: the octets before the reset may be lost with it.
    actor.account.codes += [4003, LOST]
    actor.account.exact = False
    client.write(wire.frame(wire.CLOSE, wire.close_payload(4003)))
    await actor.nap(6)
    client.reset()


async def ping_flood(actor: Actor) -> None:
    """Thousands of pings; the last one is answered, and messages go through as well."""
    client = await actor.websocket("/echo")
    for _ in range(actor.random.randrange(1, 6)):
        client.write(b"".join(wire.frame(wire.PING, b"%d" % one) for one in range(1000)))
        await client.drain()
    client.write(wire.frame(wire.PING, b"last"))
    await actor.say(5)
    event = None
    last = -1
    while not (isinstance(event, wire.Pong) and event.payload == b"last"):
        event = await client.receive()
        actor.take(event)
        if isinstance(event, wire.Pong) and event.payload != b"last":
            number = int(event.payload)
            if number == last:
                actor.problem(f"pong {number} twice")
            last = number
    await actor.hear(5)
    await actor.close(1000)
    actor.echoed()


async def vanish(actor: Actor) -> None:
    """Go in the middle of it: by a reset, by a FIN, or in the middle of a frame."""
    client = await actor.websocket("/echo", deflate=actor.random.random() < 0.3)
    actor.account.codes.append(LOST)
    actor.account.exact = False
    await actor.say(actor.random.randrange(0, 20))
    if actor.random.random() < 0.5:
        await actor.hear(actor.account.sent)
    half = wire.frame(wire.TEXT, b"x" * 3000)[: actor.random.randrange(1, 2000)]
    if actor.random.random() < 0.3:
        client.write(half)
    if actor.random.random() < 0.5:
        client.reset()
    else:
        client.close()


async def vanish_unread(actor: Actor) -> None:
    """Go while the server cannot send, after a while."""
    client = await actor.websocket("/flood", size=60_000, count=200, receive_buffer=8192)
    actor.account.codes += [LOST, 1011, 1013]  # or a timeout of the server's comes first
    actor.account.exact = False
    client.pause()
    await actor.nap(4)
    client.reset()


async def half_close(actor: Actor) -> None:
    """A FIN without a close frame: what was sent is delivered, and the server ends its side too."""
    client = await actor.websocket("/sink")
    await actor.say(actor.random.randrange(0, 10))
    actor.account.codes.append(LOST)
    client.shut()
    for event in await client.until_ended():
        if isinstance(event, Closed):
            actor.problem(f"a close frame for a connection without one: {event}")
    client.close()


async def silent(actor: Actor) -> None:
    """Answer no ping: closed with 1011, and told so."""
    client = await actor.websocket("/echo")
    client.answers_pings = False
    actor.account.codes.append(1011)
    await actor.expect_close(1011, "keepalive ping timeout")


# Ends of the application's.


async def app_closes(actor: Actor) -> None:
    """The application closes with a code; the client answers, with another one or not at all."""
    code, after = actor.random.choice([1000, 1008, 3456, 4321]), actor.random.randrange(0, 5)
    client = await actor.websocket("/ends", how="close", code=code, reason="the end", after=after)
    await actor.say(after)
    await actor.hear(after)
    event = await client.receive()
    if event != Closed(code, "the end"):
        actor.problem(f"{event!r:.80} in place of the application's close {code}")
    how = actor.random.random()
    if how < 0.7:
        answer = actor.random.choice([code, 1000, None])
        actor.account.codes.append(wire.NO_CODE if answer is None else answer)
        client.write(wire.frame(wire.CLOSE, wire.close_payload(answer)))
    else:
        actor.account.codes.append(LOST)
    if how < 0.85:
        # Without an answer, the server cuts it.
        await client.until_ended()
        client.close()
    else:
        client.reset()
    actor.echoed()


async def app_ends(actor: Actor) -> None:
    """The application returns, or raises."""
    how, code = actor.random.choice([("return", 1000), ("raise", 1011)])
    after = actor.random.randrange(0, 5)
    actor.account.disconnects = [0]
    if how == "raise":
        actor.counts["asked to raise"] += 1
    client = await actor.websocket("/ends", how=how, after=after)
    await actor.say(after)
    await actor.hear(after)
    event = await client.receive()
    if not isinstance(event, Closed) or event.code != code:
        actor.problem(f"{event!r:.80} in place of the close frame with {code}")
    client.write(wire.frame(wire.CLOSE, wire.close_payload(code)))
    await client.until_ended()
    client.close()
    actor.echoed()


async def refused(actor: Actor) -> None:
    """The application says no to the handshake."""
    how, status = actor.random.choice([("close", 403), ("response", 401)])
    actor.account.codes.append(LOST)
    try:
        await actor.websocket("/refuses", how=how)
    except Refused as refusal:
        if refusal.status != status:
            raise
        actor.account.called = YES
    else:
        actor.problem("accepted although it was refused")
    assert actor.client is not None
    await actor.client.until_ended()
    actor.client.close()


# What breaks the protocol.


def _bomb() -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -12)
    data = compressor.compress(bytes(MAX_SIZE + 1)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return data[:-4]


_F = wire.frame
#: name: (the close code, what is sent, whether compression has to be agreed on).
VIOLATIONS: dict[str, tuple[int, bytes, bool]] = {
    "not masked": (1002, _F(wire.TEXT, b"x", mask=False), False),
    "reserved bit": (1002, _F(wire.TEXT, b"x", flags=0x90), False),
    "RSV1 without compression": (1002, _F(wire.TEXT, b"x", flags=0xC0), False),
    "reserved opcode": (1002, _F(3, b"x"), False),
    "reserved control opcode": (1002, _F(11, b"x"), False),
    "fragmented ping": (1002, _F(wire.PING, b"x", flags=0), False),
    "long ping": (1002, _F(wire.PING, b"x" * 126), False),
    "continuation of nothing": (1002, _F(wire.CONTINUATION, b"x"), False),
    "text within a text": (1002, _F(wire.TEXT, b"x", flags=0) + _F(wire.TEXT, b"y"), False),
    "length too long": (1002, b"\x81\xfe\x00\x05\0\0\0\0hello", False),
    "length of 64 bits": (1002, b"\x82\xff" + b"\xff" * 8 + b"\0\0\0\0", False),
    "close of one octet": (1002, _F(wire.CLOSE, b"\x03"), False),
    "close with 1005": (1002, _F(wire.CLOSE, b"\x03\xed"), False),
    "close with 999": (1002, _F(wire.CLOSE, b"\x03\xe7"), False),
    "close reason not UTF-8": (1007, _F(wire.CLOSE, b"\x03\xe8\xff\xfe"), False),
    "not UTF-8": (1007, _F(wire.TEXT, b"caf\xe9"), False),
    "not UTF-8, seen early": (1007, _F(wire.TEXT, b"\xf8\x88", flags=0), False),
    "not UTF-8 at the end": (
        1007,
        _F(wire.TEXT, b"\xe2\x82", flags=0) + _F(wire.CONTINUATION, b""),
        False,
    ),
    "too big": (1009, b"\x82\xff" + (MAX_SIZE + 1).to_bytes(8, "big") + b"\0\0\0\0", False),
    "too big in fragments": (
        1009,
        _F(wire.BINARY, bytes(MAX_SIZE), flags=0) + _F(wire.CONTINUATION, b"x"),
        False,
    ),
    "invalid deflate data": (1007, _F(wire.BINARY, b"\xff" * 20, flags=0xC0), True),
    "compression bomb": (1009, _F(wire.BINARY, _bomb(), flags=0xC0), True),
    "RSV1 on a continuation": (
        1002,
        _F(wire.BINARY, b"x", flags=0) + _F(wire.CONTINUATION, b"x", flags=0xC0),
        True,
    ),
}


async def violator(actor: Actor) -> None:
    """Good messages, then one of VIOLATIONS, often with more behind it: told in a close frame."""
    name = actor.random.choice(sorted(VIOLATIONS))
    code, octets, deflate = VIOLATIONS[name]
    actor.account.behaviour = f"violator: {name}"
    client = await actor.websocket("/echo", deflate=deflate)
    await actor.say(actor.random.randrange(0, 6))
    actor.account.codes.append(code)
    behind = _F(wire.TEXT, b"more") * actor.random.choice([0, 0, 1, 2000])
    client.write(octets + behind)
    await actor.expect_close(code)


async def garbage(actor: Actor) -> None:
    """Random octets in place of frames: whatever they mean, it ends in order."""
    client = await actor.websocket("/echo", deflate=actor.random.random() < 0.5)
    # They may be a close frame, with any code, or messages, or the beginning of one that never ends.
    actor.account.exact = False
    actor.account.numbered = False
    client.write(os.urandom(actor.random.randrange(2, 4000)))
    await actor.nap(1)
    client.shut()
    await client.until_ended()
    client.close()


# What never becomes a WebSocket.


async def half_handshake(actor: Actor) -> None:
    """Stop within the handshake's request; wait for the server to have enough of it, or go."""
    client = await actor.connect()
    request = handshake(actor.target("/echo"), b"dGhlIHNhbXBsZSBub25jZQ==", False)
    client.write(request[: actor.random.randrange(0, len(request) - 1)])
    actor.account.called = NO
    await actor.nap(actor.lifetime())
    actor.random.choice([client.reset, client.close])()


async def connect_and_reset(actor: Actor) -> None:
    """Connect, and reset at once; many times."""
    for _ in range(20):
        client = await actor.connect()
        client.reset()
        actor.counts["connects and resets"] += 1


async def abandoned_handshake(actor: Actor) -> None:
    """Go while the application has not accepted yet."""
    client = await actor.connect()
    actor.account.called = MAYBE
    actor.account.codes.append(LOST)
    actor.account.exact = False
    client.ask(actor.target("/late", ms=300), False)
    await actor.nap(0.2)
    actor.random.choice([client.reset, client.close])()


async def wrong_handshake(actor: Actor) -> None:
    """A handshake that cannot be completed: 400 or 426, and no call of the application."""
    client = await actor.connect()
    good = handshake(actor.target("/echo"), b"dGhlIHNhbXBsZSBub25jZQ==", False)
    status, before, after = actor.random.choice(
        [
            (400, b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Key: short"),
            (426, b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8"),
            (400, b"Host: soak", b"Host: so ak"),
        ]
    )
    client.write(good.replace(before, after, 1))
    found = await client.response()
    if found.status != status:
        actor.problem(f"a wrong handshake was answered with {found.status}, not {status}")
    client.close()


# A second opinion.


async def library(actor: Actor) -> None:
    """An echo by the `websockets` library, as a second opinion."""
    import websockets
    from websockets.asyncio.client import connect

    actor.account.called = MAYBE
    url = f"ws://{actor.route.host}:{actor.route.port}{actor.target('/echo')}"
    compression = actor.random.choice([None, "deflate"])
    try:
        # Where a proxy may fall silent, only its own pings end a wait.
        pings = (5, 10) if actor.route.cuts else (None, None)
        async with connect(
            url,
            compression=compression,
            max_size=None,
            close_timeout=30,
            open_timeout=30 if actor.route.cuts else actor.pace.patience,
            ping_interval=pings[0],
            ping_timeout=pings[1],
        ) as socket:
            actor.account.called = YES
            for _ in range(actor.random.randrange(1, 10)):
                await socket.send(actor.message())
                reply = await socket.recv()
                actor.take(reply)
                await actor.life.nap(actor.think())
            actor.account.codes.append(4004)
            await socket.close(4004, "second opinion")
            if socket.close_code != 4004:
                actor.problem(f"the library was closed with {socket.close_code}")
    except (websockets.WebSocketException, OSError, EOFError) as error:
        raise Gone(f"the library: {error!r}") from error
    except TimeoutError as error:
        raise Impatient("the library waited too long") from error
    actor.echoed()
