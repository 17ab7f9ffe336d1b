"""What a fork gives up, and how it ends; tests/integration/test_forks.py has those of applications."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from asgiws import logs
from asgiws.config import Config
from asgiws.server import forks

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")

#: The exit code of a fork that `forks.end` has not ended.
STAYED = 100


def forked(work: Callable[[], object] = bool) -> int:
    """The exit code of a fork that does `work`, or the negative number of the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(STAYED)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_what_is_to_be_given_up_is_until_it_was_forgotten() -> None:
    done: list[int] = []

    def check(expected: list[int]) -> Callable[[], object]:
        return lambda: os._exit(done != expected)

    forgets = [forks.in_child(lambda number=number: done.append(number)) for number in (1, 2)]  # type: ignore[misc]
    assert forked(check([1, 2])) == 0
    forgets[0]()
    forgets[0]()
    assert forked(check([2])) == 0
    forgets[1]()
    assert forked(check([])) == 0
    assert done == []


def test_a_fork_of_a_fork_gives_up_nothing_more() -> None:
    done: list[int] = []
    forget = forks.in_child(lambda: done.append(1))
    try:
        assert forked(lambda: os._exit(forked(lambda: os._exit(done != [1])))) == 0
    finally:
        forget()


def test_one_that_cannot_be_given_up_keeps_no_other(caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []
    forgets = [forks.in_child(lambda: 1 // 0), forks.in_child(lambda: done.append(1))]
    try:
        assert forked(lambda: os._exit(done != [1])) == 0
    finally:
        for forget in forgets:
            forget()


def test_a_signal_that_comes_before_a_fork_has_begun_is_not_lost() -> None:
    """Until it has given up our handlers, they are those of the fork."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)

    def give_up() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    forget = forks.in_child(give_up)
    try:
        assert forked(lambda: time.sleep(30)) == -signal.SIGTERM
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        forget()
        signal.signal(signal.SIGTERM, before)


def test_the_loop_of_the_parent_is_woken_no_more() -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    before = signal.set_wakeup_fd(theirs)
    forget = forks.in_child(bool)
    try:
        assert forked(lambda: os._exit(signal.set_wakeup_fd(-1) != -1)) == 0
    finally:
        forget()
        signal.set_wakeup_fd(before)
        os.close(ours)
        os.close(theirs)


def test_a_descriptor_that_was_let_go_of_is_nobodys() -> None:
    ours, theirs = os.pipe()

    def work() -> None:
        forks.let_go([theirs])
        os.write(theirs, b"lost")
        os._exit(os.fstat(theirs).st_rdev != os.stat(os.devnull).st_rdev)

    assert forked(work) == 0
    os.write(theirs, b"kept")
    os.close(theirs)
    assert os.read(ours, 100) == b"kept"
    os.close(ours)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (None, 1, "came back to the server"),
        (SystemExit(), 0, ""),
        (SystemExit(5), 5, ""),
        (SystemExit("a text"), 1, "a text\n"),
        (LookupError("its own"), 1, "LookupError: its own"),
    ],
)
@pytest.mark.parametrize("is_handled", [False, True])
def test_how_it_ends(
    capfd: pytest.CaptureFixture[str],
    error: BaseException | None,
    code: int,
    text: str,
    is_handled: bool,
) -> None:
    def work() -> None:
        sys.stdout = None  # type: ignore[assignment]
        logs.configure(Config("main:app"))
        if is_handled and error is not None:
            try:
                raise error
            except BaseException:
                forks.end()
        forks.end(error)

    assert forked(work) == code
    shown = capfd.readouterr().err
    assert text in shown if text else shown == ""


@pytest.mark.parametrize("in_thread", [False, True])
def test_a_fork_that_comes_back_to_the_loop_ends(in_thread: bool) -> None:
    loop = asyncio.SelectorEventLoop()

    def work() -> None:
        forks.leave(loop, 0 if in_thread else threading.get_ident())
        if in_thread:
            loop.call_soon_threadsafe(lambda: None)  # of somebody else, who may
            loop.call_soon_threadsafe(lambda _: None, SystemExit(7))
        else:
            loop.call_soon(os._exit, STAYED)
            loop.run_forever()

    try:
        assert forked(work) == (7 if in_thread else 1)
    finally:
        loop.close()


def test_a_loop_that_cannot_be_told_is_none_of_ours() -> None:
    class Slots:
        __slots__ = ()

        def call_soon_threadsafe(self) -> None: ...

    forks.leave(Slots(), 0)  # type: ignore[arg-type]


async def test_an_application_that_does_not_fork_is_as_it_was() -> None:
    calls: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append((scope, receive, send))
        if scope == {}:
            raise LookupError("its own")

    await forks.guarded(app)({"type": "lifespan"}, 1, 2)  # type: ignore[arg-type]
    with pytest.raises(LookupError):
        await forks.guarded(app)({}, 1, 2)  # type: ignore[arg-type]
    assert calls == [({"type": "lifespan"}, 1, 2), ({}, 1, 2)]


@pytest.mark.parametrize(("raises", "code"), [(True, 7), (False, 1)])
async def test_no_fork_comes_out_of_an_application(raises: bool, code: int) -> None:
    found: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        pid = os.fork()
        if pid == 0:
            if raises:
                sys.exit(7)
            return
        found.append(os.waitstatus_to_exitcode((await asyncio.to_thread(os.waitpid, pid, 0))[1]))

    await forks.guarded(app)({}, 1, 2)  # type: ignore[arg-type]
    assert found == [code]
