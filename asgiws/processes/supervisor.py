"""The parent of the workers: it starts them, watches them, replaces them, and stops them.

Rules of this file:
- `_adjust` is the only place where workers are started and told to stop: it compares what is running with what
  should be. Every event changes one of the two and then calls it.
- While workers are replaced, those that accept are never fewer than they should be: a new one is started, and
  only when it is ready does an old one stop, one after the other.
- The first worker starts alone: an error that keeps it from starting is reported once, and not by each.
- Only a start that fails while no worker serves stops the supervisor, with the exit code that the process would
  have had without workers. If other workers serve, they continue.
- The listening sockets stay open here, so clients that connect while a worker is missing wait in the kernel's
  queue.
- It does not load the application and serves nobody, so nothing that the application does can block it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from asgiws import logs
from asgiws.brokers.choice import is_broker
from asgiws.config import Config, StartError
from asgiws.net import descriptors, siblings, sockets, systemd
from asgiws.net.sockets import Listener
from asgiws.processes import heartbeat
from asgiws.processes.backoff import BackOff
from asgiws.processes.hub_process import HubProcess
from asgiws.processes.scoreboard import Scoreboard, make_memory
from asgiws.processes.worker_process import READY, STARTING, STOPPING, WorkerProcess
from asgiws.server import loops
from asgiws.tls.tickets import Tickets

logger = logging.getLogger("asgiws.error")

#: Seconds between two checks of all workers.
TICK = 0.5

#: Why a worker is outdated if all are replaced.
RELOAD = "all workers are being replaced"

#: Workers beyond the requested number while they are replaced.
SURGE = 1

#: How many seconds the second death of a worker in a row costs.
BACK_OFF = 0.5

#: Seconds that a worker gets: beyond its graceful timeout, when told to end at once, and to end after SIGABRT.
MARGIN = 5.0
MOMENT = 1.0
ABORT_MOMENT = 3.0

#: The most workers that are allowed.
MOST = 512


class Supervisor:
    """Keeps `config.workers` workers serving on `listeners` until it is told to stop.

    `notifier` reports to the service manager.
    """

    def __init__(
        self, config: Config, listeners: list[Listener], notifier: systemd.Notifier
    ) -> None:
        self.config = config
        self._notifier = notifier
        #: The exit code of the process.
        self.code = 0
        self._size = config.workers
        self._workers: list[WorkerProcess] = []
        #: With a socket for each worker: those of worker 1, of worker 2, ...
        self._listeners = [listeners]
        self._memory = make_memory()
        self._board = Scoreboard(self._memory)
        self._tickets = None if config.ssl_certfile is None else Tickets.fresh()
        #: For the topics of all workers; None if they have none.
        self._hub: HubProcess | None = None
        self._loop: asyncio.AbstractEventLoop
        self._change = asyncio.Event()
        self._stopping = False
        self._forced = False
        self._signals = 0
        #: How many have died in a row, and the time before which no other is started.
        self._back_off = BackOff(BACK_OFF)
        self._not_before = 0.0
        self._last_tick = 0.0
        self._has_served = False
        self._was_running = False
        self._is_reloading = False

    async def run(self) -> None:
        """Supervise until all workers have ended after a stop."""
        self._loop = asyncio.get_running_loop()
        try:
            self._sockets(self._size)
        except OSError as error:
            self._end()
            raise sockets.failure("a socket for each worker", error) from None
        if self.config.pubsub != "off":
            try:
                if is_broker(self.config):
                    from asgiws.brokers.libraries import choose

                    choose(self.config)  # what cannot work ends here, and not in each worker
                self._hub = HubProcess(self._loop, self.config, self._board, self._memory)
            except StartError:
                self._end()
                raise
        with _Signals(self._loop, self._handlers()):
            logger.info("Starting %s; process %d supervises them", _count(self._size), os.getpid())
            self._adjust()
            tick = heartbeat.Heartbeat(self._loop, TICK, self._tick)
            watchdog = systemd.Watchdog(self._loop, self._notifier)
            try:
                while self._workers or not self._stopping:
                    self._change.clear()
                    await self._change.wait()
            finally:
                tick.close()
                watchdog.close()
                self._end()
            logger.info("Stopped")

    def _end(self) -> None:
        """Leave nothing running and nothing behind."""
        for worker in self._workers:
            worker.signal(signal.SIGKILL)
            worker.process.wait()
            worker.has_ended()
        if self._hub is not None:
            self._hub.close()
        self._close_listeners()
        self._board.close()
        os.close(self._memory)

    def _close_listeners(self) -> None:
        for listeners in self._listeners:
            for listener in listeners:
                listener.close()
        self._listeners = []

    # Requests.

    def _handlers(self) -> dict[str, Callable[[int], object]]:
        return {
            "SIGINT": self._signalled,
            "SIGTERM": self._signalled,
            "SIGHUP": lambda _: self.replace_all(),
            "SIGTTIN": lambda _: self.resize(1),
            "SIGTTOU": lambda _: self.resize(-1),
            "SIGCHLD": lambda _: self._look(),
        }

    def _signalled(self, number: int) -> None:
        self._signals += 1
        if self._signals == 1:
            self.stop(in_hurry=number == signal.SIGINT)
        else:
            self.code = 128 + number
            self.force()

    def stop(self, in_hurry: bool = False) -> None:
        """End all workers gracefully; `in_hurry` without spreading the ends of their connections."""
        if not self._stopping:
            self._stopping = True
            self._notifier.stopping()
            logger.info("Stopping %s", _count(len(self._workers)))
            self._close_listeners()
            for worker in self._workers:
                worker.stop(in_hurry, self._patience())
            self._change.set()

    def force(self) -> None:
        """End all workers at once."""
        self.stop(in_hurry=True)
        if not self._forced:
            self._forced = True
            for worker in self._workers:
                worker.force(MOMENT)
            self._loop.call_later(MOMENT, self._look)

    def replace_all(self) -> None:
        """Replace all workers, one after the other."""
        if self._stopping:
            return
        logger.info("Replacing %s", _count(self._size))
        self._is_reloading = True
        self._notifier.reloading()
        for worker in self._workers:
            if worker.state != STOPPING:
                worker.outdated = RELOAD
        self._adjust()

    def resize(self, change: int) -> None:
        """Run so many more workers, or fewer, but at least one."""
        size = min(max(self._size + change, 1), MOST)
        if self._stopping or size == self._size:
            return
        logger.info("Changing from %d to %s", self._size, _count(size))
        self._size = size
        if size > 1:
            for worker in self._workers:
                if not (worker.shares or self.config.reuse_port or worker.state == STOPPING):
                    worker.outdated = "it accepts all connections, since it was the only worker"
        self._adjust()

    # What should be running.

    def _adjust(self) -> None:
        """Start workers that are missing, and stop those that are too many."""
        if self._stopping:
            return
        live = [worker for worker in self._workers if worker.state != STOPPING]
        ready = [worker for worker in live if worker.state == READY]
        for worker in self._first_to_go(ready)[: max(len(ready) - self._size, 0)]:
            logger.info(
                "Stopping %s: %s", worker, worker.outdated or "there is one worker too many"
            )
            worker.stop(False, self._patience())
            live.remove(worker)
            ready.remove(worker)
        current = [worker for worker in live if worker.outdated is None]
        missing = min(self._size - len(current), self._size + SURGE - len(live))
        if not self._has_served:
            missing = 1 - len(live)
        if missing > 0:
            wait = self._not_before - time.monotonic()
            if wait > 0:
                return  # the tick retries
            try:
                for _ in range(missing):
                    live.append(self._start(live))
            except OSError as error:
                wait = self._wait(at_least=BACK_OFF)
                logger.error("Cannot start a worker: %s; trying again in %g s", error, wait)
        elif len(current) == len(live) == len(ready) == self._size:
            self._all_ready()

    def _first_to_go(self, ready: list[WorkerProcess]) -> list[WorkerProcess]:
        """The outdated ones first, in the order of their successors; then those with the highest numbers."""
        outdated = [worker for worker in ready if worker.outdated is not None]
        current = [worker for worker in ready if worker.outdated is None]
        outdated.sort(key=lambda worker: worker.number)
        current.sort(key=lambda worker: -worker.number)
        return outdated + current

    def _start(self, live: list[WorkerProcess]) -> WorkerProcess:
        # A successor has the number, and the socket, of the worker that it replaces.
        taken = {worker.number for worker in live if worker.outdated is None}
        number = min(set(range(1, len(taken) + 2)) - taken)
        row = self._board.give_out()
        try:
            worker = WorkerProcess(
                self._loop,
                self.config,
                number,
                row,
                self._memory,
                self._sockets(number),
                self._size > 1 and not self.config.reuse_port,
                self._told,
                self._look,
                b"" if self._tickets is None else self._tickets.packed(),
                "" if self._hub is None else self._hub.path,
            )
        except OSError:
            self._board.take_back(row)
            raise
        self._workers.append(worker)
        return worker

    def _sockets(self, number: int) -> list[socket.socket]:
        """The listening sockets of a worker."""
        if not self.config.reuse_port:
            number = 1
        while len(self._listeners) < number:
            self._listeners.append(
                [Listener(siblings.make(listener.sock)) for listener in self._listeners[0]]
            )
        return [listener.sock for listener in self._listeners[number - 1]]

    def _patience(self) -> float:
        return self.config.timeout_graceful_shutdown + MARGIN

    def _all_ready(self) -> None:
        if self.config.reuse_port:
            # The sockets of workers that no longer exist; nobody serves the clients that wait there.
            while len(self._listeners) > self._size:
                for listener in self._listeners.pop():
                    listener.close()
        if not self._was_running:
            self._was_running = True
            for url in self._urls():
                logger.info("asgiws running on %s (Press CTRL+C to quit)", url)
            self._tell_ready()
        if self._is_reloading:
            self._is_reloading = False
            logger.info("Replaced %s", _count(self._size))
            self._tell_ready()

    def _urls(self) -> list[str]:
        is_secure = self.config.ssl_certfile is not None
        return [listener.url(is_secure) for listener in self._listeners[0]]

    def _tell_ready(self) -> None:
        where = ", ".join(self._urls())
        self._notifier.ready(f"Running on {where} with {_count(self._size)}")

    # Events.

    def _told(self, worker: WorkerProcess, message: dict[str, Any]) -> None:
        """A worker has sent a message."""
        what = message["what"]
        if what == "ready":
            if worker.state == STARTING:
                worker.state = READY
                worker.ready_at = time.monotonic()
                self._has_served = True
                logger.info("%s is ready", worker)
        elif what == "stopping":
            if worker.state != STOPPING:
                # Something else has told it to.
                logger.info("%s is stopping; starting another", worker)
                worker.state = STOPPING
                worker.kill_at = time.monotonic() + self._patience()
        elif worker.outdated is None:
            worker.outdated = message["why"]
            logger.info("Replacing %s: %s", worker, worker.outdated)
        self._adjust()

    def _tick(self) -> None:
        now = time.monotonic()
        # If this process was suspended, the others may have been too.
        was_suspended = self._last_tick and now - self._last_tick > 4 * TICK
        self._last_tick = now
        if self._tickets is not None:
            self._tickets.turn(now)
        limit = self.config.timeout_worker_healthcheck
        if limit and not was_suspended:
            for worker in self._workers:
                silence = self._board.silence(worker.row)
                if silence > limit and not worker.was_aborted:
                    logger.error("%s has sent no heartbeat for %.3g s: aborted", worker, silence)
                    worker.was_aborted = True
                    worker.kill_at = now + ABORT_MOMENT
                    worker.signal(signal.SIGABRT)
            if self._hub is not None:
                self._hub.check(limit)
        self._look()

    def _look(self) -> None:
        """Find workers that have ended, and those whose time is up."""
        now = time.monotonic()
        if self._hub is not None:
            self._hub.look()
        for worker in list(self._workers):
            if worker.has_ended():
                self._workers.remove(worker)
                self._board.take_back(worker.row)
                self._ended(worker)
            elif worker.kill_at is not None and now >= worker.kill_at:
                worker.kill_at = None
                if not self._forced and not worker.was_aborted:
                    logger.error("%s did not exit in time: killed", worker)
                worker.signal(signal.SIGKILL)
        self._adjust()
        self._change.set()

    def _ended(self, worker: WorkerProcess) -> None:
        how = worker.how_ended()
        if worker.state == STOPPING:
            if worker.process.returncode and not self._forced:
                logger.error("%s %s while it was stopping", worker, how)
            return
        if worker.state == STARTING:
            self._start_failed(worker, how)
            return
        assert worker.ready_at is not None
        now = time.monotonic()
        self._back_off.ran(now - worker.ready_at)
        wait = self._wait()
        after = f" in {wait:g} s" if wait else ""
        logger.error("%s %s; starting another%s", worker, how, after)

    def _start_failed(self, worker: WorkerProcess, how: str) -> None:
        if self._stopping:
            return
        serving = [other for other in self._workers if other.state == READY]
        if not serving:
            logger.error("%s %s before it was ready: stopping", worker, how)
            self.code = max(worker.process.returncode, StartError.exit_code)
            self.stop(in_hurry=True)
            return
        reloading = [other for other in self._workers if other.outdated == RELOAD]
        if reloading:
            # The new code would not do better the next time; the old workers keep serving.
            logger.error("%s %s before it was ready: keeping the old workers", worker, how)
            for other in self._workers:
                if other.outdated == RELOAD:
                    other.outdated = None
            self._is_reloading = False
            self._tell_ready()
            return
        wait = self._wait(at_least=BACK_OFF)
        logger.error("%s %s before it was ready; trying again in %g s", worker, how, wait)

    def _wait(self, at_least: float = 0.0) -> float:
        """Count a death. Returns for how many seconds no worker is started now."""
        wait = self._back_off.next(at_least)
        self._not_before = time.monotonic() + wait
        return wait


class _Signals:
    """While it is entered, signals call their handlers, which are named after them, in the event loop.

    Signals that the system does not have are left out, SIGHUP if it is ignored (nohup), and all of them outside
    the main thread.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, handlers: dict[str, Callable[[int], object]]
    ) -> None:
        self._loop = loop
        self._handlers = {
            getattr(signal, name): handler
            for name, handler in handlers.items()
            if hasattr(signal, name)
            and not (name == "SIGHUP" and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)
        }

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._handlers.items():
                self._loop.add_signal_handler(number, handler, number)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in self._handlers:
                self._loop.remove_signal_handler(number)


def _count(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


def supervise(config: Config) -> int:
    """Serve with workers until the supervisor is stopped. Returns the exit code for the process.

    An error that keeps it from starting goes to stderr, in one line.
    """
    logs.configure(config)
    try:
        if sys.platform == "win32":
            raise StartError(
                "workers need a system on which processes inherit sockets, so not Windows"
            )
        descriptors.raise_limit()
        with systemd.Notifier.take() as notifier:
            supervisor = Supervisor(config, sockets.bind(config), notifier)
            loops.run(supervisor.run, "asyncio")
    except StartError as error:
        logs.tell(f"Error: {error}")
        return error.exit_code
    return supervisor.code
