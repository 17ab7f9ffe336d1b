"""A real browser, and the chat example served to it over `ws://` and over `wss://`.

The browser is the Chromium or Chrome that is installed; Playwright only drives it. One browser and
two servers serve all the tests; each test has tabs of its own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import trustme
from playwright.async_api import Browser, Page, async_playwright

from tests.integration.server import RunningServer, serve

ROOT = Path(__file__).resolve().parents[3]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: What keeps it from looking for its maker's hosts, which a machine without a way out takes badly.
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)

OpenTab = Callable[..., Awaitable[Page]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser is installed; looked for {', '.join(BROWSERS)}")
    playwright = await async_playwright().start()
    browser = await playwright.chromium.launch(executable_path=path, args=QUIET)
    yield browser
    try:
        await asyncio.wait_for(browser.close(), 15)
    except asyncio.TimeoutError:
        # Seen once on a busy machine: the browser had not gone. What is ours is killed; the tests are over.
        for child in Path("/proc/self/task").glob("*/children"):
            for pid in child.read_text().split():
                os.kill(int(pid), signal.SIGKILL)
    await playwright.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The options for a certificate that no browser knows the issuer of."""
    directory = tmp_path_factory.mktemp("certificate")
    issued = trustme.CA().issue_cert("127.0.0.1", "localhost")
    issued.private_key_pem.write_to_path(directory / "key.pem")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(directory / "chain.pem", append=True)
    return (
        f"--ssl-keyfile={directory / 'key.pem'}",
        f"--ssl-certfile={directory / 'chain.pem'}",
    )


@pytest.fixture(scope="session")
def plain_site(browser: Browser) -> Iterator[RunningServer]:
    with serve("examples.chat:app", "--app-dir", str(ROOT)) as server:
        yield server


@pytest.fixture(scope="session")
def encrypted_site(browser: Browser, certificate: tuple[str, ...]) -> Iterator[RunningServer]:
    with serve("examples.chat:app", "--app-dir", str(ROOT), *certificate) as server:
        yield server


@pytest.fixture(params=["plain_site", "encrypted_site"], ids=["ws", "wss"])
def site(request: pytest.FixtureRequest) -> RunningServer:
    """The chat example, in the clear and encrypted."""
    server = request.getfixturevalue(request.param)
    assert isinstance(server, RunningServer)
    return server


@pytest_asyncio.fixture(loop_scope="session")
async def open_tab(browser: Browser) -> AsyncIterator[OpenTab]:
    """Open a URL in a new tab. A script error in any of the tabs fails the test."""
    context = await browser.new_context(ignore_https_errors=True)
    script_errors: list[str] = []
    context.on("weberror", lambda event: script_errors.append(str(event.error)))

    async def open_tab(url: str) -> Page:
        page = await context.new_page()
        await page.goto(url)
        return page

    yield open_tab
    await context.close()
    assert not script_errors
