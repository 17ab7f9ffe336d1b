"""asgiws/bridge/contexts.py: the context of what the loop does for the server later."""

from __future__ import annotations

import asyncio
import contextvars

from asgiws.bridge.contexts import OwnContext

request = contextvars.ContextVar("request", default="none")


async def test_a_callback_has_nothing_of_the_application_that_armed_it() -> None:
    loop = asyncio.get_running_loop()
    own = OwnContext()
    seen: list[str] = []
    done = asyncio.Event()

    def callback(*, last: bool) -> None:
        seen.append(request.get())
        request.set("the callback's")
        if last:
            done.set()

    def application() -> None:
        request.set("a client's")
        own.run(loop.call_soon, lambda: callback(last=False))
        loop.call_soon(lambda: callback(last=True), context=own.copy())

    contextvars.copy_context().run(application)
    await done.wait()
    # And each has a context of its own.
    assert seen == ["none", "none"]


def test_a_callback_may_run_within_another() -> None:
    own = OwnContext()
    assert own.run(lambda: own.run(lambda number: number + 1, 1)) == 2
