"""Keeps a hub connected to its broker.

Rules of this file:
- One connection after the other, with a wait between them that doubles up to MOST_WAIT seconds, and differs
  from host to host.
- A broker that sends nothing for SILENCE seconds although it was asked to is lost.
- The log tells that the broker has gone, once for each reason, and once that it is back: not each attempt. No
  line has a password in it.
- If the application cancels all tasks, that of the uplink is started again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from asgiws.topics.broker import BrokerError, Session
from asgiws.topics.relayed import RelayedHub

logger = logging.getLogger("asgiws.error")

#: Seconds between two attempts: the first wait, and the longest.
FIRST_WAIT = 0.05
MOST_WAIT = 5.0

#: Seconds that an attempt to connect may take.
PATIENCE = 10.0

#: Seconds between two probes, and of silence until the broker counts as lost.
HEARTBEAT = 5.0
SILENCE = 15.0

#: The most reasons for the loss of a connection that are remembered, so as to log each once.
MOST_REASONS = 20

#: Seconds that the broker gets to take what was published last.
LAST_MOMENT = 1.0

#: Makes a connection. Raises BrokerError or OSError.
Connect = Callable[[], Awaitable[Session]]


class Uplink:
    """Keeps `hub` connected with what `connect` makes; `name` is what log lines call the broker before there is
    a connection. It starts at once, in the running event loop."""

    def __init__(self, hub: RelayedHub, connect: Connect, name: str) -> None:
        self._hub = hub
        self._connect = connect
        self._name = name
        #: Why there is no connection: the reasons that the log has, since there was one.
        self._why: set[str] = set()
        self._wait = FIRST_WAIT
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._task = self._start()

    async def close(self) -> int:
        """What was published before still leaves, if the broker takes it within LAST_MOMENT seconds. Returns
        how many publications it has not confirmed by then; 0 if called again."""
        if self._is_closed:
            return 0
        if self._hub.is_up:
            settled = asyncio.Event()
            self._hub.when_settled(settled.set)
            waiting = self._loop.create_task(settled.wait())
            await asyncio.wait([waiting], timeout=LAST_MOMENT)
            waiting.cancel()
        self._is_closed = True
        left = (
            self._hub.unconfirmed
        )  # before the connection is lost, and those on their way with it
        self._task.cancel()
        await asyncio.wait([self._task])
        return left

    def abandon(self) -> None:
        """End without waiting for anything. Idempotent."""
        if not (self._is_closed or self._loop.is_closed()):
            self._task.cancel()
        self._is_closed = True

    def _start(self) -> asyncio.Task[None]:
        task = self._loop.create_task(self._run())
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # SystemExit, say, which the event loop has raised already
        if not (self._is_closed or self._loop.is_closed()):
            self._task = self._start()

    async def _run(self) -> None:
        while True:
            try:
                session = await asyncio.wait_for(self._connect(), PATIENCE)
            except asyncio.TimeoutError:
                self._cannot(f"no answer in {PATIENCE:.0f} s")
            except (BrokerError, OSError) as error:
                self._cannot(str(error) or type(error).__name__)
            except Exception as error:
                self._failed(error)
            else:
                self._name = session.name
                if not self._is_closed:
                    await self._serve(session)
                else:
                    await session.close()
            if self._is_closed:
                return  # before CPython 3.12, wait_for may keep a cancellation to itself
            await asyncio.sleep(self._wait * (0.5 + random.random()))
            self._wait = min(2 * self._wait, MOST_WAIT)

    async def _serve(self, session: Session) -> None:
        """Serve one connection to its end."""
        began = self._loop.time()
        if self._why:
            logger.warning("Topics reach other hosts again: connected to %s", self._name)
        else:
            logger.info("Topics reach other hosts: connected to %s", self._name)
        self._why.clear()
        working = self._loop.create_task(session.run(self._hub))
        try:
            self._hub.connected(session)
            await self._watch(session, working)
            working.result()
            self._cannot("the connection has ended")
        except (BrokerError, OSError) as error:
            self._cannot(str(error) or type(error).__name__)
        except Exception as error:
            self._failed(error)
        finally:
            working.cancel()
            self._hub.disconnected()
            await session.close()
        if self._loop.time() - began > MOST_WAIT:
            self._wait = FIRST_WAIT

    async def _watch(self, session: Session, working: asyncio.Task[None]) -> None:
        """Wait until the connection has ended. Raises BrokerError if the broker is silent."""
        heard, silence = session.heard, 0.0
        while True:
            done, _ = await asyncio.wait([working], timeout=HEARTBEAT)
            if done:
                return
            if session.heard != heard:
                heard, silence = session.heard, 0.0
            else:
                silence += HEARTBEAT
                if silence >= SILENCE:
                    raise BrokerError(f"it has sent nothing for {SILENCE:.0f} s")
            session.probe()

    def _failed(self, error: Exception) -> None:
        """An error that nobody expects, of the library or ours: log it with its traceback, and go on."""
        self._cannot(f"{type(error).__name__}: {error}", error)

    def _cannot(self, why: str, error: Exception | None = None) -> None:
        if why not in self._why:
            if len(self._why) == MOST_REASONS:
                self._why.clear()
            self._why.add(why)
            logger.error(
                "Topics do not reach other hosts: %s: %s; trying again",
                self._name,
                why,
                exc_info=error,
            )
