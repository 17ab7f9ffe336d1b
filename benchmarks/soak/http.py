"""What HTTP clients do beside the WebSockets: one function for each behaviour.

Rules of this file:
- The rules of `behaviours` hold here too. In the ledger, "gone" stands for `http.disconnect`.
- Whether an upload or a download was cut before its end is seen by what the application is told.
"""

from __future__ import annotations

import os

from benchmarks.soak import messages
from benchmarks.soak.actor import MAYBE, NO, YES, Actor
from benchmarks.soak.client import Client, Gone

GONE = "gone"


def _get(number: int, size: int) -> bytes:
    return b"GET /get?number=%d&size=%d HTTP/1.1\r\nHost: soak\r\n\r\n" % (number, size)


async def _take(actor: Actor, client: Client) -> None:
    """A response with the next numbered message."""
    found = await client.response()
    if found.status != 200:
        raise Gone(f"status {found.status}")
    actor.replies.take(found.body)
    actor.counts["responses"] += 1


async def keep_alive(actor: Actor) -> None:
    """One request after the other on a connection: GETs, and POSTs of both framings."""
    client = await actor.connect()
    most = 1000 if actor.route.slow else 60_000
    for number in range(actor.random.randrange(1, 30)):
        kind = actor.random.randrange(3)
        if kind == 0:
            client.write(_get(number, actor.random.choice([0, 100, most])))
        else:
            body = messages.binary(number, os.urandom(actor.random.randrange(0, most)))
            head = b"POST /post HTTP/1.1\r\nHost: soak\r\n"
            if kind == 1:
                client.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            else:
                half = len(body) // 2
                chunks = b"".join(
                    b"%x\r\n%b\r\n" % (len(one), one) for one in (body[:half], body[half:]) if one
                )
                client.write(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        await client.drain()
        try:
            await _take(actor, client)
        except Gone:
            if actor.route.slow and number and not client.data:
                # On its way, the request came later than the server waits for one.
                actor.counts["keep-alive over"] += 1
                break
            raise
        await actor.nap(0.3)
    client.close()


async def pipelined(actor: Actor) -> None:
    """Many requests in one piece; the responses come in order."""
    client = await actor.connect()
    count = actor.random.randrange(2, 100)
    client.write(b"".join(_get(number, actor.random.randrange(0, 2000)) for number in range(count)))
    for _ in range(count):
        await _take(actor, client)
    client.close()


async def upload(actor: Actor) -> None:
    """A whole body, asked for by Expect; or one that is broken off."""
    client = await actor.connect()
    size = actor.random.randrange(1, 500_000)
    actor.account.called = MAYBE
    actor.account.numbered = False
    actor.account.disconnects = [0]
    head = f"POST {actor.target('/upload')} HTTP/1.1\r\nHost: soak\r\nContent-Length: {size}\r\n"
    if actor.random.random() < 0.4:
        client.write(head.encode() + b"Expect: 100-continue\r\n\r\n")
        status, _ = await client.head()
        if status != 100:
            raise Gone(f"status {status} in place of 100")
        actor.account.called = YES
        client.write(bytes(size))
        found = await client.response()
        if found.status != 200:
            raise Gone(f"status {found.status}")
        if found.body != b"%d" % size:
            actor.problem(f"an upload of {size} octets was answered with {found.body!r}")
        actor.account.sent = size
        client.close()
        return
    cut = actor.random.randrange(0, size)
    client.write(head.encode() + b"\r\n" + bytes(cut))
    actor.account.exact = False
    actor.account.sent = cut
    actor.account.disconnects = [1]
    actor.account.codes.append(GONE)
    await actor.nap(2)
    actor.random.choice([client.reset, client.close, client.shut])()
    await client.until_ended()
    client.close()


async def download(actor: Actor) -> None:
    """A large response: read whole, or gone from in its middle, or stalled before."""
    client = await actor.connect(receive_buffer=actor.random.choice([0, 16_384]))
    size = actor.random.choice([300_000, 5_000_000])
    sized = actor.random.randrange(2)
    actor.account.called = MAYBE
    actor.account.numbered = False
    actor.account.codes.append(GONE)
    target = actor.target("/download", size=size, sized=sized)
    client.write(f"GET {target} HTTP/1.1\r\nHost: soak\r\n\r\n".encode())
    if actor.random.random() < 0.5:
        found = await client.response()
        actor.account.called = YES
        if len(found.body) != size:
            actor.problem(f"a download of {size} octets had {len(found.body)}")
        client.close()
        return
    actor.account.exact = False
    await client.head()
    actor.account.called = YES
    if actor.random.random() < 0.5:
        client.pause()
        await actor.nap(3)
    actor.random.choice([client.reset, client.close])()


async def stalled_request(actor: Actor) -> None:
    """Stop within a request's head or body; go after a while, unless the server does it."""
    client = await actor.connect()
    actor.account.called = NO
    request = b"POST /post HTTP/1.1\r\nHost: soak\r\nContent-Length: 1000\r\n\r\n" + bytes(999)
    client.write(request[: actor.random.randrange(0, len(request))])
    await actor.nap(actor.lifetime())
    actor.random.choice([client.reset, client.close])()


async def malformed(actor: Actor) -> None:
    """What is no HTTP: 400 or its like, and the end."""
    client = await actor.connect()
    octets, expected = actor.random.choice(
        [
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(200) + b"\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost : soak\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
                400,
            ),
            (
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"0\r\n\r\n",
                400,
            ),
            (b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", 431),
        ]
    )
    client.write(octets)
    found = await client.response()
    if found.status != expected:
        actor.problem(f"status {found.status} in place of {expected}")
    await client.until_ended()
    client.close()
