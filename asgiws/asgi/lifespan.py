"""The lifespan protocol 2.0: the application is told of the start and the stop of the server.

Rules of this file:
- The application runs in one task for the whole of the server's life. `startup` and `shutdown` talk
  to it and are called by the server, once each, in that order.
- A start fails when the application says so (`lifespan.startup.failed`), and with the mode `on`
  also when it does not take part. With `auto`, an application that raises or returns before it has
  said anything is one that does not support the protocol: that is no fault. One that raises
  SystemExit does not want to be served at all, and has failed to start.
- Whatever the application raises is its own, an `asyncio.CancelledError` too, unless its task was
  cancelled.
- A stop never fails and never hangs: what goes wrong is logged, and time is bounded by the caller.
- What the application does at its end comes to its own end: it is cancelled once at most, and again only when
  its time is up.
- What stands in the log is the application's own exception. What it sends while it dies is taken for what it
  says of its end, if it can be; our complaint about it is not what it died of.

The extension `lifespan.drain`, which stands in the lifespan scope's `extensions`. An application that
answers the startup with `{"type": "lifespan.startup.complete", "drain": True}` is told when the server begins
to stop, while its connections are still open:

    {"type": "lifespan.drain", "window": 5.0, "code": 1012, "reason": "service restart"}

`window` is the seconds over which the WebSockets will be closed, with that code and reason. No one is closed
before it has answered `{"type": "lifespan.drain.complete"}`, for which it has limited time. Every
application, also one that takes no part in the lifespan, is given an `asyncio.Event` that is set at that
moment: the extension `asgiws.drain` (`drain.py`).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from asgiws.asgi import drain
from asgiws.asgi.errors import ApplicationError, ProcessEnds
from asgiws.asgi.types import ASGIApp, Message
from asgiws.config import StartError

logger = logging.getLogger("asgiws.error")

SPEC_VERSION = "2.0"

#: Seconds that an application has to end by itself once it has said that it failed to start.
FAREWELL = 1.0

# The states, in the order in which they are passed. What the application may send is in `_ANSWERS`.
OFF = "off"
NOT_STARTED = "not started"
STARTING = "starting"
RUNNING = "running"
DRAINING = "draining"
STOPPING = "stopping"
ENDED = "ended"

#: What an application may say of its end while it is not asked for it.
_FAREWELLS = ("lifespan.shutdown.complete", "lifespan.shutdown.failed")

_ANSWERS = {
    STARTING: ("lifespan.startup.complete", "lifespan.startup.failed"),
    DRAINING: ("lifespan.drain.complete",),
    STOPPING: ("lifespan.shutdown.complete", "lifespan.shutdown.failed"),
}


class StartupFailed(StartError):
    """The application failed to start. Why is in the log."""

    exit_code = 3


class Lifespan:
    """The application's lifespan. `mode` is auto, on or off.

    `state` is what the application has put into `scope["state"]`, or None where it takes no part.
    """

    def __init__(self, app: ASGIApp, mode: str) -> None:
        self.app = app
        self.mode = mode
        self.state: dict[str, Any] | None = None
        #: Set when the server begins to stop.
        self.draining = asyncio.Event()
        self._namespace: dict[str, Any] = {}
        self._phase = OFF if mode == "off" else NOT_STARTED
        #: The application wants to be told of the drain.
        self._takes_drain = False
        self._failed = False
        #: Whether the application has said why it failed; then what it raises next only repeats
        #: that.
        self._explained = False
        #: Whether it was told of the stop.
        self._is_told = False
        #: Whether the application's task was cancelled by us.
        self._cancelled = False
        self._task: asyncio.Task[None] | None = None
        # Set when the application has answered, or will answer no more.
        self._answered = asyncio.Event()
        #: What `receive()` has to give.
        self._messages: asyncio.Queue[Message] = asyncio.Queue()

    async def startup(self) -> None:
        """Tell the application of the start and wait for its answer. Raises StartupFailed.

        A cancellation ends the application's task as well.
        """
        if self._phase == OFF:
            return
        self._phase = STARTING
        self._messages.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.create_task(self._run(), name="asgiws-lifespan")
        try:
            await self._answered.wait()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if self._failed:
            # The application often raises next: that gets its turn, for the traceback is of use.
            await self._end(FAREWELL)
            self._phase = ENDED
            raise StartupFailed("the application failed to start")

    async def drain(self, window: float, code: int, reason: str, timeout: float) -> None:
        """Tell the application that its connections will be closed, and wait for its answer.

        It has `timeout` seconds for it; without an answer they are closed all the same. The arguments before
        that are for the application.
        """
        self.draining.set()
        if self._phase != RUNNING or not self._takes_drain:
            return
        self._phase = DRAINING
        self._answered.clear()
        self._messages.put_nowait(
            {"type": "lifespan.drain", "window": window, "code": code, "reason": reason}
        )
        try:
            await asyncio.wait_for(self._answered.wait(), timeout)
        except asyncio.TimeoutError:
            logger.warning("The application did not answer lifespan.drain within %.3g s", timeout)
        finally:
            if self._phase == DRAINING:
                self._phase = RUNNING

    def is_over(self) -> bool:
        """True when nothing of the application's runs any more."""
        return self._task is None or self._task.done()

    async def shutdown(self, timeout: float) -> None:
        """Tell the application of the stop, where it has started, and give it `timeout` seconds to end.

        After a cancellation, another call goes on where this one was.
        """
        if self._task is None:
            return
        if self._phase in (RUNNING, DRAINING):
            self._phase = STOPPING
            self._answered.clear()
        if not self._is_told:
            # Even one that has said that it is at its end may wait for it.
            self._is_told = True
            self._messages.put_nowait({"type": "lifespan.shutdown"})
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        if self._phase == STOPPING and not self._task.done():
            try:
                await asyncio.wait_for(self._answered.wait(), timeout)
            except asyncio.TimeoutError:
                logger.error("The application did not end its lifespan within %.3g s", timeout)
        self._phase = ENDED
        await self._end(max(deadline - loop.time(), 0.1))

    def cancel(self) -> None:
        """Stop the application's task without telling it why; for an end at once."""
        self._phase = ENDED
        if self._task is not None and not self._is_cancelled():
            self._cancelled = True
            self._task.cancel()

    def _is_cancelled(self) -> bool:
        """Whether somebody has cancelled the application's task: it is about to end."""
        # Before Python 3.11 a task does not know of others that have done so.
        return self._cancelled or getattr(self._task, "cancelling", int)() > 0

    async def _end(self, timeout: float) -> None:
        """Let the application's task end by itself, or cancel it after `timeout` seconds."""
        assert self._task is not None
        if self._task.done():
            return
        await asyncio.wait([self._task], timeout=timeout)
        if not self._task.done():
            self._cancelled = True
            self._task.cancel()
            await asyncio.wait([self._task], timeout=0.1)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
            "state": self._namespace,
            "extensions": {"lifespan.drain": {}, drain.NAME: drain.extension(self.draining)},
        }
        try:
            await self.app(scope, self._receive, self._send)
        except asyncio.CancelledError as error:
            if self._is_cancelled():
                raise
            self._raised(error)
        except (GeneratorExit, KeyboardInterrupt, ProcessEnds):
            raise
        except BaseException as error:
            own = _own(error)
            if not (isinstance(own, asyncio.CancelledError) and self._is_cancelled()):
                self._raised(own)
        else:
            self._returned()
        finally:
            self._answered.set()

    def _raised(self, error: BaseException) -> None:
        if self._explained:
            return
        if self._phase == STARTING and not self._failed:
            if self.mode == "auto" and not isinstance(error, SystemExit):
                logger.info("The application does not support lifespan (%s)", _brief(error))
                logger.debug("It raised on the lifespan scope:", exc_info=error)
                self._phase = ENDED
                return
            self._failed = True
        elif self._phase in (RUNNING, DRAINING):
            self._phase = ENDED
        logger.error("Exception in the application's lifespan", exc_info=error)

    def _returned(self) -> None:
        if self._phase == STARTING and not self._failed:
            if self.mode == "auto":
                logger.info("The application does not support lifespan (it returned)")
                self._phase = ENDED
                return
            logger.error("The application returned from its lifespan without an answer")
            self._failed = True
        elif self._phase in (RUNNING, DRAINING):
            logger.debug("The application returned from its lifespan before the stop")
            self._phase = ENDED

    async def _receive(self) -> Message:
        # After the last message: wait for the end, which cancels this.
        return await self._messages.get()

    async def _send(self, message: Message) -> None:
        kind = message.get("type")
        if self._phase == ENDED:
            return  # nobody asks any more
        if kind in _FAREWELLS and self._phase in (RUNNING, DRAINING):
            self._phase = ENDED
            self._say_farewell(kind, message, "while it was running")
            return
        expected = _ANSWERS.get(self._phase, ())
        if kind == "lifespan.drain.complete" and self._takes_drain and kind not in expected:
            return  # it comes too late to be waited for
        if kind not in expected or self._answered.is_set():
            wanted = " or ".join(repr(name) for name in expected) or "no message"
            raise ApplicationError(
                f"The lifespan is {self._phase}: expected {wanted}, but got {kind!r}"
            )
        if kind == "lifespan.startup.complete":
            self._phase = RUNNING
            self.state = self._namespace
            self._takes_drain = bool(message.get("drain"))
        elif kind != "lifespan.drain.complete":
            which = "to start" if self._phase == STARTING else "to stop"
            self._say_farewell(kind, message, which)
        self._answered.set()

    def _say_farewell(self, kind: str, message: Message, when: str) -> None:
        """The application has said how it ends."""
        if kind.endswith(".failed"):
            self._failed = self._phase == STARTING
            reason = str(message.get("message") or "").strip()
            self._explained = bool(reason)
            if not self._is_cancelled():
                logger.error("The application failed %s%s", when, reason and f": {reason}")
        self._answered.set()


def _own(error: BaseException) -> BaseException:
    """The application's exception behind our complaint about what it sent while that passed through it."""
    while isinstance(error, ApplicationError) and error.__context__ is not None:
        error = error.__context__
    return error


def _brief(error: BaseException) -> str:
    text = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
