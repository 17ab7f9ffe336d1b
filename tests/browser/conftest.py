"""A real browser, and the chat example served to it over `ws://` and over `wss://`.

The browser is the Chromium or Chrome that is installed; Playwright only drives it. One browser and
two servers serve all the tests; each test has tabs of its own.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Error, Page, async_playwright

from tests.support.pki import issue
from tests.support.server import RunningServer, serve

ROOT = Path(__file__).resolve().parents[2]
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
#: Seconds for the browser, and then for what drives it, to end by themselves.
END_TIMEOUT = 10.0

OpenTab = Callable[..., Awaitable[Page]]


def children(pid: int | str) -> set[int]:
    """The processes that this one has started, where the system tells."""
    found = set()
    for file in Path("/proc", str(pid), "task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended meanwhile
            found.update(map(int, file.read_text().split()))
    return found


def kill(pid: int) -> None:
    """End a process and all below it."""
    below = children(pid)
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it has ended by itself
    for child in below:
        kill(child)


@pytest.fixture(scope="session")
def executable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A script that becomes the browser, with what it prints in the file `log` beside it.

    Its crash handlers leave the browser's process group, outlive it for a while, and keep its standard output
    and error open. Were these Playwright's pipes, it would wait for the handlers instead of the browser.
    """
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser is installed; looked for {', '.join(BROWSERS)}")
    script = tmp_path_factory.mktemp("browser") / "browser"
    log = shlex.quote(str(script.with_name("log")))
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(path)} "$@" >{log} 2>&1\n')
    script.chmod(0o700)
    return script


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(executable: Path) -> AsyncIterator[Browser]:
    before = children("self")
    playwright = await async_playwright().start()
    drivers = children("self") - before
    try:
        browser = await playwright.chromium.launch(executable_path=executable, args=QUIET)
    except Error:
        sys.stderr.write(executable.with_name("log").read_text(errors="replace"))
        await playwright.stop()
        raise
    yield browser
    # The browser first, so that its driver can still see it go.
    await end(browser.close(), lambda: {pid for driver in drivers for pid in children(driver)})
    await end(playwright.stop(), lambda: drivers)


async def end(closing: Awaitable[None], processes: Callable[[], set[int]]) -> None:
    """Wait for what closes. When it takes too long, its processes are killed: the tests are over."""
    task = asyncio.ensure_future(closing)
    await asyncio.wait([task], timeout=END_TIMEOUT)
    if task.done():
        task.result()
        return
    for pid in processes():
        kill(pid)
    await asyncio.wait([task], timeout=END_TIMEOUT)
    task.cancel()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The options for a certificate that no browser knows the issuer of."""
    return issue(tmp_path_factory.mktemp("certificate"), "127.0.0.1", "localhost").options


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
