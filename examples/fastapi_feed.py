"""A feed on FastAPI: one stream of updates, sent to any number of subscribers.

It shows a task that lives as long as the application and publishes; subscribers that each have a
bounded queue, so that memory stays bounded and nobody waits for anybody; and what to do with one
that is slow. It loses the oldest updates first, for on a dashboard the newest one counts, and it is
closed with 1013 when a single update has not left within PATIENCE. The page draws a live chart.

    asgiws examples.fastapi_feed:app

The readings are made up. Publish some of your own with a POST of {"values": {"attic": 21.5}} to
/updates, which in a real application would first ask who you are.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import anyio
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse
from pydantic import BaseModel

PAGE = Path(__file__).with_name("fastapi_feed.html")
INTERVAL = 0.2  # seconds between two readings
QUEUE = 100  # updates that wait for one subscriber at most
PATIENCE = 5.0  # seconds in which one update must have left


class Readings(BaseModel):
    values: dict[str, float]


class Update(Readings):
    number: int  # counts up by one, so that a subscriber sees what it has missed
    time: float


class Subscriber:
    """The updates that wait for one subscriber, in the form in which they are sent."""

    def __init__(self, recent: deque[str]) -> None:
        self.waiting = deque(recent, maxlen=QUEUE)  # full: the oldest one goes
        self.arrived = asyncio.Event()

    def put(self, message: str) -> None:
        self.waiting.append(message)
        self.arrived.set()

    async def get(self) -> str:
        while not self.waiting:
            self.arrived.clear()
            await self.arrived.wait()
        return self.waiting.popleft()


class Feed:
    def __init__(self) -> None:
        self.subscribers: set[Subscriber] = set()
        self.recent: deque[str] = deque(maxlen=QUEUE)
        self.published = 0

    def publish(self, readings: Readings) -> Update:
        """Give an update to everybody. Nothing here waits for a subscriber."""
        self.published += 1
        update = Update(values=readings.values, number=self.published, time=time.time())
        message = update.model_dump_json()  # once, for all of them
        self.recent.append(message)
        for subscriber in self.subscribers:
            subscriber.put(message)
        return update

    @contextmanager
    def subscribe(self) -> Iterator[Subscriber]:
        subscriber = Subscriber(self.recent)
        self.subscribers.add(subscriber)
        try:
            yield subscriber
        finally:
            self.subscribers.discard(subscriber)


feed = Feed()


async def measure() -> None:
    """Publish readings that wander around their usual level."""
    usual = {"greenhouse": 24.0, "roof": 17.5, "cellar": 12.0}
    now = dict(usual)
    while True:
        for place, level in usual.items():
            wave = 1.6 * math.sin(time.time() / 7 + level)
            now[place] += 0.1 * (level + wave - now[place]) + random.gauss(0, 0.12)
        feed.publish(Readings(values={place: round(value, 2) for place, value in now.items()}))
        await asyncio.sleep(INTERVAL)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(measure)
        yield
        tasks.cancel_scope.cancel()


app = FastAPI(title="Feed", lifespan=lifespan)


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(PAGE)


@app.get("/subscribers")
async def subscribers() -> list[int]:
    """How many updates wait, for each subscriber."""
    return [len(subscriber.waiting) for subscriber in feed.subscribers]


@app.post("/updates", status_code=201)
async def publish(readings: Readings) -> Update:
    return feed.publish(readings)


@app.websocket("/updates")
async def updates(websocket: WebSocket) -> None:
    await websocket.accept()
    too_slow = False
    with feed.subscribe() as subscriber:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_for_the_end, websocket, tasks.cancel_scope)
            too_slow = await deliver(websocket, subscriber)
            tasks.cancel_scope.cancel()
    if too_slow:
        with anyio.move_on_after(PATIENCE), suppress(WebSocketDisconnect):
            await websocket.close(1013, "too slow")


async def wait_for_the_end(websocket: WebSocket, stay: anyio.CancelScope) -> None:
    """Notice at once that the subscriber has gone, even while there is nothing to send."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass  # a subscriber has nothing to say
    stay.cancel()


async def deliver(websocket: WebSocket, subscriber: Subscriber) -> bool:
    """Send what is published; return whether the subscriber was too slow for it, or has gone."""
    try:
        while True:
            message = await subscriber.get()
            with anyio.move_on_after(PATIENCE) as limit:
                await websocket.send_text(message)
            if limit.cancelled_caught:
                return True
    except WebSocketDisconnect:
        return False
