"""The application that is soaked, and its ledger: a line of JSON for each connection that it was called for.

Rules of this file:
- The ledger is written when a connection's call ends, to the file that SOAK_LEDGER names; nothing of an ended
  connection is kept, for the memory of this process is judged.
- Every handler comes to its `until_end`, which asks once more behind the disconnect: it must not come twice.
- A connection names itself by `id` in its query; one without an id is not written down.
- SOAK_FAULT breaks the server, see `faults`.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import sys
from collections import Counter
from typing import Any
from urllib.parse import parse_qsl

from benchmarks.soak import messages, topics
from benchmarks.soak.faults import Application, Message, Receive, Send, broken

#: Messages that may wait for one subscriber; who lags further behind is closed with 1013.
BEHIND = 4096
CHUNK = 65536
_BLOCK = bytes(range(256)) * (CHUNK // 256)


class Asked(Exception):
    """Raised where a client asked for it."""


class Ledger:
    """What is written down; `running` counts the calls of the application that have not ended."""

    def __init__(self, path: str | None) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if path else -1
        self.running = 0
        self.written = 0

    def write(self, record: dict[str, Any]) -> None:
        if self._file >= 0 and record["id"]:
            self.written += 1
            os.write(self._file, json.dumps(record).encode() + b"\n")


ledger = Ledger(os.environ.get("SOAK_LEDGER"))


def _hub(scope: Message) -> Any:
    """The hub of topics; None without topics."""
    return scope.get("extensions", {}).get("asgiws.pubsub", {}).get("hub")


class Talk:
    """One WebSocket, with what the ledger says of it."""

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.query = dict(parse_qsl(scope["query_string"].decode()))
        self.path: str = scope["path"]
        self.hub: Any = _hub(scope)
        self.order = messages.Order()
        self.sent = 0
        self.sent_chain = 0
        self.disconnects: list[list[Any]] = []
        self.how = ""
        self._receive = receive
        self._send = send

    def number(self, name: str) -> int:
        return int(self.query.get(name, "0"))

    async def accept(self) -> None:
        await self._receive()
        await self._send({"type": "websocket.accept"})

    async def event(self) -> Message | None:
        """Whatever comes next; None once the connection has ended."""
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            self.disconnects.append([event["code"], event["reason"]])
            return None
        return event

    async def receive(self) -> str | bytes | None:
        """The next message of the client; None once the connection has ended."""
        event = await self.event()
        while event is not None and event["type"] != "websocket.receive":
            event = await self.event()  # what is told about topics
        if event is None:
            return None
        text = event.get("text")
        message: str | bytes = event["bytes"] if text is None else text
        self.order.take(message)
        return message

    async def command(self) -> str | None:
        """The next message where they are not numbered; None once the connection has ended."""
        event = await self.event()
        return None if event is None else event.get("text") or ""

    async def tell(self, message: Message) -> None:
        """Send a message of ASGI as it is."""
        await self._send(message)

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self._send({"type": "websocket.send", "text": message})
        else:
            await self._send({"type": "websocket.send", "bytes": message})
        self.sent += 1
        self.sent_chain = messages.chained(message, self.sent_chain)

    async def say(self, **what: Any) -> None:
        """Something beside the numbered messages."""
        await self._send({"type": "websocket.send", "text": json.dumps(what)})

    async def close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def until_end(self) -> None:
        """Take what still comes, until the disconnect; then ask once more."""
        if not self.disconnects:
            while await self.receive() is not None:
                pass
        try:
            event = await self._receive()
        except Exception:  # as it should: nothing comes after a disconnect
            return
        self.disconnects.append([event.get("code"), event["type"]])

    def record(self) -> dict[str, Any]:
        return {
            "id": self.query.get("id", ""),
            "path": self.path,
            "received": self.order.count,
            "chain": self.order.chain,
            "faults": self.order.faults,
            "sent": self.sent,
            "sent_chain": self.sent_chain,
            "disconnects": self.disconnects,
            "how": self.how,
        }


# WebSocket.


async def echo(talk: Talk) -> None:
    """Each message as it came."""
    await talk.accept()
    while (message := await talk.receive()) is not None:
        await talk.send(message)


async def sink(talk: Talk) -> None:
    """Receive, and answer nothing."""
    await talk.accept()
    while await talk.receive() is not None:
        pass


async def slow(talk: Talk) -> None:
    """Receive one now and then; then say how many there were."""
    await talk.accept()
    while (message := await talk.receive()) is not None:
        await asyncio.sleep(0.02)
        if isinstance(message, str) and message.endswith("stop"):
            await talk.say(received=talk.order.count)


async def flood(talk: Talk) -> None:
    """Send `count` messages of `size` octets without ever asking for what comes; then listen."""
    await talk.accept()
    body = _BLOCK[: talk.number("size")]
    for number in range(talk.number("count")):
        await talk.send(messages.binary(number, body))


async def ends(talk: Talk) -> None:
    """Take `after` messages, then end as `how` says: close, return, raise."""
    await talk.accept()
    for _ in range(talk.number("after")):
        message = await talk.receive()
        if message is None:
            return
        await talk.send(message)
    how = talk.query["how"]
    if how == "close":
        await talk.close(talk.number("code"), talk.query.get("reason", ""))
        return
    talk.how = how
    if how == "raise":
        raise Asked


async def refuses(talk: Talk) -> None:
    """Answer the handshake with no: by close, or by a response of its own."""
    await talk._receive()
    if talk.query.get("how") == "close":
        await talk.close(1000, "")
        return
    await talk._send({"type": "websocket.http.response.start", "status": 401, "headers": []})
    for more in (True, False):
        body = {"type": "websocket.http.response.body", "body": b"who? ", "more_body": more}
        await talk._send(body)


async def late(talk: Talk) -> None:
    """Accept after a while; then echo."""
    await asyncio.sleep(talk.number("ms") / 1000)
    await echo(talk)


class Topic:
    """Numbers what is published and gives it to each subscriber's queue."""

    def __init__(self) -> None:
        self.next = 0
        self.subscribers: set[Subscriber] = set()

    def publish(self, body: str) -> None:
        message = messages.text(self.next, body)
        self.next += 1
        for subscriber in self.subscribers:
            subscriber.put(message)


class Subscriber:
    """What waits for one listener; None stands at the end."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str | None] = asyncio.Queue()
        self.lags = False

    def put(self, message: str) -> None:
        if self.queue.qsize() < BEHIND:
            self.queue.put_nowait(message)
        else:
            self.lags = True


_topics: dict[str, Topic] = {}


async def publishes(talk: Talk) -> None:
    """Publish what comes, and answer each with the same."""
    await talk.accept()
    topic = _topics.setdefault(talk.query["topic"], Topic())
    while (message := await talk.receive()) is not None:
        assert isinstance(message, str)
        topic.publish(message)
        await talk.send(message)


async def listens(talk: Talk) -> None:
    """Say the number of the first message, give all that is published until told to stop, say the number that
    would have been next. Who lags behind is closed with 1013."""
    await talk.accept()
    topic = _topics.setdefault(talk.query["topic"], Topic())
    subscriber = Subscriber()
    topic.subscribers.add(subscriber)
    writer = None
    try:
        await talk.say(first=topic.next)
        writer = asyncio.create_task(_write(talk, subscriber))
        while (said := await talk.command()) is not None:
            if said == "stop":
                topic.subscribers.discard(subscriber)
                last = topic.next
                subscriber.queue.put_nowait(None)
                await writer
                await talk.say(last=last)
    finally:
        topic.subscribers.discard(subscriber)
        if writer is not None:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)


async def _write(talk: Talk, subscriber: Subscriber) -> None:
    try:
        while not subscriber.lags:
            message = await subscriber.queue.get()
            if message is None:
                return
            await talk.send(message)
        await talk.close(1013, "you lag behind")
    except OSError:
        pass  # the listener has gone; the other task hears of it


WEBSOCKETS = {
    "/echo": echo,
    "/sink": sink,
    "/slow": slow,
    "/flood": flood,
    "/ends": ends,
    "/refuses": refuses,
    "/late": late,
    "/publish": publishes,
    "/listen": listens,
    **topics.WEBSOCKETS,
}


async def _websocket(scope: Message, receive: Receive, send: Send) -> None:
    talk = Talk(scope, receive, send)
    try:
        try:
            await WEBSOCKETS[talk.path](talk)
        except OSError:
            talk.how = "told by send"  # and the disconnect must come as well
        if talk.how not in ("return", "raise"):
            await talk.until_end()
    except Asked:
        raise
    except BaseException as error:
        talk.how = f"error: {error!r}"
        raise
    finally:
        ledger.write(talk.record())


# HTTP.


class Exchange:
    """One request, with what the ledger says of it."""

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.query = dict(parse_qsl(scope["query_string"].decode()))
        self.hub: Any = _hub(scope)
        self.received = 0
        self.sent = 0
        self.gone = 0
        self.how = ""
        self._receive = receive
        self._send = send

    async def read(self) -> bytes | None:
        """The body; None when the client has gone before its end."""
        body = b""
        while True:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                self.gone += 1
                return None
            self.received += len(event.get("body", b""))
            if len(body) < CHUNK:
                body += event.get("body", b"")
            if not event.get("more_body", False):
                return body

    async def start(self, *headers: tuple[bytes, bytes], status: int = 200) -> None:
        start = {"type": "http.response.start", "status": status, "headers": list(headers)}
        await self._send(start)

    async def body(self, body: bytes, more: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
        self.sent += len(body)

    async def answer(self, body: bytes, status: int = 200) -> None:
        await self.start((b"content-length", b"%d" % len(body)), status=status)
        await self.body(body)

    async def until_gone(self) -> None:
        """Wait for the disconnect."""
        while True:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                self.gone += 1
                return

    def record(self) -> dict[str, Any]:
        return {
            "id": self.query.get("id", ""),
            "path": "http",
            "received": self.received,
            "sent": self.sent,
            "disconnects": [["gone", ""]] * self.gone,
            "faults": {},
            "how": self.how,
        }


async def get(exchange: Exchange) -> None:
    """The numbered message that the query asks for."""
    number, size = int(exchange.query["number"]), int(exchange.query["size"])
    await exchange.answer(messages.binary(number, _BLOCK[:size]))


async def post(exchange: Exchange) -> None:
    """The body as it came."""
    body = await exchange.read()
    if body is not None:
        await exchange.answer(body)


async def upload(exchange: Exchange) -> None:
    """Take the body, say its size; the client may go before."""
    if await exchange.read() is not None:
        await exchange.answer(b"%d" % exchange.received)


async def download(exchange: Exchange) -> None:
    """`size` octets in pieces, with or without a length; then wait until the client has gone."""
    size = int(exchange.query["size"])
    sized = exchange.query.get("sized") == "1"
    await exchange.start(*[(b"content-length", b"%d" % size)] if sized else [])
    try:
        for at in range(0, size, CHUNK):
            await exchange.body(_BLOCK[: size - at], at + CHUNK < size)
    except OSError:
        exchange.how = "told by send"
    await exchange.until_gone()


def _give_back() -> None:
    """Collect garbage, and have the allocator return its free pages to the system, where it can (glibc)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


async def state(exchange: Exchange) -> None:
    """What this process holds, as JSON; when `collect` asks for it, once all that is free was given back."""
    if exchange.query.get("collect"):
        await topics.settle(exchange.hub)
        _give_back()
    found: dict[str, Any] = {
        "pid": os.getpid(),
        "tasks": len(asyncio.all_tasks()),
        "running": ledger.running,
        "written": ledger.written,
        "blocks": sys.getallocatedblocks(),
    }
    if exchange.query.get("collect"):
        kinds = Counter(type(one).__qualname__ for one in gc.get_objects())
        found["objects"] = kinds.total()
        found["kinds"] = dict(kinds.most_common(60))
    await exchange.answer(json.dumps(found).encode())


HTTP = {
    "/get": get,
    "/post": post,
    "/upload": upload,
    "/download": download,
    "/state": state,
}


async def _http(scope: Message, receive: Receive, send: Send) -> None:
    exchange = Exchange(scope, receive, send)
    try:
        handler = HTTP.get(scope["path"])
        if handler is None:
            await exchange.answer(b"no such page", 404)
        else:
            await handler(exchange)
    except BaseException as error:
        exchange.how = f"error: {error!r}"
        raise
    finally:
        ledger.write(exchange.record())


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = await receive()
        await send({"type": event["type"] + ".complete"})
        if event["type"] == "lifespan.shutdown":
            return


async def _application(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    ledger.running += 1
    try:
        await (_websocket if scope["type"] == "websocket" else _http)(scope, receive, send)
    finally:
        ledger.running -= 1


_FAULT = os.environ.get("SOAK_FAULT")
app: Application = broken(_application, _FAULT) if _FAULT else _application
