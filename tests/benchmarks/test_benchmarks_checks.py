"""The checks before figures: a server that is right passes, and one that is wrong is left out where it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import checks, scenarios, servers
from benchmarks.scenarios import SCENARIOS
from conformance.tls import make

# What a server that gets things wrong would make of the application that is checked.
WRONG = """
from applications import checked

async def application(scope, receive, send):
    async def wrong_send(event):
        text = event.get("text")
        if text is not None:
            event = {**event, "text": text.replace("世", "?")}
        if event["type"] == "websocket.close":
            event = {**event, "code": 1000}
        await send(event)

    async def wrong_receive():
        event = await receive()
        if event["type"] == "websocket.disconnect":
            event = {**event, "code": 1006}
        if event["type"] == "http.request":
            event = {**event, "body": event["body"][:100_000]}
        return event

    await checked(scope, wrong_receive, wrong_send)

async def deaf(scope, receive, send):
    assert scope["type"] != "lifespan"
    await checked(scope, receive, send)
"""


@pytest.fixture
def own() -> servers.Server:
    try:
        return servers.asgiws("asgiws", None)
    except servers.ServerError as error:
        pytest.skip(str(error))


@pytest.fixture
def wrong(own: servers.Server, tmp_path: Path):
    """What is found of asgiws with one of the applications above, in these scenarios."""
    (tmp_path / "wrong.py").write_text(WRONG)

    def found(app: str, names: str) -> dict[str, str]:
        argv = tuple(part.replace("{app}", f"wrong:{app}") for part in own.argv)
        server = servers.Server(
            "peer", "peer", (*argv, "--app-dir", str(tmp_path)), dict(own.environment)
        )
        left_out = checks.wrong(server, scenarios.select(names), None)
        return {name: one.why for one in left_out for name in one.scenarios}

    return found


def test_a_server_that_is_right_is_left_out_of_nothing(own, tmp_path):
    names = "echo-small,echo-starlette,http-starlette,upload,https,wss-small,tls-connect"
    several = scenarios.select(names)
    plain = [one for one in several if not one.tls]
    assert checks.wrong(own, plain, None) == []
    over_tls = [one for one in several if one.tls]
    assert checks.wrong(own, over_tls, make(tmp_path)) == []


def test_a_server_that_is_wrong_is_left_out_where_it_is(wrong):
    found = wrong("application", "echo-small,http,upload,download")
    assert list(found) == ["echo-small", "upload", "download"]
    assert "text outside ASCII, 9 characters came back as another" in found["echo-small"]
    assert "the application closed with 4001, and the client saw 1000" in found["echo-small"]
    assert found["upload"].startswith("an upload of ")


def test_a_server_without_a_lifespan_is_left_out_of_all(wrong):
    found = wrong("deaf", "http,http-pipelined")
    assert found == dict.fromkeys(("http", "http-pipelined"), "the lifespan was not started")


def test_a_server_that_does_not_start_says_why(own):
    server = servers.Server("peer", "peer", (own.argv[0], "no_such:application"), {})
    (left_out,) = checks.wrong(server, [SCENARIOS["http"], SCENARIOS["connect"]], None)
    assert left_out.scenarios == ["http", "connect"]
    assert "the server ended with exit code" in left_out.why
    assert checks.told(left_out).startswith("peer is left out of http, connect: the server ended")


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("connect", {"message_sizes", "close_codes"}),
        ("http", {"get"}),
        ("https", {"get", "uploads"}),
        ("http-starlette", {"page_of_starlette"}),
        ("tls-resume", {"get"}),
    ],
)
def test_what_a_scenario_needs(name, needed):
    found = {one.__name__ for one in checks.needed(SCENARIOS[name])}
    assert needed | {"lifespan"} <= found
    assert ("uploads" in found) == ("uploads" in needed)


def test_every_name_of_a_peer_is_a_program_of_its_own():
    for name, peer in servers.PEERS.items():
        assert "{port}" in peer.command, name
        parts = ("{port}", "{key}", "{cert}")
        assert peer.room or all(part in peer.tls for part in parts), name
        assert peer.asyncio or peer.gives_up, name
    assert os.path.exists(servers.SERVED / "start_freastal.py")
