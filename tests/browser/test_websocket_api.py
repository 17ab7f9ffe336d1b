"""What the browser's WebSocket API tells a page: every event, in order, with all that it carries.

A script of the test opens the socket and notes the events until it is closed. It runs in a page
that the server does not have, since a blank one has no origin and may not connect to this machine.
"""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.browser.conftest import OpenTab
from tests.support.server import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Sends each of `send` at once (a list of numbers as bytes), and after as many messages closes.
NOTE_EVENTS = """
({ url, send, close }) => new Promise((resolve) => {
  const events = [], socket = new WebSocket(url);
  let awaited = send.length;
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    events.push(["open"]);
    for (const data of send) socket.send(typeof data === "string" ? data : new Uint8Array(data));
  };
  socket.onmessage = ({ data }) => {
    events.push(typeof data === "string" ? ["text", data] : ["binary", [...new Uint8Array(data)]]);
    if (--awaited === 0) socket.close(...close);
  };
  socket.onerror = () => events.push(["error"]);
  socket.onclose = ({ code, reason, wasClean }) => {
    resolve([...events, ["close", code, reason, wasClean]]);
  };
})
"""

ECHO_LARGE = """
({ url, size }) => new Promise((resolve, reject) => {
  const sent = Uint8Array.from({ length: size }, (_, index) => (index * 2654435761) >>> 24);
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => socket.send(sent);
  socket.onmessage = ({ data }) => {
    const got = new Uint8Array(data);
    resolve([got.length, got.every((byte, index) => byte === sent[index]), socket.extensions]);
    socket.close();
  };
  socket.onclose = ({ code, reason }) => reject(new Error(`closed: ${code} ${reason}`));
})
"""


async def note_events(
    page: Page,
    url: str,
    *,
    send: list[str | list[int]] | None = None,
    close: tuple[int, str] | tuple[()] = (),
) -> list[list[Any]]:
    arguments = {"url": url, "send": send or [], "close": list(close)}
    events: list[list[Any]] = await page.evaluate(NOTE_EVENTS, arguments)
    return events


async def test_text_and_binary_messages_then_a_close_by_the_client(
    site: RunningServer, open_tab: OpenTab
) -> None:
    page = await open_tab(site.url("/nothing"))
    text, binary = "Grüße, 世界 🌍", [0, 127, 128, 255]

    events = await note_events(
        page, site.ws_url("/echo"), send=[text, binary, "", []], close=(4001, "zu Tisch 🍜")
    )

    assert events == [
        ["open"],
        ["text", text],
        ["binary", binary],
        ["text", ""],
        ["binary", []],
        ["close", 4001, "zu Tisch 🍜", True],
    ]


async def test_a_close_by_the_client_without_a_code(site: RunningServer, open_tab: OpenTab) -> None:
    page = await open_tab(site.url("/nothing"))

    events = await note_events(page, site.ws_url("/echo"), send=["bye"])

    assert events == [["open"], ["text", "bye"], ["close", 1005, "", True]]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, ""),
        (1001, "gone"),
        (1011, "fault"),
        (1012, "restart"),
        (3000, "né"),
        (4999, "x" * 123),
    ],
)
async def test_a_close_by_the_server(
    site: RunningServer, open_tab: OpenTab, code: int, reason: str
) -> None:
    page = await open_tab(site.url("/nothing"))

    events = await note_events(page, site.ws_url(f"/close/{code}?reason={reason}"))

    assert events == [["open"], ["close", code, reason, True]]


async def test_a_refused_handshake_is_an_error_and_a_close_with_1006(
    site: RunningServer, open_tab: OpenTab
) -> None:
    page = await open_tab(site.url("/nothing"))

    events = await note_events(page, site.ws_url("/refuse"))

    assert events == [["error"], ["close", 1006, "", False]]


@pytest.mark.parametrize("size", [125, 126, 65_535, 65_536, 3_000_000])
async def test_bytes_of_any_length_come_back_unchanged(
    site: RunningServer, open_tab: OpenTab, size: int
) -> None:
    page = await open_tab(site.url("/nothing"))

    length, same, extensions = await page.evaluate(
        ECHO_LARGE, {"url": site.ws_url("/echo"), "size": size}
    )

    assert (length, same) == (size, True)
    assert extensions.startswith("permessage-deflate")


async def test_a_certificate_of_an_unknown_issuer_is_an_error(
    plain_site: RunningServer, encrypted_site: RunningServer, browser: Browser, open_tab: OpenTab
) -> None:
    strict = await browser.new_context()
    page = await strict.new_page()
    await page.goto(plain_site.url("/nothing"))

    events = await note_events(page, encrypted_site.ws_url("/close/1000"))

    assert events == [["error"], ["close", 1006, "", False]]
    await strict.close()
    lenient = await open_tab(plain_site.url("/nothing"))
    events = await note_events(lenient, encrypted_site.ws_url("/close/1000"))
    assert events == [["open"], ["close", 1000, "", True]]
