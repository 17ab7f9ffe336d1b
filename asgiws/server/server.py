"""The life of one server: load, bind, start, accept, drain, stop.

Rules of this file:
- The order is in `_run`, `_live`, `_drain` and `_finish`, and nowhere else.
- However the serving ends, by a stop, a cancellation or an exception, `_finish` runs to its end: the
  application is shut down in order. Only a forced end skips it.
- Nothing polls: `_until` waits for a reported change, or for a deadline.
- A stop takes at most `timeout_graceful_shutdown` seconds in total. A tenth of them, at most RESERVE, is
  reserved for cutting off what is left and for the application's own shutdown.
- Drivers may step application tasks at once, so they are called from callbacks of the event loop, never
  from the server's own task.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack, nullcontext
from typing import Any, Protocol

from asgiws import importer, logs
from asgiws.asgi.interface import adapt
from asgiws.asgi.lifespan import Lifespan
from asgiws.asgi.types import ASGIApp
from asgiws.brokers.choice import is_needed_early, maker
from asgiws.config import Config, ConfigError, StartError
from asgiws.net import descriptors, sockets, systemd
from asgiws.net.acceptor import GRACE, Acceptor, Balancer, Make, accept
from asgiws.net.handshakes import Handshaking
from asgiws.net.loop_io import LoopIO
from asgiws.net.poller import AVAILABLE, Poller
from asgiws.net.sockets import Listener
from asgiws.net.ticker import Ticker
from asgiws.server import cutoff, drain, forks, garbage, loops, signals
from asgiws.server.drain import Drain
from asgiws.server.registry import Registry
from asgiws.server.signals import HangupWatch, SignalWatch
from asgiws.server.wiring import connection_factory
from asgiws.services import present
from asgiws.services.pubsub import NAME, PubSub
from asgiws.services.runtime import Runtime, compression
from asgiws.services.topics import Topics
from asgiws.tls import certificates
from asgiws.tls.certificates import Certificates
from asgiws.topics.hub import Hub

logger = logging.getLogger("asgiws.error")

#: The most seconds of the graceful timeout that are reserved.
RESERVE = 2.0

#: Turns of the event loop for applications that wait for the drain's event, before a connection is closed.
TURNS = 3

#: The minimum number of seconds that cancelled tasks get, even if no time was given.
LEAST_MOMENT = 0.1


#: Seconds that the application has to answer `lifespan.drain`, and the part of the graceful timeout that it
#: may take.
DRAIN_ANSWER = 5.0
DRAIN_PART = 0.25


class Membership(Protocol):
    """What a worker is for its server: the place among the others that its supervisor has given it."""

    #: The name of the worker in log lines.
    name: str
    #: Says when to leave a connection to another worker; None to accept every connection.
    balancer: Balancer | None
    #: The secret of the session tickets, which all workers have.
    secret: bytes

    def make_hub(self, topics: Topics) -> Hub:
        """What carries topics to the other workers."""

    def ready(self) -> None:
        """Connections are accepted."""

    def stopping(self) -> None:
        """Connections are no longer accepted."""

    def worn_out(self, why: str) -> None:
        """The server has served as many requests as it should: it must be replaced."""


class ParserMissing(StartError):
    """The requested HTTP parser is not installed."""


class Server:
    """A server for one application in one event loop.

    `started` is true once connections are accepted, `ready` only while they are. Setting
    `should_exit` stops the server as SIGTERM does; setting `force_exit` as well ends it at once.
    Both may be set from any thread.

    Raises ConfigError for reload and for workers: `asgiws.run` and the command have servers of their
    own for them. A worker's server has a `membership`.
    """

    def __init__(self, config: Config, membership: Membership | None = None) -> None:
        if config.reload:
            raise ConfigError("reload needs asgiws.run or the command: a Server is one process")
        if config.workers and membership is None:
            raise ConfigError("workers need asgiws.run or the command: a Server is one process")
        self.config = config
        self.started = False
        #: Whether a stop closes the WebSockets at once, and not over the drain window.
        self.in_hurry = False
        #: The addresses it listens on: (host, port), or the path of a Unix socket. Empty before.
        self.addresses: list[tuple[str, int] | str] = []
        #: The time of `time.monotonic()` by which the process must have ended, once a stop has begun.
        self.end_by: float | None = None
        #: The signal that stopped the server, and the signal that ended it at once.
        self.stopped_by: int | None = None
        self.forced_by: int | None = None
        self._membership = membership
        self._runtime: Runtime | None = None
        self._should_exit = False
        self._force_exit = False
        self._listeners: list[Listener] = []
        self._pending = Registry(self._idle)
        self._acceptors: list[Acceptor | asyncio.AbstractServer] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._certificates: Certificates | None = None
        self._poller: Poller | None = None
        #: Whether the process ends with the server.
        self._is_process = False
        #: The thread of the event loop.
        self._thread = 0
        self._change = asyncio.Event()
        self._notifier = systemd.Notifier(None)

    @property
    def should_exit(self) -> bool:
        return self._should_exit

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._should_exit = value
        self._report()

    @property
    def force_exit(self) -> bool:
        return self._force_exit

    @force_exit.setter
    def force_exit(self, value: bool) -> None:
        self._force_exit = value
        self._report()

    @property
    def ready(self) -> bool:
        return self._runtime is not None and self._runtime.ready

    @property
    def open_connections(self) -> int:
        """The number of open connections, including those that are still being established."""
        runtime = self._runtime
        return 0 if runtime is None else len(runtime.connections) + len(self._pending)

    def patience(self) -> float:
        """The seconds within which it ends after it was cancelled."""
        return self.config.timeout_graceful_shutdown + RESERVE

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets it listens on; empty before and after."""
        return [listener.sock for listener in self._listeners]

    async def serve(
        self,
        sockets: Sequence[socket.socket] | None = None,
        *,
        install_signal_handlers: bool = True,
    ) -> None:
        """Serve in the running event loop until `should_exit`, SIGINT or SIGTERM.

        `sockets`, bound by the caller, are used instead of what the options say, and closed at the
        end. In the main thread, and unless `install_signal_handlers` is false, the two signals are
        handled meanwhile; after the server has stopped, a signal that was caught is passed on to the
        handler that was there before. A cancellation cuts off what is open; the application's
        shutdown still runs to its end, within the graceful timeout.

        Raises StartError, whose text is one line, if the server cannot start.
        """
        await self._run(sockets, install_signal_handlers)
        signals.pass_on()

    def reload_certificates(self) -> None:
        """Reload certificate, key and authorities, as SIGHUP does; from any thread.

        New connections use the new ones. Files that cannot be used are a line in the log, and those in use
        stay. Does nothing without TLS, or while the server is not running.
        """
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._reload)

    async def serve_process(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Like `serve`, for a process that ends with the server and does not need its signals any more."""
        self._is_process = True
        with systemd.Notifier.take() as self._notifier:
            await self._run(sockets, True)

    # From start to stop.

    async def _run(self, given: Sequence[socket.socket] | None, take_signals: bool) -> None:
        self._loop = loop = asyncio.get_running_loop()
        insists = self.config.ssl_certfile is not None
        # Without certificates it is handled only in our own process, which it would otherwise end.
        takes_hangup = take_signals and (insists or self._is_process)
        hangup = HangupWatch(loop, self._hung_up, insists) if takes_hangup else nullcontext()
        self._thread = threading.get_ident()
        forget = forks.in_child(self._forked)
        try:
            with hangup:
                await self._load_and_live(given, take_signals)
        finally:
            forget()

    async def _load_and_live(
        self, given: Sequence[socket.socket] | None, take_signals: bool
    ) -> None:
        loop, config = self._loop, self.config
        assert loop is not None
        app = adapt(importer.load(config), _called(config.app))
        logs.configure(config, "" if self._membership is None else self._membership.name)
        secret = b"" if self._membership is None else self._membership.secret
        self._certificates = certificates.load(config, secret)
        _check_parser(config.http)
        compression(config)  # if something that it needs is missing, the start ends here
        self._listeners = sockets.bind(config) if given is None else sockets.wrap(given)
        watch = SignalWatch(loop, self._signalled, self._signalled_again)
        try:
            with watch if take_signals else nullcontext():
                await self._live(app)
        finally:
            self._close_listeners()

    async def _live(self, app: ASGIApp) -> None:
        assert self._loop is not None
        topics = pubsub = None
        if self.config.pubsub != "off":
            topics = Topics(self.config, self._loop, self._hub_maker())
            pubsub = PubSub(topics)
            if is_needed_early(self.config):
                topics.hub()
        extensions = {} if pubsub is None else {NAME: pubsub.extension()}
        lifespan = Lifespan(forks.guarded(app), self.config.lifespan, extensions)
        with ExitStack() as stack:
            if topics is not None:
                stack.callback(topics.close)
            stack.callback(present.enter(self._loop, topics))
            is_abandoned = False
            try:
                if await self._start(lifespan):
                    await self._serve(app, lifespan, stack, topics, pubsub)
            except GeneratorExit:
                is_abandoned = True  # its event loop has gone: waiting is no longer possible
                raise
            finally:
                self._close_listeners()
                if pubsub is not None:
                    pubsub.end()
                if not is_abandoned:
                    await self._to_the_end(lambda: self._finish(lifespan))
                    if topics is not None:
                        await self._to_the_end(topics.finish)
                lifespan.cancel()
            if self._runtime is not None:
                logger.info("Stopped")

    def _hub_maker(self) -> Callable[[Topics], Hub] | None:
        """What makes the hub of topics; None for one of this process alone."""
        membership = self._membership
        return maker(self.config) if membership is None else membership.make_hub

    async def _serve(
        self,
        app: ASGIApp,
        lifespan: Lifespan,
        stack: ExitStack,
        topics: Topics | None,
        pubsub: PubSub | None,
    ) -> None:
        """Accept, serve and drain. What this needs is closed with `stack`."""
        loop, config = self._loop, self.config
        assert loop is not None
        runtime = self._runtime = Runtime(
            app, config, loop, lifespan.state, lifespan.draining, topics, pubsub
        )
        stack.callback(runtime.close)
        connections = runtime.connections = Registry(self._idle)
        runtime.tasks = Registry(self._idle)
        runtime.set_limit(request_limit(config), self._worn_out)
        ticker = Ticker(loop)
        stack.callback(ticker.close)
        io = LoopIO(runtime.call_soon)
        poller = Poller(loop, io.outbox) if AVAILABLE else None
        self._poller = poller
        if poller is not None:
            stack.callback(poller.close)
        stack.callback(systemd.Watchdog(loop, self._notifier).close)
        if not self._should_exit:
            make = connection_factory(runtime, ticker, io, poller is not None)
            await self._accept(make, runtime, ticker, poller)
            await self._until(lambda: self._should_exit)
        await self._drain(runtime, connections, lifespan)

    async def _to_the_end(self, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Await the coroutine that `make` creates, to its end: a cancellation waits until then. If somebody has
        cancelled every task there was, it is created again."""
        assert self._loop is not None
        was_cancelled = False
        while True:
            task = self._loop.create_task(make())
            while not task.done():
                try:
                    await asyncio.wait([task])
                except asyncio.CancelledError:  # noqa: PERF203
                    was_cancelled = True
            if not task.cancelled():
                break
        task.result()
        if was_cancelled:
            raise asyncio.CancelledError

    async def _start(self, lifespan: Lifespan) -> bool:
        """Run the application's startup; False if the server was stopped before it had ended."""
        assert self._loop is not None
        startup = self._loop.create_task(lifespan.startup())
        startup.add_done_callback(lambda _: self._change.set())
        try:
            await self._until(lambda: startup.done() or self._should_exit)
            if not startup.done():
                logger.info("Stopping; the application is still starting")
                end = self._begin_stop()
                await self._until(lambda: startup.done() or self._force_exit, end)
        finally:
            if not startup.done():
                startup.cancel()
                await asyncio.wait([startup], timeout=LEAST_MOMENT)
        if startup.cancelled() or not startup.done():
            logger.warning("Stopped, though the application had not started")
            return False
        startup.result()
        return True

    async def _accept(
        self, make: Make, runtime: Runtime, ticker: Ticker, poller: Poller | None
    ) -> None:
        """Accept connections on all sockets, created by `make`. Raises BindError."""
        tls = self._certificates
        runtime.ready = True
        balancer = None if self._membership is None else self._membership.balancer
        handshaking = None
        if tls is not None and poller is not None:
            handshaking = Handshaking(runtime.loop, ticker, tls, self._pending, runtime.notices)
        make()  # what is imported for the first one is imported now: later there may be no descriptor for it
        for listener in self._listeners:
            try:
                acceptor = await accept(
                    runtime.loop,
                    listener.sock,
                    make,
                    tls,
                    self._pending,
                    runtime.notices,
                    self.config.backlog,
                    poller,
                    balancer,
                    handshaking,
                )
            except OSError as error:
                raise sockets.failure(listener.url(tls is not None), error) from None
            self._acceptors.append(acceptor)
        if tls is not None:
            ticker.schedule(tls, runtime.loop.time() + certificates.LOOK)
        self.addresses = [listener.address for listener in self._listeners]
        if self._is_process and self.config.tune_gc:
            garbage.settle()
        self.started = True
        if self._membership is not None:
            self._membership.ready()  # where it is, the supervisor tells
            return
        urls = [listener.url(tls is not None) for listener in self._listeners]
        for url in urls:
            logger.info("asgiws running on %s (Press CTRL+C to quit)", url)
        self._notifier.ready("Running on " + ", ".join(urls))

    def _is_idle(self) -> bool:
        """True if there is no connection and no task of the application."""
        runtime = self._runtime
        return runtime is None or not (runtime.connections or runtime.tasks or self._pending)

    async def _drain(self, runtime: Runtime, connections: Registry, lifespan: Lifespan) -> None:
        """The graceful part of the stop: what is open may end by itself, within the time."""
        loop, pending = runtime.loop, self._pending
        end = self._begin_stop()
        runtime.ready = False
        self._close_listeners()
        if self._membership is not None:
            self._membership.stopping()
        logger.info("Stopping; %d connections are open", len(connections) + len(pending))
        end -= self._reserve()
        window = 0.0 if self.in_hurry else drain.window(self.config, end - loop.time())
        await self._tell_application(lifespan, window)
        if lasting := drain.count_lasting(connections):
            logger.info("Closing %d WebSockets over %g s", lasting, window)
        draining = Drain(loop, connections, window)
        loop.call_soon(draining.begin)
        # A TLS handshake may end, and its connection then properly; a client that only connects gets no more.
        end_of_handshakes = loop.call_later(GRACE, cutoff.cancel, pending)
        try:
            await self._until(lambda: self._is_idle() or self._force_exit, end)
        finally:
            draining.close()
            end_of_handshakes.cancel()

    async def _finish(self, lifespan: Lifespan) -> None:
        """The end, whatever came before: what is left is cut off, and the application ends."""
        runtime = self._runtime
        if runtime is not None and not self._is_idle():
            runtime.ready = False
            self._begin_stop()
            counts = len(runtime.connections) + len(self._pending), len(runtime.tasks)
            logger.warning("Cut off %d connections and %d application tasks", *counts)
            cutoff.cut_off(runtime, self._pending)
            moment = LEAST_MOMENT if self._force_exit else self._reserve() / 2
            await self._until(self._is_idle, runtime.loop.time() + moment)
            for task in runtime.tasks:
                logger.error("An application task ignores its cancellation: %r", task)
        if not lifespan.is_over():
            await self._stop_lifespan(lifespan)

    def _reserve(self) -> float:
        """Seconds of the graceful timeout that are reserved."""
        return max(min(RESERVE, self.config.timeout_graceful_shutdown / 10), LEAST_MOMENT)

    async def _tell_application(self, lifespan: Lifespan, window: float) -> None:
        """Tell the application that its connections will be closed, before any of them is."""
        assert self._loop is not None
        config = self.config
        timeout = min(DRAIN_ANSWER, config.timeout_graceful_shutdown * DRAIN_PART)
        telling = self._loop.create_task(
            lifespan.drain(window, config.drain_code, config.drain_reason, timeout)
        )
        telling.add_done_callback(self._idle)
        try:
            await self._until(lambda: telling.done() or self._force_exit)
        finally:
            telling.cancel()
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def _stop_lifespan(self, lifespan: Lifespan) -> None:
        """Run the application's shutdown in the remaining time, unless the end is forced."""
        assert self._loop is not None
        if self._force_exit:
            return
        left = max(self._begin_stop() - self._loop.time(), LEAST_MOMENT)
        shutdown = self._loop.create_task(lifespan.shutdown(left))
        shutdown.add_done_callback(self._idle)
        try:
            await self._until(lambda: shutdown.done() or self._force_exit)
        finally:
            shutdown.cancel()

    def _begin_stop(self) -> float:
        """The time of the event loop's clock by which a stop, begun now or before, must end."""
        assert self._loop is not None
        if self.end_by is None:
            self.end_by = time.monotonic() + self.config.timeout_graceful_shutdown
            self._notifier.stopping()
        return self._loop.time() + self.end_by - time.monotonic()

    def _close_listeners(self) -> None:
        """Stop accepting."""
        # Without `wait_closed()`: since Python 3.12 it waits for all connections, without limit.
        for acceptor in self._acceptors:
            acceptor.close()
        self._acceptors.clear()
        for listener in self._listeners:
            listener.close()
        self._listeners = []

    # Waiting.

    async def _until(self, is_true: Callable[[], bool], deadline: float | None = None) -> None:
        """Wait until `is_true()`, which is called after each reported change, or until `deadline`."""
        assert self._loop is not None
        is_late = False

        def expire() -> None:
            nonlocal is_late
            is_late = True
            self._change.set()

        timer = None if deadline is None else self._loop.call_at(deadline, expire)
        try:
            while not is_true() and not is_late:
                self._change.clear()
                await self._change.wait()
        finally:
            if timer is not None:
                timer.cancel()

    def _idle(self, *_: object) -> None:
        """Something that `_until` waits for has changed; from the event loop's thread."""
        self._change.set()

    def _report(self) -> None:
        """Something that `_until` waits for may have changed; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._change.set)

    def _hung_up(self) -> None:
        """SIGHUP."""
        if self._certificates is None:
            logger.info("SIGHUP: there are no certificates to reload")
        self._reload()

    def _forked(self) -> None:
        """This is a process that the application has forked: it has no server."""
        assert self._loop is not None
        if self._runtime is not None:
            self._runtime.leave = forks.end
        forks.leave(self._loop, self._thread)
        descriptors = [sock.fileno() for sock in self.sockets]
        if self._runtime is not None:
            descriptors += [one.descriptor() for one in self._runtime.connections]
        if self._poller is not None:
            descriptors += self._poller.abandon()
        forks.let_go(fd for fd in descriptors if fd >= 0)

    def _reload(self) -> None:
        if self._certificates is not None:
            self._certificates.reload()

    def _worn_out(self) -> None:
        """One process has served as many requests as it should."""
        why = f"it has served {self._runtime.served if self._runtime else 0} requests"
        if self._membership is not None:
            self._membership.worn_out(why)
        else:
            logger.info("Stopping: %s", why)
            self.should_exit = True

    def _signalled(self, number: int) -> None:
        self.stopped_by = number
        self.in_hurry = number == signal.SIGINT
        self.should_exit = True

    def _signalled_again(self, number: int) -> None:
        self.forced_by = number
        self.force_exit = True


def run_server(server: Server, serve: Callable[[], Coroutine[Any, Any, None]] | None = None) -> int:
    """Serve in a new event loop until the server is stopped. Returns the exit code for the process.

    `serve` is the function that serves; by default the server's `serve_process`. An error that keeps it from
    starting goes to stderr, in one line.
    """
    descriptors.raise_limit()
    try:
        loops.run(serve or server.serve_process, server.config.loop, server.patience())
    except importer.AppRaised as error:
        logs.tell(f"{error.report()}\nError: {error}")
        return error.exit_code
    except StartError as error:
        logs.tell(f"Error: {error}")
        return error.exit_code
    return 0 if server.forced_by is None else 128 + server.forced_by


def request_limit(config: Config) -> int:
    """The number of requests after which a process must end; 0 for never."""
    if config.limit_max_requests is None:
        return 0
    return config.limit_max_requests + random.randint(0, config.limit_max_requests_jitter)


def _called(app: str | Callable[..., Any]) -> str:
    return repr(app) if isinstance(app, str) else "the application"


def _check_parser(name: str) -> None:
    if name != "auto" and importlib.util.find_spec(name) is None:
        raise ParserMissing(f"--http {name} needs the package {name}: pip install {name}")
