"""Each example, served as its docstring says and used by independent clients."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests.support.server import RunningServer, serve

ROOT = Path(__file__).resolve().parents[2]


def example(app: str) -> Callable[[], Iterator[RunningServer]]:
    """A fixture: the example served, once for all the tests of this file."""

    @pytest.fixture(scope="module")
    def server() -> Iterator[RunningServer]:
        with serve(app, "--app-dir", str(ROOT)) as server:
            yield server

    return server


echo = example("examples.echo:app")
chat = example("examples.chat:app")
feed = example("examples.fastapi_feed:app")
django_chat = example("examples.django_chat.asgi:application")


def open_socket(server: RunningServer, path: str, **options: Any) -> connect:
    return connect(server.ws_url(path), proxy=None, **options)


def narrow(server: RunningServer) -> socket.socket:
    """A socket for who will not read: the kernel soon takes no more for it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((server.host, server.port))
    sock.setblocking(False)
    return sock


def http(server: RunningServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url(""), trust_env=False)


async def receive_json(socket: ClientConnection) -> Any:
    message = await socket.recv()
    assert isinstance(message, str)
    return json.loads(message)


async def receive_kind(socket: ClientConnection, kind: str) -> Any:
    """The next JSON message of this kind; those of other kinds are passed over."""
    while (message := await receive_json(socket))["kind"] != kind:
        pass
    return message


async def closed(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Read until the connection is closed: the code and the reason that the server gave."""
    with suppress(ConnectionClosed):
        async for _ in socket:
            pass
    return socket.close_code, socket.close_reason


# ---- echo ----------------------------------------------------------------------------------------


async def test_echo_says_hello_over_http(echo: RunningServer) -> None:
    async with http(echo) as client:
        response = await client.get("/world?x=1")

    assert (response.status_code, response.text) == (200, "Hello from /world\n")


async def test_echo_sends_text_and_bytes_back(echo: RunningServer) -> None:
    async with open_socket(echo, "/") as socket:
        for message in ("Grüße", b"\x00\xff", "", b""):
            await socket.send(message)
            assert await socket.recv() == message


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["echo.v1", "echo.v2"], "echo.v2"),
        (["other", "echo.v1"], "echo.v1"),
        (["other"], None),
        ([], None),
    ],
)
async def test_echo_chooses_the_best_subprotocol(
    echo: RunningServer, offered: list[str], chosen: str | None
) -> None:
    subprotocols = [Subprotocol(name) for name in offered] or None

    async with open_socket(echo, "/", subprotocols=subprotocols) as socket:
        assert socket.subprotocol == chosen


# ---- chat ----------------------------------------------------------------------------------------


@asynccontextmanager
async def join(server: RunningServer, name: str, **options: Any) -> AsyncIterator[ClientConnection]:
    async with open_socket(server, f"/room?name={name}", **options) as socket:
        assert (await receive_kind(socket, "welcome"))["name"] == name
        assert (await receive_kind(socket, "joined"))["name"] == name
        while name not in (await receive_kind(socket, "members"))["members"]:
            pass
        yield socket


async def say(socket: ClientConnection, text: str) -> None:
    await socket.send(json.dumps({"kind": "say", "text": text}))


async def test_chat_serves_its_page(chat: RunningServer) -> None:
    async with http(chat) as client:
        response = await client.get("/")

    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text == (ROOT / "examples/chat.html").read_text(encoding="utf-8")


async def test_chat_passes_on_what_two_members_say(chat: RunningServer) -> None:
    async with join(chat, "Ada") as ada, join(chat, "Grace") as grace:
        assert (await receive_kind(ada, "joined"))["name"] == "Grace"
        assert (await receive_kind(ada, "members"))["members"] == ["Ada", "Grace"]

        await say(ada, "Hello")
        said = {"kind": "said", "name": "Ada", "text": "Hello"}
        assert await receive_json(ada) == await receive_json(grace) == said

        await grace.send(b"\x89PNG")
        received = await ada.recv()
        assert isinstance(received, bytes)
        assert received == await grace.recv()
        line, _, picture = received.partition(b"\n")
        assert json.loads(line) == {"kind": "picture", "name": "Grace", "size": 4}
        assert picture == b"\x89PNG"

        await grace.close(4001, "to lunch")
        left = {"kind": "left", "name": "Grace", "code": 4001, "reason": "to lunch"}
        assert await receive_json(ada) == left
        assert (await receive_json(ada))["members"] == ["Ada"]


async def test_chat_loses_nothing_of_a_burst(chat: RunningServer) -> None:
    words = [str(number) for number in range(1_000)]
    async with join(chat, "Ada") as ada, join(chat, "Grace") as grace:
        burst = asyncio.gather(*(say(ada, word) for word in words))

        for socket in (ada, grace):
            assert [(await receive_kind(socket, "said"))["text"] for _ in words] == words
        await burst


async def test_chat_goes_on_when_a_member_vanishes(chat: RunningServer) -> None:
    async with join(chat, "Ada") as ada:
        async with join(chat, "Grace") as grace:
            grace.transport.abort()

        # The members of the test before may still be leaving.
        while (left := await receive_kind(ada, "left"))["name"] != "Grace":
            pass
        assert left["code"] == 1006
        assert (await receive_kind(ada, "members"))["members"] == ["Ada"]
        await say(ada, "Alone")
        assert (await receive_json(ada))["text"] == "Alone"


async def test_chat_reaches_the_members_of_all_workers() -> None:
    with serve("examples.chat:app", "--app-dir", str(ROOT), "--workers", "2") as server:
        async with AsyncExitStack() as stack:
            names = [f"member{number}" for number in range(6)]
            sockets = [await stack.enter_async_context(join(server, name)) for name in names]
            for number, socket in enumerate(sockets):
                await say(socket, str(number))
            for socket in sockets:
                said = [await receive_kind(socket, "said") for _ in names]
                assert sorted((one["name"], one["text"]) for one in said) == [
                    (name, str(number)) for number, name in enumerate(names)
                ]
            # Somebody who comes later is told of all of them, whichever worker they are on.
            async with join(server, "late") as late:
                await say(late, "hello")
                while (await receive_kind(sockets[0], "members"))["members"] != ["late", *names]:
                    pass


async def test_chat_lets_go_of_a_member_who_does_not_read(chat: RunningServer) -> None:
    picture = os.urandom(512 * 1024)
    async with (
        join(chat, "Ada") as ada,
        join(chat, "Sleeper", max_queue=1, sock=narrow(chat)) as sleeper,
    ):
        await receive_kind(ada, "joined")
        told: list[Any] = []
        while not told:
            await ada.send(picture)
            while isinstance(message := await ada.recv(), str):
                event = json.loads(message)
                told += [event] if event["kind"] == "left" else []
            assert message.endswith(picture)

        assert (told[0]["name"], told[0]["code"]) == ("Sleeper", 1013)
        await say(ada, "Good night")
        assert (await receive_kind(ada, "said"))["text"] == "Good night"
        sleeper.transport.abort()


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("{", 1008, "a message is a JSON object"),
        ('{"kind": "shout"}', 1008, "not a message of this chat, or too long"),
        (json.dumps({"kind": "say", "text": "x" * 2_001}), 1008, None),
        (bytes(1_000_001), 1009, "a picture may have 1000000 bytes"),
        (json.dumps({"kind": "close me", "code": 1012, "reason": "again"}), 1012, "again"),
        (json.dumps({"kind": "close me", "code": 3000, "reason": "é" * 100}), 3000, "é" * 61),
        (json.dumps({"kind": "close me", "code": 1006, "reason": ""}), 1008, None),
    ],
    ids=[
        "no JSON",
        "unknown",
        "long text",
        "large picture",
        "asked",
        "long reason",
        "no such code",
    ],
)
async def test_chat_closes_with_a_reason(
    chat: RunningServer, message: str | bytes, code: int, reason: str | None
) -> None:
    async with join(chat, "Ada") as ada:
        await ada.send(message)

        told = await closed(ada)

    assert told[0] == code
    assert reason in (None, told[1])


async def test_chat_refuses_where_it_should(chat: RunningServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await open_socket(chat, "/refuse")

    assert refused.value.response.status_code == 403
    assert refused.value.response.body == b"Not for you.\n"


# ---- feed ----------------------------------------------------------------------------------------


async def receive_until(socket: ClientConnection, number: int, last: int = 0) -> int:
    """Read updates up to this number, and check that none is missing. Returns the last one's."""
    while last < number:
        update = await receive_json(socket)
        assert update["number"] == last + 1 or last == 0
        last = update["number"]
    return last


async def test_feed_gives_recent_and_new_updates_to_all(feed: RunningServer) -> None:
    async with (
        http(feed) as client,
        open_socket(feed, "/updates") as one,
        open_socket(feed, "/updates") as two,
    ):
        response = await client.post("/updates", json={"values": {"attic": 21.5}})
        published = response.json()
        assert response.status_code == 201
        assert published["values"] == {"attic": 21.5}

        for socket in (one, two):
            first = (await receive_json(socket))["number"]
            assert first <= published["number"]
            await receive_until(socket, published["number"] + 1, first)

    async with open_socket(feed, "/updates") as late:
        while (update := await receive_json(late)) != published:
            assert update["number"] < published["number"]


async def test_feed_is_not_held_up_by_one_who_does_not_read(feed: RunningServer) -> None:
    large = {"values": {f"sensor {number}": float(number) for number in range(3_000)}}
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(http(feed))
        *readers, sleeper = [
            await stack.enter_async_context(
                open_socket(feed, "/updates", max_queue=1, compression=None, sock=sock)
            )
            for sock in (None, None, None, narrow(feed))
        ]
        last = [0] * len(readers)
        while len(waiting := (await client.get("/subscribers")).json()) > len(readers):
            assert max(waiting) <= 100
            response = await client.post("/updates", json=large)
            number = response.json()["number"]
            last = [
                await receive_until(reader, number, read)
                for reader, read in zip(readers, last, strict=True)
            ]

        sleeper.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20
        )
        assert await closed(sleeper) == (1013, "too slow")
        for reader, read in zip(readers, last, strict=True):
            await receive_until(reader, read + 1, read)


async def test_feed_serves_its_page(feed: RunningServer) -> None:
    async with http(feed) as client:
        response = await client.get("/")

    assert response.text == (ROOT / "examples/fastapi_feed.html").read_text(encoding="utf-8")


# ---- django_chat ---------------------------------------------------------------------------------


@pytest.fixture
async def visitor(django_chat: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with http(django_chat) as client:
        yield client


async def sign_in(client: httpx.AsyncClient, nickname: str) -> httpx.Response:
    page = await client.get("/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None
    form = {"csrfmiddlewaretoken": token[1], "nickname": nickname}
    return await client.post("/login/", data=form, headers={"Referer": str(page.url)})


def enter(
    server: RunningServer, client: httpx.AsyncClient, *, origin: str | None = None
) -> connect:
    """Open a socket to the room with the visitor's cookies, from a page of the server itself."""
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    return open_socket(
        server,
        "/rooms/lobby/",
        origin=Origin(origin or server.url("")),
        additional_headers={"Cookie": cookies},
    )


async def test_django_chat_sends_a_stranger_to_the_login(
    django_chat: RunningServer, visitor: httpx.AsyncClient
) -> None:
    response = await visitor.get("/rooms/lobby/")

    assert (response.status_code, response.headers["location"]) == (
        302,
        "/login/?next=/rooms/lobby/",
    )


async def test_django_chat_lets_members_talk(
    django_chat: RunningServer, visitor: httpx.AsyncClient
) -> None:
    signed_in = await sign_in(visitor, "Ada")
    assert (signed_in.status_code, signed_in.headers["location"]) == (302, "/rooms/lobby/")
    assert "lobby, as Ada" in (await visitor.get("/rooms/lobby/")).text

    async with http(django_chat) as other, enter(django_chat, visitor) as ada:
        assert await receive_json(ada) == {"kind": "joined", "nickname": "Ada", "text": ""}
        await sign_in(other, "Grace")
        async with enter(django_chat, other) as grace:
            assert (await receive_json(ada))["nickname"] == "Grace"
            assert (await receive_json(grace))["kind"] == "joined"

            await grace.send(json.dumps({"text": "Grüße"}))
            said = {"kind": "said", "nickname": "Grace", "text": "Grüße"}
            assert await receive_json(ada) == await receive_json(grace) == said
        assert await receive_json(ada) == {"kind": "left", "nickname": "Grace", "text": ""}

        async with enter(django_chat, other) as vanishing:
            assert (await receive_json(ada))["kind"] == "joined"
            vanishing.transport.abort()
        assert (await receive_json(ada))["kind"] == "left"


async def test_django_chat_closes_on_what_it_does_not_know(
    django_chat: RunningServer, visitor: httpx.AsyncClient
) -> None:
    await sign_in(visitor, "Ada")
    async with enter(django_chat, visitor) as socket:
        await socket.send("[]")

        assert await closed(socket) == (1008, "not a message of this chat, or too long")


async def test_django_chat_refuses_who_has_not_signed_in(
    django_chat: RunningServer, visitor: httpx.AsyncClient
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await enter(django_chat, visitor)

    assert refused.value.response.status_code == 403


async def test_django_chat_refuses_a_page_of_another_origin(
    django_chat: RunningServer, visitor: httpx.AsyncClient
) -> None:
    await sign_in(visitor, "Ada")

    with pytest.raises(InvalidStatus) as refused:
        await enter(django_chat, visitor, origin="https://evil.example")

    assert refused.value.response.status_code == 403


async def test_django_chat_believes_no_forged_session(
    django_chat: RunningServer, visitor: httpx.AsyncClient
) -> None:
    await sign_in(visitor, "Ada")
    genuine = visitor.cookies["sessionid"]
    visitor.cookies.clear()
    visitor.cookies.set("sessionid", genuine[:-1] + ("a" if genuine[-1] != "a" else "b"))

    with pytest.raises(InvalidStatus) as refused:
        await enter(django_chat, visitor)

    assert refused.value.response.status_code == 403
