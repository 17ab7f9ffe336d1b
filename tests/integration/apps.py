"""The applications that the tests serve: plain ASGI, one handler for each path.

Rules of this file:
- A test names its connection by the query string, `/path?name&argument...`. What the application
  of that name was told and what became of it can be asked for at `/report?name`.
- A handler waits for `/release?name`, never for an amount of time, unless it says so.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import anyio

from asgiws.pubsub import PubSub

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Record:
    """What one connection's application was told, and how it ended."""

    def __init__(self) -> None:
        self.events: list[Message] = []
        self.notes: list[Any] = []
        self.raised = ""
        self.scope: Message = {}
        self.released = asyncio.Semaphore(0)
        self.ended = asyncio.Event()
        self.steps: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def step(self, name: str) -> None:
        """Say that the application has come this far."""
        self.steps[name].set()

    async def wait_for_release(self) -> None:
        self.step("waiting")
        await self.released.acquire()

    def as_json(self) -> Message:
        return {
            "events": self.events,
            "notes": self.notes,
            "raised": self.raised,
            "scope": self.scope,
        }


class Gone(Exception):
    """A client left before its request was complete: no fault of anybody here."""


class Connection:
    """A connection as a handler sees it; everything received is recorded."""

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        name, *self.arguments = unquote(scope["query_string"].decode()).split("&")
        self.record = RECORDS[name]

    async def receive(self) -> Message:
        message = await self._receive()
        self.record.events.append(_plain(message))
        return message

    async def send(self, kind: str, **content: Any) -> None:
        await self._send({"type": kind, **content})

    # For WebSockets.

    async def accept(self, **content: Any) -> None:
        message = await self._receive()
        assert message == {"type": "websocket.connect"}
        await self.send("websocket.accept", **content)

    async def reply(self, message: Message) -> None:
        """Send back a message as it came."""
        await self.send("websocket.send", **{k: v for k, v in message.items() if k != "type"})

    async def text(self, text: str) -> None:
        await self.send("websocket.send", text=text)

    async def listen(self) -> None:
        """Receive until the end, and once more."""
        while (await self.receive())["type"] != "websocket.disconnect":
            self.record.step("received")
        with self.noting():
            await self.receive()

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note what is raised within: its kinds and its text."""
        try:
            yield
        except Exception as error:
            kinds = [kind.__name__ for kind in type(error).__mro__]
            self.record.notes.append({"kinds": kinds, "text": str(error)})
        else:
            self.record.notes.append("nothing was raised")

    # For HTTP.

    async def start(self, status: int = 200, *headers: tuple[bytes, bytes], **content: Any) -> None:
        await self.send("http.response.start", status=status, headers=list(headers), **content)

    async def body(self, body: bytes = b"", more_body: bool = False) -> None:
        await self.send("http.response.body", body=body, more_body=more_body)

    async def answer(self, value: Any, *headers: tuple[bytes, bytes]) -> None:
        """A whole response in JSON."""
        await self.start(200, (b"content-type", b"application/json"), *headers)
        await self.body(json.dumps(value).encode())

    async def read(self) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """The request's body and trailers."""
        body = bytearray()
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise Gone
            body += message.get("body", b"")
            if not message.get("more_body", False):
                return bytes(body), message.get("trailers", [])


Handler = Callable[[Connection], Awaitable[None]]
RECORDS: defaultdict[str, Record] = defaultdict(Record)
HANDLERS: dict[tuple[str, str], Handler] = {}
MEGABYTE = 1024 * 1024


def _plain(value: Any) -> Any:
    """`value` as JSON can say it; octets as text in Latin-1, an event as whether it is set, a hub as
    its name."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, asyncio.Event):
        return value.is_set()
    if isinstance(value, PubSub):
        return "the hub"
    return value.decode("latin-1") if isinstance(value, bytes) else value


def websocket(handler: Handler) -> Handler:
    """Serve the handler at the path of its name."""
    HANDLERS["websocket", "/" + handler.__name__.strip("_")] = handler
    return handler


def http(handler: Handler) -> Handler:
    HANDLERS["http", "/" + handler.__name__.strip("_")] = handler
    return handler


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    connection = Connection(scope, receive, send)
    handler = HANDLERS.get((scope["type"], scope["path"]))
    if handler is None:
        await not_found(connection)
        return
    if handler in DESK:
        await handler(connection)
        return
    record = connection.record
    record.scope = _plain({k: v for k, v in scope.items() if k not in ("app", "state")})
    try:
        await handler(connection)
    except BaseException as error:
        record.raised = type(error).__name__
        if not isinstance(error, Gone):
            raise
    finally:
        record.ended.set()


async def lifespan(receive: Receive, send: Send) -> None:
    for kind in ("startup", "shutdown"):
        assert (await receive())["type"] == f"lifespan.{kind}"
        await send({"type": f"lifespan.{kind}.complete"})


async def not_found(connection: Connection) -> None:
    if connection.scope["type"] == "websocket":
        await connection.send("websocket.close")
        return
    await connection.start(404, (b"content-type", b"text/plain"))
    await connection.body(b"not found")


# The desk: how the tests ask and steer.


@http
async def report(connection: Connection) -> None:
    await connection.record.ended.wait()
    await connection.answer(connection.record.as_json())


@http
async def release(connection: Connection) -> None:
    connection.record.released.release()
    await connection.answer(None)


@http
async def wait(connection: Connection) -> None:
    await connection.record.steps[connection.arguments[0]].wait()
    await connection.answer(None)


@http
async def memory(connection: Connection) -> None:
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    await connection.answer(pages * os.sysconf("SC_PAGE_SIZE"))


DESK = (report, release, wait, memory)


# WebSocket: messages.


@websocket
async def echo(connection: Connection) -> None:
    """Send every message back, then listen once more."""
    await connection.accept()
    while (message := await connection.receive())["type"] == "websocket.receive":
        await connection.reply(message)
    with connection.noting():
        await connection.receive()


@websocket
async def slow_echo(connection: Connection) -> None:
    """As echo, with a pause before each answer."""
    await connection.accept()
    while (message := await connection.receive())["type"] == "websocket.receive":
        await asyncio.sleep(0.05)
        await connection.reply(message)
    with connection.noting():
        await connection.receive()


@websocket
async def measure(connection: Connection) -> None:
    """Answer each message with its kind and length, whatever its size."""
    await connection.accept()
    receive = connection._receive
    while (message := await receive())["type"] == "websocket.receive":
        assert (message.get("text") is None) != (message.get("bytes") is None)
        kind = "text" if message.get("text") is not None else "bytes"
        await connection.text(f"{kind} {len(message[kind])}")


@websocket
async def produce(connection: Connection) -> None:
    """Send messages of the kind, size and number asked for, then close."""
    kind, size, count = connection.arguments
    await connection.accept()
    payload: Any = b"\x07" * int(size) if kind == "bytes" else "\u00fc" * int(size)
    for _ in range(int(count)):
        await connection.send("websocket.send", **{kind: payload})
        connection.record.step("sent")
    connection.record.step("all sent")
    await connection.send("websocket.close")


@websocket
async def flood(connection: Connection) -> None:
    """Send 500 MiB of messages of the size asked for, as fast as `send()` lets."""
    size = int(connection.arguments[0])
    await connection.accept()
    sent = 0
    try:
        while sent < 500 * MEGABYTE:
            await connection.send("websocket.send", bytes=bytes(size))
            sent += size
            connection.record.notes = [sent]
    finally:
        connection.record.step("over")


@http
async def progress(connection: Connection) -> None:
    """The notes so far of the connection of this name."""
    await connection.answer(connection.record.notes)


DESK += (progress,)  # type: ignore[assignment]


@websocket
async def sleeper(connection: Connection) -> None:
    """Take one message, be busy until released, then take the rest."""
    await connection.accept()
    message = await connection.receive()
    await connection.record.wait_for_release()
    with connection.noting():
        await connection.reply(message)
    await connection.listen()


@websocket
async def pusher(connection: Connection) -> None:
    """Never receive; send when released, until it raises."""
    await connection.accept()
    while not connection.record.notes:
        await connection.record.wait_for_release()
        try:
            await connection.text("pushed")
        except Exception:
            with connection.noting():
                raise


@websocket
async def push_until_gone(connection: Connection) -> None:
    """Never receive; send again and again until it raises."""
    await connection.accept()
    with connection.noting():
        while True:
            await connection.text("pushed")
            await asyncio.sleep(0.01)


@websocket
async def broadcast(connection: Connection) -> None:
    """Say "in" and stay until the connection ends; `/announce` sends to all of a room."""
    room = ROOMS[connection.arguments[0]]
    await connection.accept()
    await connection.text("in")
    room.append(connection)
    try:
        await connection.listen()
    finally:
        room.remove(connection)


ROOMS: defaultdict[str, list[Connection]] = defaultdict(list)


@http
async def announce(connection: Connection) -> None:
    """Send a number of messages to each of a room, to all at once; tells how many took each."""
    room = ROOMS[connection.arguments[0]]
    count = int(connection.arguments[1])
    payload = bytes(MEGABYTE)
    for _ in range(count):
        for member in room:
            BROADCASTS.add(task := asyncio.create_task(_deliver(member, payload)))
            task.add_done_callback(BROADCASTS.discard)
    await connection.answer(len(room))


BROADCASTS: set[asyncio.Task[None]] = set()


async def _deliver(member: Connection, payload: bytes) -> None:
    try:
        await member.send("websocket.send", bytes=payload)
    except OSError:
        member.record.notes.append("gone")


DESK += (announce,)  # type: ignore[assignment]


# WebSocket: ways of waiting.


@websocket
async def in_tasks(connection: Connection) -> None:
    """Echo, with every receive() and every send() in a task of its own."""
    await connection.accept()
    while True:
        message = await asyncio.create_task(connection.receive())
        if message["type"] == "websocket.disconnect":
            return
        await asyncio.create_task(connection.reply(message))


@websocket
async def with_timeouts(connection: Connection) -> None:
    """Echo, where each receive() is given up and called again until something is there."""
    await connection.accept()
    tries = 0
    while True:
        try:
            message = await asyncio.wait_for(connection.receive(), 0.001)
        except asyncio.TimeoutError:
            tries += 1
            if tries == 20:
                connection.record.step("tried")
            continue
        if message["type"] == "websocket.disconnect":
            return
        await connection.reply(message)


@websocket
async def with_anyio(connection: Connection) -> None:
    """Echo from within an anyio task group and cancel scopes; a ticker runs beside."""
    await connection.accept()
    async with anyio.create_task_group() as group:
        inbox, outbox = anyio.create_memory_object_stream[Message](0)

        async def reader() -> None:
            while True:
                with anyio.move_on_after(0.005):
                    message = await connection.receive()
                    if message["type"] == "websocket.disconnect":
                        group.cancel_scope.cancel()
                        return
                    with anyio.CancelScope(shield=True):
                        await inbox.send(message)

        async def writer() -> None:
            async with inbox, outbox:
                async for message in outbox:
                    await connection.reply(message)

        group.start_soon(reader)
        group.start_soon(writer)


@websocket
async def two_senders(connection: Connection) -> None:
    """Two tasks that send at the same time, each its numbers in order, in large messages."""
    await connection.accept()
    padding = "x" * 100_000

    async def numbers(name: str) -> None:
        for number in range(100):
            await connection.text(f"{name} {number} {padding}")

    await asyncio.gather(numbers("left"), numbers("right"))


@websocket
async def reader_and_writer(connection: Connection) -> None:
    """Race receive() against a source of messages, and cancel the receive() that loses."""
    await connection.accept()
    number = 0
    while True:
        reading = asyncio.create_task(connection.receive())
        ticking = asyncio.create_task(asyncio.sleep(0.001))
        done, pending = await asyncio.wait({reading, ticking}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        if reading.done() and not reading.cancelled():
            message = reading.result()
            if message["type"] == "websocket.disconnect":
                return
            await connection.reply(message)
        if ticking in done:
            number += 1


@websocket
async def two_readers(connection: Connection) -> None:
    """Two tasks that receive at the same time; each message goes to one of them."""
    await connection.accept()
    got: list[str] = []

    async def reader() -> None:
        while len(got) < 20:
            message = await connection.receive()
            if message["type"] == "websocket.disconnect":
                return
            got.append(message["text"])
            await connection.text(message["text"])

    tasks = [asyncio.create_task(reader()) for _ in range(2)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    connection.record.notes = got


@websocket
async def current_task(connection: Connection) -> None:
    """Say whether the code behind a receive() runs in its own task and context."""
    await connection.accept()
    mine = asyncio.current_task()
    message = await connection.receive()
    same = asyncio.current_task() is mine
    async with asyncio.Lock():
        await connection.text(f"{same} {message['text']}")
    await connection.listen()


# WebSocket: closing.


@websocket
async def listen(connection: Connection) -> None:
    await connection.accept()
    await connection.listen()


@websocket
async def returns(connection: Connection) -> None:
    await connection.accept()


@websocket
async def returns_after_one(connection: Connection) -> None:
    await connection.accept()
    await connection.reply(await connection.receive())


@websocket
async def raises(connection: Connection) -> None:
    await connection.accept()
    raise RuntimeError("a fault of the application")


@websocket
async def raises_on_message(connection: Connection) -> None:
    await connection.accept()
    await connection.receive()
    raise RuntimeError("a fault of the application")


@websocket
async def exits(connection: Connection) -> None:
    await connection.accept()
    raise asyncio.CancelledError


@websocket
async def closes(connection: Connection) -> None:
    """Close with what the arguments say (code, reason), then listen."""
    await connection.accept()
    content: Message = {}
    if connection.arguments:
        content["code"] = int(connection.arguments[0])
    if len(connection.arguments) > 1:
        content["reason"] = connection.arguments[1]
    await connection.send("websocket.close", **content)
    connection.record.step("closed")
    await connection.listen()


@websocket
async def closes_on_message(connection: Connection) -> None:
    await connection.accept()
    await connection.receive()
    await connection.text("goodbye")
    await connection.send("websocket.close", code=4001, reason="as asked")
    await connection.listen()


@websocket
async def closes_badly(connection: Connection) -> None:
    """Try to close with what may not be sent; then close as it should be."""
    await connection.accept()
    for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65536, "1000", True):
        with connection.noting():
            await connection.send("websocket.close", code=code)
            if code == 1005:
                return
    with connection.noting():
        await connection.send("websocket.close", reason=b"octets")
    await connection.send("websocket.close", code=4000)
    await connection.listen()


@websocket
async def closes_twice(connection: Connection) -> None:
    await connection.accept()
    await connection.send("websocket.close", code=4002)
    with connection.noting():
        await connection.send("websocket.close", code=4003)
    with connection.noting():
        await connection.text("too late")
    with connection.noting():
        await connection.send("websocket.accept")
    await connection.listen()


@websocket
async def ignores(connection: Connection) -> None:
    """Neither receive nor send until released; then try both."""
    await connection.accept()
    await connection.record.wait_for_release()
    with connection.noting():
        await connection.text("still there?")
    await connection.listen()


@websocket
async def counts_to_the_end(connection: Connection) -> None:
    """Receive in three tasks at once: the disconnect comes to one of them only."""
    await connection.accept()
    tasks = [asyncio.create_task(connection.receive()) for _ in range(3)]
    connection.record.step("receiving")
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    done, _ = await asyncio.wait(tasks, timeout=0.2)
    connection.record.notes = [len(done), sum(task.exception() is None for task in done)]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@websocket
async def floods_then_closes(connection: Connection) -> None:
    """Send until `send()` waits; close once released, and say so; then send once more."""
    await connection.accept()
    sending = asyncio.create_task(connection.send("websocket.send", bytes=bytes(MEGABYTE)))
    await asyncio.sleep(0)
    while sending.done():
        sending = asyncio.create_task(connection.send("websocket.send", bytes=bytes(MEGABYTE)))
        await asyncio.sleep(0)
    await connection.record.wait_for_release()
    closing = asyncio.create_task(connection.send("websocket.close", code=4005))
    await asyncio.sleep(0)
    connection.record.step("closing")
    await closing
    with connection.noting():
        await sending
        await connection.text("one more")


# WebSocket: the opening handshake.


@websocket
async def accepts_late(connection: Connection) -> None:
    """Accept once released, then echo."""
    assert (await connection._receive())["type"] == "websocket.connect"
    await connection.record.wait_for_release()
    with connection.noting():
        await connection.send("websocket.accept")
    while (message := await connection.receive())["type"] == "websocket.receive":
        await connection.reply(message)


@websocket
async def accepts_without_receive(connection: Connection) -> None:
    await connection.send("websocket.accept")
    await connection.text("hello")
    await connection.listen()


@websocket
async def subprotocol(connection: Connection) -> None:
    """Choose the subprotocol that the argument names."""
    await connection.accept(subprotocol=connection.arguments[0])
    await connection.listen()


@websocket
async def accept_headers(connection: Connection) -> None:
    """Accept with the two headers that are named by number."""
    name, value = json.loads(connection.arguments[0])
    await connection._receive()
    with connection.noting():
        await connection.send(
            "websocket.accept",
            headers=[(b"x-first", b"1"), (name.encode("latin-1"), value.encode("latin-1"))],
        )
        return
    await connection.send("websocket.accept", headers=[(b"x-second", b"2")])


@websocket
async def two_cookies(connection: Connection) -> None:
    await connection.accept(headers=[(b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")])


@websocket
async def refuses(connection: Connection) -> None:
    """Close in place of an answer to the handshake."""
    await connection._receive()
    await connection.send("websocket.close", code=4000, reason="not you")
    await connection.listen()


@websocket
async def denies(connection: Connection) -> None:
    """A whole response in place of the handshake's answer."""
    await connection._receive()
    assert "websocket.http.response" in connection.scope["extensions"]
    await connection.send(
        "websocket.http.response.start",
        status=401,
        headers=[(b"WWW-Authenticate", b"Basic"), (b"content-type", b"text/plain")],
    )
    await connection.send("websocket.http.response.body", body=b"who are you?")
    with connection.noting():
        await connection.send("websocket.accept")
    await connection.listen()


@websocket
async def denies_in_pieces(connection: Connection) -> None:
    """The same streamed: each piece leaves when it is sent."""
    await connection._receive()
    await connection.send("websocket.http.response.start", status=418, headers=[])
    for number in range(3):
        await connection.send(
            "websocket.http.response.body", body=b"piece %d\n" % number, more_body=True
        )
        await connection.record.wait_for_release()
    await connection.send("websocket.http.response.body", body=b"", more_body=False)
    await connection.listen()


@websocket
async def denies_half(connection: Connection) -> None:
    """Begin a denial response and end without completing it."""
    await connection._receive()
    await connection.send("websocket.http.response.start", status=403, headers=[])
    await connection.send("websocket.http.response.body", body=b"half", more_body=True)


@websocket
async def denies_nothing(connection: Connection) -> None:
    """Begin a denial response of which nothing is ever sent."""
    await connection._receive()
    await connection.send("websocket.http.response.start", status=403, headers=[])


@websocket
async def denies_badly(connection: Connection) -> None:
    """Denial responses that must not be sent; then one that may."""
    await connection._receive()
    for status, headers in (
        (101, []),
        ("403", []),
        (403, [(b"x", b"a\r\nx-injected: 1")]),
        (403, [(b"a b", b"c")]),
    ):
        with connection.noting():
            await connection.send("websocket.http.response.start", status=status, headers=headers)
    await connection.send("websocket.http.response.start", status=403, headers=[])
    with connection.noting():
        await connection.send("websocket.send", text="no")
    with connection.noting():
        await connection.send("websocket.http.response.body", body="text")
    await connection.send("websocket.http.response.body", body=b"fine")


@websocket
async def raises_early(connection: Connection) -> None:
    raise RuntimeError("before any answer")


@websocket
async def returns_early(connection: Connection) -> None:
    await connection._receive()


@websocket
async def sends_early(connection: Connection) -> None:
    """Send before accepting; then accept."""
    await connection._receive()
    with connection.noting():
        await connection.text("too early")
    with connection.noting():
        await connection.send("no.such.message")
    await connection.send("websocket.accept")
    await connection.text("now")
    with connection.noting():
        await connection.send("websocket.accept")
    with connection.noting():
        await connection.send("websocket.send")
    with connection.noting():
        await connection.send("websocket.send", text="a", bytes=b"b")
    with connection.noting():
        await connection.send("websocket.send", text=b"octets")
    with connection.noting():
        await connection.send("websocket.send", bytes="text")
    with connection.noting():
        await connection.send("websocket.send", bytes=5)
    with connection.noting():
        await connection.send("websocket.send", text="\ud800")
    await connection.send("websocket.send", text="", bytes=None)
    await connection.send("websocket.send", text=None, bytes=b"")
    await connection.send("websocket.send", bytes=memoryview(bytearray(b"view")))
    await connection.listen()


# HTTP.


@http
async def upload(connection: Connection) -> None:
    """Tell what came: size, a sum over the octets, trailers."""
    body, trailers = await connection.read()
    await connection.answer(
        {
            "method": connection.scope["method"],
            "size": len(body),
            "sum": sum(body),
            "trailers": _plain(trailers),
        }
    )


@http
async def hello(connection: Connection) -> None:
    """A whole response with a few headers."""
    await connection.start(200, (b"Content-Type", b"text/plain"), (b"X-Hello", b"1"))
    await connection.body(b"hello")


@http
async def _scope(connection: Connection) -> None:
    """The scope as JSON, recorded by `app`."""
    await connection.answer(connection.record.scope)


@http
async def answers_late(connection: Connection) -> None:
    """Answer once released."""
    await connection.record.wait_for_release()
    await connection.answer("late")


@http
async def streams(connection: Connection) -> None:
    """Three pieces, each after a release; then the end."""
    await connection.start()
    for number in range(3):
        await connection.body(b"piece %d\n" % number, more_body=True)
        await connection.record.wait_for_release()
    await connection.body()


@http
async def pieces(connection: Connection) -> None:
    """A body in pieces of which some are empty."""
    await connection.start()
    for piece in (b"", b"one ", b"", b"two", b""):
        await connection.body(piece, more_body=True)
    await connection.body(b" three")


@http
async def sized(connection: Connection) -> None:
    """A response that announces the first argument and sends as many as the second says."""
    announced, *sizes = map(int, connection.arguments)
    await connection.start(200, (b"content-length", b"%d" % announced))
    for size in sizes[:-1]:
        await connection.body(b"x" * size, more_body=True)
    await connection.body(b"x" * sizes[-1])


@http
async def status(connection: Connection) -> None:
    """That status, with a body that some of them do not send."""
    await connection.start(int(connection.arguments[0]))
    await connection.body(b"a body")


@http
async def echoes(connection: Connection) -> None:
    """Stream the request's body back as it comes."""
    await connection.start()
    while True:
        message = await connection._receive()
        if message["type"] != "http.request":
            raise Gone
        more = message["more_body"]
        await connection.body(message["body"], more_body=more)
        connection.record.step("echoed")
        if not more:
            return


@http
async def slow_upload(connection: Connection) -> None:
    """Take the body once released."""
    await connection.record.wait_for_release()
    body, _ = await connection.read()
    await connection.answer(len(body))


@http
async def ignores_body(connection: Connection) -> None:
    """Answer without having asked for the body."""
    await connection.answer("not interested")


@http
async def download(connection: Connection) -> None:
    """200 MiB, as fast as `send()` lets."""
    await connection.start()
    for number in range(200):
        await connection.body(bytes(MEGABYTE), more_body=True)
        connection.record.notes = [number + 1]
    await connection.body()


@http
async def _file(connection: Connection) -> None:
    """The file that the argument names, by pathsend."""
    assert "http.response.pathsend" in connection.scope["extensions"]
    await connection.start()
    await connection.send("http.response.pathsend", path=connection.arguments[0])


@http
async def file_in_body(connection: Connection) -> None:
    """A file that is the last piece of a streamed body."""
    await connection.start()
    await connection.body(b"before ", more_body=True)
    await connection.send("http.response.pathsend", path=connection.arguments[0])


@http
async def trailers(connection: Connection) -> None:
    await connection.start(200, (b"trailer", b"x-sum"), trailers=True)
    await connection.body(b"with trailers")
    await connection.send("http.response.trailers", headers=[(b"x-sum", b"1")], more_trailers=True)
    await connection.send("http.response.trailers", headers=[(b"X-More", b"2")])


@http
async def early_hints(connection: Connection) -> None:
    for links in ([b"</a.css>; rel=preload", b"</b.css>; rel=preload"], [b"</c.css>; rel=preload"]):
        await connection.send("http.response.early_hint", links=links)
    await connection.start()
    await connection.send("http.response.early_hint", links=[b"</behind.css>; rel=preload"])
    await connection.body(b"hin", more_body=True)
    await connection.send("http.response.early_hint", links=[b"</late.css>; rel=preload"])
    await connection.body(b"ted")


@http
async def waits_for_disconnect(connection: Connection) -> None:
    """Take the body, then wait for the end; note what send() does then."""
    await connection.read()
    connection.record.step("waiting")
    await connection.receive()
    with connection.noting():
        await connection.answer("are you there?")


@http
async def receives_after_the_end(connection: Connection) -> None:
    await connection.read()
    await connection.answer("done")
    await connection.receive()
    await connection.receive()
    with connection.noting():
        await connection.body(b"more")


@http
async def streams_until_gone(connection: Connection) -> None:
    await connection.start()
    with connection.noting():
        while True:
            await connection.body(b"x" * 1000, more_body=True)
            connection.record.step("sent")
            await asyncio.sleep(0.01)


@http
async def raises_first(connection: Connection) -> None:
    raise RuntimeError("before the start")


@http
async def raises_after_start(connection: Connection) -> None:
    await connection.start(200, (b"x-lost", b"1"))
    raise RuntimeError("after the start")


@http
async def raises_in_body(connection: Connection) -> None:
    """After half of a body: sized when an argument is given."""
    headers = [(b"content-length", b"100")] if connection.arguments else []
    await connection.start(200, *headers)
    await connection.body(b"half", more_body=True)
    raise RuntimeError("in the body")


@http
async def raises_after_the_end(connection: Connection) -> None:
    await connection.answer("whole")
    raise RuntimeError("after the end")


@http
async def returns_first(connection: Connection) -> None:
    pass


@http
async def returns_after_start(connection: Connection) -> None:
    await connection.start()


@http
async def cancels_itself(connection: Connection) -> None:
    raise asyncio.CancelledError


@http
async def sends_badly(connection: Connection) -> None:
    """Messages that must not be sent; then a whole response."""
    bad: list[Message] = [
        {"type": "http.response.body", "body": b"too early"},
        {"type": "websocket.accept"},
        {"no": "type"},
        {"type": "http.response.start"},
        {"type": "http.response.start", "status": "200"},
        {"type": "http.response.start", "status": 99},
        {"type": "http.response.start", "status": 101},
        {"type": "http.response.start", "status": 1000},
        {"type": "http.response.start", "status": 200, "headers": [("name", "text")]},
        {"type": "http.response.start", "status": 200, "headers": [(b"x", 5)]},
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"-1")]},
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"1"), (b"content-length", b"1")],
        },
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"transfer-encoding", b"gzip")],
        },
    ]
    for message in bad:
        with connection.noting():
            await connection._send(message)
    await connection.start()
    for message in (
        {"type": "http.response.start", "status": 200},
        {"type": "http.response.body", "body": "text"},
        {"type": "http.response.body", "body": 5},
        {"type": "http.response.trailers", "headers": []},
        {"type": "http.response.pathsend", "path": "/no/such/file"},
    ):
        with connection.noting():
            await connection._send(message)
    await connection.body(b"fine")
    with connection.noting():
        await connection.body(b"more")


@http
async def sends_header(connection: Connection) -> None:
    """Try to send the header given as JSON; a plain response follows if that fails."""
    name, value = json.loads(connection.arguments[0])
    with connection.noting():
        await connection.start(200, (name.encode("latin-1"), value.encode("latin-1")))
        await connection.body(b"sent")
        return
    await connection.start(200, (b"x-second", b"2"))
    await connection.body(b"refused")


@http
async def closes_connection(connection: Connection) -> None:
    await connection.start(200, (b"Connection", b"close"))
    await connection.body(b"bye")
