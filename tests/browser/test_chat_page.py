"""The page of the chat example, used as a visitor uses it: its fields, buttons and log."""

from __future__ import annotations

import re
import struct
import zlib

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import ROOT, OpenTab
from tests.support.server import RunningServer, serve

NATURAL_WIDTH = "async (image) => { await image.decode(); return image.naturalWidth; }"

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def enter(open_tab: OpenTab, site: RunningServer, name: str) -> Page:
    """Open the page in a new tab, and take a name in the room."""
    page = await open_tab(site.url("/"))
    # A browser that is told to close what is not open yet reports 1006.
    await expect(logged(page, "open").first).to_be_visible()
    await page.get_by_label("You are").fill(name)
    await page.get_by_label("You are").press("Enter")
    await expect(page.locator("#members")).to_contain_text(name)
    return page


async def say(page: Page, text: str) -> None:
    await page.get_by_label("Message").fill(text)
    await page.get_by_role("button", name="Send").click()


def message(page: Page, text: str) -> Locator:
    return page.locator("#messages li", has_text=text)


def logged(page: Page, event: str) -> Locator:
    """The lines of one kind in the page's log."""
    return page.locator(f"#log [data-event={event}]")


def png(color: tuple[int, int, int]) -> bytes:
    """A picture of 2 x 2 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(2 * (b"\0" + bytes(color) * 2)))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


async def test_two_tabs_chat_with_each_other(site: RunningServer, open_tab: OpenTab) -> None:
    ada = await enter(open_tab, site, "Ada")
    grace = await enter(open_tab, site, "Grace")
    await expect(message(ada, "Grace came in")).to_be_visible()

    await say(ada, "Hello, <b>Grace</b> 🌍")
    await expect(message(grace, "Hello, <b>Grace</b> 🌍").locator(".who")).to_have_text("Ada")
    await say(grace, "Hello back")
    await expect(message(ada, "Hello back").locator(".who")).to_have_text("Grace")

    await expect(ada.locator("#messages .mine")).to_have_text(re.compile("Hello, <b>Grace</b>"))
    await expect(logged(ada, "close").last).to_contain_text("1000 “renamed” wasClean: true")


async def test_a_picture_goes_to_the_other_tab_as_a_binary_message(
    site: RunningServer, open_tab: OpenTab
) -> None:
    ada = await enter(open_tab, site, "Ada")
    grace = await enter(open_tab, site, "Grace")
    picture = png((200, 40, 90))

    await ada.locator("#picture").set_input_files(
        {"name": "dot.png", "mimeType": "image/png", "buffer": picture}
    )

    shown = grace.get_by_alt_text("a picture from Ada")
    await expect(shown).to_be_visible()
    assert await shown.evaluate(NATURAL_WIDTH) == 2
    await expect(logged(grace, "message").last).to_contain_text("binary, ")


async def test_the_room_is_told_how_somebody_left(site: RunningServer, open_tab: OpenTab) -> None:
    ada = await enter(open_tab, site, "Ada")
    by_button = await enter(open_tab, site, "Grace")
    by_tab = await enter(open_tab, site, "Joan")

    await by_button.get_by_role("button", name="Disconnect").click()
    await expect(message(ada, "Grace left (1000, good-bye)")).to_be_visible()
    await expect(logged(by_button, "close").last).to_contain_text("1000 “good-bye” wasClean: true")
    await by_tab.close()
    await expect(message(ada, "Joan left (1001)")).to_be_visible()

    await expect(ada.locator("#members")).not_to_contain_text("Joan")
    await expect(by_button.get_by_role("status")).to_have_text("closed")
    await by_button.get_by_role("button", name="Connect").click()
    await expect(by_button.get_by_role("status")).to_have_text("open")


async def test_the_page_comes_back_when_the_server_closes_with_1012(
    site: RunningServer, open_tab: OpenTab
) -> None:
    ada = await enter(open_tab, site, "Ada")
    opened = await logged(ada, "open").count()

    await ada.get_by_role("button", name="Let the server close").click()

    await expect(logged(ada, "close").last).to_contain_text("1012 “restart” wasClean: true")
    await expect(logged(ada, "retry")).to_have_count(1)
    await expect(logged(ada, "open")).to_have_count(opened + 1)
    await say(ada, "Back again")
    await expect(message(ada, "Back again")).to_be_visible()


async def test_the_page_stays_away_when_the_server_closes_for_good(
    site: RunningServer, open_tab: OpenTab
) -> None:
    ada = await enter(open_tab, site, "Ada")

    await ada.get_by_label("Close code").fill("4003")
    await ada.get_by_label("Reason").fill("banned")
    await ada.get_by_role("button", name="Let the server close").click()

    await expect(logged(ada, "close").last).to_contain_text("4003 “banned” wasClean: true")
    await expect(ada.get_by_role("status")).to_have_text("closed")
    await expect(logged(ada, "retry")).to_have_count(0)


async def test_the_buttons_provoke_what_they_say(site: RunningServer, open_tab: OpenTab) -> None:
    page = await open_tab(site.url("/"))
    await expect(page.get_by_role("status")).to_have_text("open")

    await page.get_by_role("button", name="Be refused").click()
    await expect(logged(page, "error")).to_contain_text("/refuse failed")
    await expect(logged(page, "close").last).to_contain_text("/refuse 1006 wasClean: false")

    await page.get_by_role("button", name="Be closed").click()
    await expect(logged(page, "close").last).to_contain_text(
        "/close/4000 4000 “as you wished” wasClean: true"
    )

    await page.get_by_role("button", name="Echo bytes").click()
    await expect(logged(page, "message").last).to_contain_text("binary, 4 bytes")
    await expect(logged(page, "close").last).to_contain_text(
        "/echo 1000 “thank you” wasClean: true"
    )
    await expect(page.get_by_role("status")).to_have_text("open")


async def test_the_page_comes_back_after_a_restart_of_the_server(open_tab: OpenTab) -> None:
    options = ("--app-dir", str(ROOT))
    with serve("examples.chat:app", *options) as first:
        page = await enter(open_tab, first, "Ada")
        assert first.stop() == 0
        told = logged(page, "close").filter(has_text="1012")
        await expect(told).to_contain_text("wasClean: true")
    await expect(page.get_by_role("status")).not_to_have_text("open")

    with serve("examples.chat:app", *options, "--port", str(first.port)):
        await expect(page.get_by_role("status")).to_have_text("open", timeout=30_000)
        await say(page, "Still here")
        await expect(message(page, "Still here")).to_be_visible()
