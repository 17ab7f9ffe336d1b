"""The rolling restart under a fleet: what a client makes of its connection, and a short real run."""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter

import pytest

from benchmarks import plots, rolling
from benchmarks.rolling import Client, Fleet, Seen

ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close


@pytest.fixture
async def client() -> Client:
    fleet = Fleet(Seen("x", 1), 0)
    fleet.is_over = True
    one = Client(fleet)
    one.connection_made(Transport())
    return one


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (ACCEPTED, 1006),
        (ACCEPTED + b"\x88\x02\x03\xf4", 1012),
        (ACCEPTED + b"\x89\x02hi\x88\x05\x03\xe9bye", 1001),
        (ACCEPTED + b"\x88\x00", 1005),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
async def test_how_it_ended(client: Client, data: bytes, code: int, whole: bool) -> None:
    for piece in [data] if whole else [bytes((octet,)) for octet in data]:
        client.data_received(piece)
    assert client.is_open
    assert client.code == code
    assert client.transport.closed == (code != 1006)
    if b"\x89\x02hi" in data:
        assert b"\x8a\x82\0\0\0\0hi" in client.transport.written


async def test_who_is_not_let_in(client: Client) -> None:
    client.data_received(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    assert not client.is_open
    assert client.transport.closed


def test_the_figures() -> None:
    seen = Seen("a", 9, Counter({1012: 5, 1006: 2}), 3)
    seen.opened = [-0.5, 0.0, 0.05, 0.09, 1.0, 1.05]
    seen.looks = [(-0.5, 0), (0.0, 9), (1.0, 4)]
    assert (seen.steepest, seen.fewest) == (3, 4)
    assert rolling.table([seen])[1] == ["a", "2 x 1006, 5 x 1012", "3", "4 of 9", "3"]


@pytest.mark.skipif(sys.platform == "win32", reason="workers are not for Windows")
def test_a_short_run(
    capsys: pytest.CaptureFixture[str], tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling, "WINDOW", 1)
    argv = ["--servers", "asgiws", "--clients", "20", "--seconds", "6", "--plots", str(tmp_path)]
    assert rolling.main(argv) == 0
    row = capsys.readouterr().out.splitlines()[-1]
    assert re.match(r"asgiws +[0-9]+ x 1012 +0 +[0-9]+ of 20 ", row)
    if plots.are_possible():
        assert (tmp_path / rolling.PLOT).read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--servers", "nginx"], "unknown server 'nginx'; known are asgiws, uvicorn, granian"),
        (["--servers", "granian", "--peers-bin", "/no"], "granian: there is no granian in /no"),
    ],
)
def test_what_cannot_be_is_one_line(
    argv: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rolling.main(argv) == 2
    assert capsys.readouterr().err == f"benchmarks.rolling: {line}\n"
