"""Who comes in: too many, too fast, or from where they should not."""

from __future__ import annotations

import pytest

from tests.abuse.harness import OTHER, Abuse, get, post, until
from tests.support.raw import TEXT, Response, handshake


def refused(response: Response, status: int) -> None:
    """It is that status, with the seconds after which to try again."""
    assert response.status == status
    assert int(response.get("retry-after") or 0) > 0


def test_too_many_connections(abuse: Abuse) -> None:
    """More connections than there may be"""
    with abuse("--limit-connections", "20", http=False) as scene:
        raws = scene.raws_of(19)  # the victim is the twentieth
        for raw in raws:
            assert raw.request(get("/tasks")).status == 200
        for _ in range(200):
            with scene.raw() as raw:
                refused(raw.response(), 503)  # without a request
        scene.victim.served()
        assert raws[0].request(get("/tasks")).status == 200
        raws[0].close()
        until(lambda: scene.raw().request(get("/tasks")).status == 200, "there is room again")


def test_too_many_websockets(abuse: Abuse) -> None:
    """More WebSockets than there may be"""
    with abuse("--limit-websockets", "20") as scene:
        raws = [scene.opened("/echo") for _ in range(19)]  # the victim is the twentieth
        for _ in range(200):
            refused(scene.handshake("/echo").response(), 503)
        scene.victim.served()
        raws[0].reset()

        def is_let_in() -> bool:
            return scene.handshake("/echo").response("HEAD").status == 101

        until(is_let_in, "there is room again")
        assert scene.report()["echo began"] == 20


def test_too_many_requests(abuse: Abuse) -> None:
    """More requests and HTTP connections than there may be; WebSockets do not count"""
    with abuse("--limit-concurrency", "10", http=False) as scene:
        for _ in range(20):
            raw = scene.opened("/echo")
            raw.send_frame(TEXT, b"hello")
            assert raw.message() == "hello"
        held = scene.raws_of(10)
        for raw in held:
            raw.send(post("/read", "Content-Length: 1"))
        scene.victim.served()
        for _ in range(200):
            with scene.raw() as raw:
                refused(raw.request(get("/tasks")), 503)
        scene.victim.served()
        for raw in held:
            raw.reset()

        def is_served() -> bool:
            return scene.raw().request(get("/tasks")).status == 200

        until(is_served, "there is room again")


def test_too_many_of_one_address(abuse: Abuse) -> None:
    """More connections of one address than it may have"""
    with abuse("--limit-per-ip", "20") as scene:
        raws = scene.raws_of(20)
        for raw in raws:
            assert raw.request(get("/tasks")).status == 200
        for _ in range(200):
            with scene.raw() as raw:
                assert raw.response().status == 429
        assert scene.raw(OTHER).request(get("/tasks")).status == 200
        raws[0].close()
        until(lambda: scene.raw().request(get("/tasks")).status == 200, "there is room again")


@pytest.mark.parametrize("limit", ["--limit-connections", "--limit-concurrency"])
def test_who_is_turned_away_takes_nobodys_place(abuse: Abuse, limit: str) -> None:
    """Connections that are refused, and held, until there are more than there may be in all"""
    with abuse("--limit-per-ip", "5", limit, "20", http=False) as scene:
        for raw in scene.raws_of(100)[5:]:
            assert raw.response().status == 429
        for _ in range(5):
            assert scene.raw(OTHER).request(get("/tasks")).status == 200
        scene.victim.served()


def test_too_many_handshakes_of_one_address(abuse: Abuse) -> None:
    """Handshakes of one address, faster than it may"""
    with abuse("--limit-handshakes-per-ip", "10") as scene:
        raws = [scene.handshake("/echo") for _ in range(200)]
        statuses = []
        for raw in raws:
            response = raw.response("HEAD")
            statuses.append(response.status)
            if response.status != 101:
                assert response.status == 429
                assert int(response.get("retry-after") or 0) > 0
        assert statuses[:10] == [101] * 10
        assert 429 in statuses
        scene.opened("/echo", source=OTHER)
        assert scene.report()["echo began"] == statuses.count(101) + 1

        def is_let_in() -> bool:
            return scene.handshake("/echo").response("HEAD").status == 101

        until(is_let_in, "time has passed")


def test_no_descriptors(abuse: Abuse) -> None:
    """More connections than the process has descriptors for"""
    with abuse(http=False, descriptors=20) as scene:
        for _ in range(100):
            scene.raw()
        scene.server.wait_for_log("ut of file descriptors")
        scene.victim.served()
        scene.close()

        def is_served() -> bool:
            try:
                return scene.raw().request(get("/tasks")).status == 200
            except (ConnectionError, AssertionError):
                return False

        until(is_served, "there are descriptors again")
        assert scene.server.stderr().count("file descriptors") == 1


# From where.

LISTED = "http://localhost,https://example.com,https://*.example.org,http://localhost:8000"


@pytest.mark.parametrize(
    ("allowed", "let_in", "kept_out"),
    [
        pytest.param(
            LISTED,
            [
                "https://example.com",
                "https://EXAMPLE.com",
                "https://a.b.example.org",
                "http://localhost:8000",
            ],
            [
                "http://example.com",
                "https://example.com:8443",
                "https://example.org",
                "https://evilexample.org",
                "https://example.com.evil.example",
                "https://example.com/",
                "null",
                "",
                None,
            ],
            id="listed",
        ),
        pytest.param(
            "same",
            ["http://localhost"],
            ["http://localhost.evil.example", "http://localhost:81", "null", None],
            id="same",
        ),
        pytest.param(
            "none,same",
            ["http://localhost", None],
            ["https://evil.example", "null", ""],
            id="none",
        ),
    ],
)
def test_origins(
    abuse: Abuse, allowed: str, let_in: list[str | None], kept_out: list[str | None]
) -> None:
    """Pages of other origins that open a WebSocket"""

    def status(origin: str | None) -> int:
        headers = [] if origin is None else [f"Origin: {origin}"]
        return scene.handshake("/echo", *headers).response("HEAD").status

    with abuse("--ws-allowed-origins", allowed) as scene:
        assert [status(origin) for origin in let_in] == [101] * len(let_in)
        assert [status(origin) for origin in kept_out] == [403] * len(kept_out)
        assert scene.report()["echo began"] == len(let_in)


def test_two_origins(abuse: Abuse) -> None:
    """Handshakes with two Origin fields, of which one is allowed"""
    with abuse("--ws-allowed-origins", "http://localhost") as scene:
        raw = scene.raw()
        lines = [b"Origin: http://localhost", b"Origin: https://evil.example"]
        for pair in (lines, lines[::-1]):
            raw = scene.raw()
            raw.send(handshake("/echo")[:-2] + b"\r\n".join([*pair, b"", b""]))
            assert raw.response("HEAD").status in (400, 403)
        assert "echo began" not in scene.report()


def test_hosts(abuse: Abuse) -> None:
    """Requests and handshakes for hosts that are not served (DNS rebinding)"""
    let_in = ["localhost", "localhost:1234", "LOCALHOST", "a.example.org"]
    kept_out = [
        "evil.example",
        "example.org",
        "localhost.evil.example",
        "127.0.0.1",
        "evilexample.org",
    ]
    with abuse("--allowed-hosts", "localhost,*.example.org") as scene:

        def statuses(host: str) -> tuple[int, int]:
            request = get("/release").replace(b"Host: localhost", f"Host: {host}".encode())
            websocket = scene.raw()
            websocket.send(handshake("/echo", host=host))
            return scene.raw().request(request).status, websocket.response("HEAD").status

        assert [statuses(host) for host in let_in] == [(200, 101)] * len(let_in)
        assert [statuses(host) for host in kept_out] == [(403, 403)] * len(kept_out)
        report = scene.report()
        assert (report["release began"], report["echo began"]) == (len(let_in), len(let_in))
