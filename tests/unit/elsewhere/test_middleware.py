"""The extension elsewhere, used by the test clients of Starlette and httpx (asgiws/elsewhere/middleware.py)."""

from __future__ import annotations

import asyncio
import sys
import warnings
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgiws.config import StartError
from asgiws.elsewhere.middleware import PubSubMiddleware
from asgiws.elsewhere.workers import SeveralWorkers
from asgiws.services import present

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of Starlette, about httpx
    from starlette.testclient import TestClient


async def chat(websocket: WebSocket) -> None:
    hub = websocket.scope["extensions"]["asgiws.pubsub"]["hub"]
    await websocket.accept()
    async with hub.attach(websocket, "room"):
        await websocket.send_text("attached")
        async for text in websocket.iter_text():
            hub.publish("room", text)


async def publish(request: Request) -> JSONResponse:
    extension = request.scope["extensions"]["asgiws.pubsub"]
    extension["hub"].publish("room", request.path_params["text"])
    return JSONResponse({key: value for key, value in extension.items() if key != "hub"})


def make() -> PubSubMiddleware:
    routes = [WebSocketRoute("/", chat), Route("/publish/{text}", publish)]
    return PubSubMiddleware(Starlette(routes=routes), max_message=1000)


@pytest.mark.parametrize("has_lifespan", [True, False])
def test_the_clients_of_starlettes_test_client_reach_each_other(has_lifespan: bool) -> None:
    client = TestClient(make())
    if has_lifespan:  # else each WebSocket and each request has an event loop of its own
        client.__enter__()
    with client.websocket_connect("/") as one, client.websocket_connect("/") as two:
        assert one.receive_text() == two.receive_text() == "attached"
        one.send_text("hello")
        assert one.receive_text() == two.receive_text() == "hello"
        client.get("/publish/news")
        assert one.receive_text() == two.receive_text() == "news"
    if has_lifespan:
        client.__exit__()


async def test_requests_of_httpx_have_the_extension_and_its_limits() -> None:
    transport = httpx.ASGITransport(make())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        limits = (await client.get("/publish/x")).json()
    assert limits == {
        "version": "1.0",
        "max_topic": 255,
        "max_subscriptions": 1000,
        "max_message": 1000,
    }


def test_it_may_be_a_middleware_of_starlette_and_a_task_may_listen() -> None:
    heard: list[Any] = []

    class Listening:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async with AsyncExitStack() as stack:
                if scope["type"] == "lifespan":
                    hub = scope["extensions"]["asgiws.pubsub"]["hub"]
                    messages = await stack.enter_async_context(hub.subscribe("room"))
                    task = asyncio.create_task(listen(messages))
                    stack.callback(task.cancel)
                await self.app(scope, receive, send)

    async def listen(messages: Any) -> None:
        async for message in messages:
            heard.append(message.data)  # noqa: PERF401  # each at once

    app = Starlette(
        routes=[Route("/publish/{text}", publish)],
        middleware=[Middleware(PubSubMiddleware), Middleware(Listening)],
    )
    with TestClient(app) as client:
        client.get("/publish/one")
        client.get("/publish/two")
    assert heard == ["one", "two"]


def test_applications_are_apart() -> None:
    first, second = TestClient(make()), TestClient(make())
    with first.websocket_connect("/") as one, second.websocket_connect("/") as two:
        assert one.receive_text() == two.receive_text() == "attached"
        one.send_text("to the first")
        two.send_text("to the second")
        assert (one.receive_text(), two.receive_text()) == ("to the first", "to the second")


async def test_where_the_server_has_the_extension_it_does_nothing() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    scope = {"type": "websocket", "extensions": {"asgiws.pubsub": {"hub": 1}}}
    await PubSubMiddleware(app)(scope, app, app)
    assert seen == [(scope, app, app)]
    assert seen[0][0] is scope


async def call_lifespan(app: Any) -> list[Any]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "lifespan"}, receive, send)
    return sent


async def test_with_a_broker_that_cannot_be_used_it_refuses_to_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = PubSubMiddleware(make(), url="nats://localhost/secret")
    (message,) = await call_lifespan(app)
    assert message["type"] == "lifespan.startup.failed"
    assert message["message"].startswith("pubsub: that URL cannot be used: ")
    assert caplog.messages == [message["message"]]
    assert "secret" not in caplog.text
    with pytest.raises(StartError):  # a server without lifespan
        await app({"type": "http"}, make(), make())


async def test_with_several_workers_it_refuses_to_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["uvicorn", "a:b", "--workers", "2"])
    (message,) = await call_lifespan(make())
    assert message["type"] == "lifespan.startup.failed"
    assert (
        "reaches the clients of one process only, and this server has 2 workers"
        in (message["message"])
    )
    assert message["message"] in caplog.text
    with pytest.raises(SeveralWorkers):  # a server without lifespan
        await make()({"type": "http"}, bool, bool)


async def test_where_the_servers_topics_are_off_it_refuses_too() -> None:
    leave = present.enter(asyncio.get_running_loop(), None)
    try:
        (message,) = await call_lifespan(make())
    finally:
        leave()
    assert "the server's own topics are off: --pubsub off" in message["message"]
