"""The lifespan protocol 2.0: the application is told when the server starts and stops.

Rules of this file:
- The application runs in one task for the whole life of the server. The server calls `startup` and
  `shutdown` once each, in that order; they talk to the application.
- A start fails if the application says so (`lifespan.startup.failed`), and with the mode `on` also if it
  does not take part. With `auto`, an application that raises or returns before it has said anything does
  not support the protocol, which is not an error. An application that raises SystemExit does not want to
  be served at all, and has failed to start.
- Every exception that the application raises is its own, even an `asyncio.CancelledError`, unless its task
  was cancelled.
- A stop never fails and never hangs: errors are logged, and the caller limits the time.
- The application's shutdown may run to its end: it is cancelled at most once, and again only when its time
  is up.
- The log shows the application's own exception. A message that it sends while it dies counts as its
  statement about its end, if possible; our complaint about that message is not what it died of.

The extension `lifespan.drain` is in the `extensions` of the lifespan scope. An application that answers the
startup with `{"type": "lifespan.startup.complete", "drain": True}` is told when the server begins to stop,
while its connections are still open:

    {"type": "lifespan.drain", "window": 5.0, "code": 1012, "reason": "service restart"}

`window` is the number of seconds over which the WebSockets will be closed, with that code and reason. None is
closed before the application has answered `{"type": "lifespan.drain.complete"}`, for which it has limited
time. Every application, even one that takes no part in the lifespan, gets an `asyncio.Event` that is set at
that moment: the extension `asgiws.drain` (`drain.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from asgiws.asgi import drain
from asgiws.asgi.errors import ApplicationError, ProcessEnds
from asgiws.asgi.types import ASGIApp, Message
from asgiws.config import StartError

logger = logging.getLogger("asgiws.error")

SPEC_VERSION = "2.0"

#: Seconds that an application has to end by itself after it has said that it failed to start.
FAREWELL = 1.0

# The states, in the order in which they are passed. `_ANSWERS` says what the application may send in each.
OFF = "off"
NOT_STARTED = "not started"
STARTING = "starting"
RUNNING = "running"
DRAINING = "draining"
STOPPING = "stopping"
ENDED = "ended"

#: What an application may say about its end without having been asked.
_FAREWELLS = ("lifespan.shutdown.complete", "lifespan.shutdown.failed")

_ANSWERS = {
    STARTING: ("lifespan.startup.complete", "lifespan.startup.failed"),
    DRAINING: ("lifespan.drain.complete",),
    STOPPING: ("lifespan.shutdown.complete", "lifespan.shutdown.failed"),
}


class StartupFailed(StartError):
    """The application failed to start. The log says why."""

    exit_code = 3


class Lifespan:
    """The application's lifespan. `mode` is auto, on or off.

    `state` is what the application has put into `scope["state"]`, or None if it takes no part. `extensions` are
    those of the server that its scope has in addition.
    """

    def __init__(
        self, app: ASGIApp, mode: str, extensions: Mapping[str, dict[str, Any]] | None = None
    ) -> None:
        self.app = app
        self.mode = mode
        self.state: dict[str, Any] | None = None
        #: Set when the server begins to stop.
        self.draining = asyncio.Event()
        self._namespace: dict[str, Any] = {}
        self._extensions = extensions or {}
        self._phase = OFF if mode == "off" else NOT_STARTED
        #: Whether the application wants to be told about the drain.
        self._takes_drain = False
        self._failed = False
        #: Whether the application has said why it failed; an exception that it raises next only
        #: repeats that.
        self._explained = False
        #: Whether it was told about the stop.
        self._is_told = False
        #: Whether we have cancelled the application's task.
        self._cancelled = False
        self._task: asyncio.Task[None] | None = None
        # Set when the application has answered, or will not answer any more.
        self._answered = asyncio.Event()
        #: What `receive()` returns.
        self._messages: asyncio.Queue[Message] = asyncio.Queue()

    async def startup(self) -> None:
        """Tell the application about the start and wait for its answer. Raises StartupFailed.

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
            # The application often raises next: it gets the time to do so, because the traceback is useful.
            await self._end(FAREWELL)
            self._phase = ENDED
            raise StartupFailed("the application failed to start")

    async def drain(self, window: float, code: int, reason: str, timeout: float) -> None:
        """Tell the application that its connections will be closed, and wait for its answer.

        It has `timeout` seconds to answer; without an answer they are closed anyway. The other arguments are
        for the application.
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
        """True if nothing of the application is running any more."""
        return self._task is None or self._task.done()

    async def shutdown(self, timeout: float) -> None:
        """Tell the application about the stop, if it has started, and give it `timeout` seconds to end.

        After a cancellation, another call continues where this one stopped.
        """
        if self._task is None:
            return
        if self._phase in (RUNNING, DRAINING):
            self._phase = STOPPING
            self._answered.clear()
        if not self._is_told:
            # Even an application that has said that it has ended may wait for it.
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
        """Stop the application's task without telling it why; for an immediate end."""
        self._phase = ENDED
        if self._task is not None and not self._is_cancelled():
            self._cancelled = True
            self._task.cancel()

    def _is_cancelled(self) -> bool:
        """Whether anyone has cancelled the application's task: it is about to end."""
        # Before Python 3.11, a task does not know that others have done so.
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
            "extensions": {
                "lifespan.drain": {},
                drain.NAME: drain.extension(self.draining),
                **self._extensions,
            },
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
            logger.error("The application returned from its lifespan without answering")
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
            return  # nobody is asking any more
        if kind in _FAREWELLS and self._phase in (RUNNING, DRAINING):
            self._phase = ENDED
            self._say_farewell(kind, message, "while it was running")
            return
        expected = _ANSWERS.get(self._phase, ())
        if kind == "lifespan.drain.complete" and self._takes_drain and kind not in expected:
            return  # too late to be waited for
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
    """The application's exception behind our complaint about a message that it sent while dying of that."""
    while isinstance(error, ApplicationError) and error.__context__ is not None:
        error = error.__context__
    return error


def _brief(error: BaseException) -> str:
    text = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
