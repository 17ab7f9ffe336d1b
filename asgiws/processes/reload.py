"""`--reload`: a process that watches files, and a child that serves and is restarted when they change.

Rules of this file:
- The watching process binds the sockets, imports nothing of the application and serves nobody. While no
  child serves, clients that connect wait in the kernel's queue.
- A child is a fresh interpreter. It stops when the pipe that it has from the watching process is closed,
  either on purpose or because that process has gone. It ignores SIGINT and SIGHUP, which a terminal sends
  to both.
- A child has STOP seconds for its graceful stop and is killed after PATIENCE: no open WebSocket, no
  stream and no blocked event loop delays a reload.
- A reload waits until the watched files have not changed for a while, but not forever: SETTLING limits it.
  Files that are not watched, such as a log or a database that is written continuously, have no influence.
- A child that ends by itself, for example because of a syntax error, has said why. The next change starts
  another.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from types import FrameType
from typing import BinaryIO, NoReturn

from asgiws import logs
from asgiws.config import Config, StartError
from asgiws.net import sockets
from asgiws.server import signals
from asgiws.server.server import Server, run_server
from asgiws.server.signals import SIGNALS

logger = logging.getLogger("asgiws.error")

#: Seconds that a child has to stop in order, and seconds after which it is killed.
STOP = 1.0
PATIENCE = 2.0

#: Seconds for which files that keep changing can delay a reload, if `--reload-delay` is not longer.
SETTLING = 3.0

#: Patterns of files to watch and to ignore, in addition to those in the options.
INCLUDES = ("*.py",)
EXCLUDES = (".*", "*~", "~*", "__pycache__")

#: Milliseconds between two checks for changes; also the longest time that a signal may wait. While something
#: changes continuously, it is reported after this time.
STEP = 50
GROUP = 200

#: The code of a child's interpreter. The path comes first: it is needed to find what is unpickled next.
CODE = (
    "import pickle, sys; file = open(int(sys.argv[1]), 'rb'); sys.path[:] = pickle.load(file); "
    "from asgiws.processes import reload; reload.serve_child(file)"
)


class ReloadImpossible(StartError):
    """Something that `--reload` needs is missing."""


class Files:
    """Which files are watched: below one of `directories`, matching one of `includes` and none of `excludes`.

    A pattern is that of `PurePath.match`. A pattern that excludes a directory excludes everything below it.
    """

    def __init__(
        self, directories: Iterable[str], includes: Iterable[str], excludes: Iterable[str]
    ) -> None:
        self.directories = [Path(directory).resolve() for directory in directories]
        self._includes = [*INCLUDES, *includes]
        self._excludes = [str(PurePath(pattern)) for pattern in (*EXCLUDES, *excludes)]

    def count(self, name: str) -> bool:
        """True if the file at that absolute path is watched."""
        path = Path(name)
        if not any(path.match(pattern) for pattern in self._includes):
            return False
        for directory in self.directories:
            if path.is_relative_to(directory):
                # What is above the directory is the user's choice.
                below = path.relative_to(directory)
                within = [part for part in (below, *below.parents) if part.name]
                absolute = [directory / part for part in within]
                if not any(
                    part.match(pattern)
                    for pattern in self._excludes
                    for part in (absolute if os.path.isabs(pattern) else within)
                ):
                    return True
        return False


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """What a child starts with: file descriptors to listen on, and the one whose end stops it."""

    config: Config
    listeners: tuple[int, ...]
    pipe: int
    argv: tuple[str, ...]


class Child:
    """A process that serves, from its creation on."""

    def __init__(self, config: Config, listeners: Sequence[socket.socket]) -> None:
        fds = tuple(sock.fileno() for sock in listeners)
        theirs, self._ours = os.pipe()
        try:
            with tempfile.TemporaryFile() as file:
                pickle.dump(list(sys.path), file)
                pickle.dump(Start(config, fds, theirs, tuple(sys.argv)), file)
                file.seek(0)
                flags: list[str] = getattr(subprocess, "_args_from_interpreter_flags", list)()
                # It inherits a blocked SIGINT, until it has a handler for it.
                blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
                try:
                    self.process = subprocess.Popen(
                        [sys.executable, *flags, "-c", CODE, str(file.fileno())],
                        pass_fds=[*fds, theirs, file.fileno()],
                    )
                finally:
                    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        finally:
            os.close(theirs)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """Stop it, and wait until it has gone, for at most PATIENCE seconds."""
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            logger.warning("The application did not stop within %g s: killing it", PATIENCE)
            self.process.kill()
            self.process.wait()


class Settling:
    """Whether the changed files have been left alone for `delay` seconds, or it has taken long enough."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._most = max(SETTLING, delay)
        self._first: float | None = None
        self._last = 0.0

    def has_begun(self) -> bool:
        return self._first is not None

    def changed(self, now: float) -> None:
        """Files have changed."""
        if self._first is None:
            self._first = now
        self._last = now

    def is_over(self, now: float) -> bool:
        """True if it is time for a reload."""
        first = self._first
        return first is not None and (now - self._last >= self._delay or now - first >= self._most)


class Reloader:
    """The watching process."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._files = Files(
            config.reload_dirs or [config.app_dir or "."],
            config.reload_includes,
            config.reload_excludes,
        )
        self._child: Child | None = None
        self._stop = threading.Event()

    def run(self) -> int:
        """Serve until SIGINT or SIGTERM. Returns the exit code. Raises StartError."""
        import watchfiles

        listeners = sockets.bind(self._config)
        given = [listener.sock for listener in listeners]
        previous = {number: signal.signal(number, self._signalled) for number in SIGNALS}
        try:
            self._child = Child(_of_child(self._config), given)
            logger.info("Watching %s", ", ".join(map(str, self._files.directories)))
            delay = self._config.reload_delay
            settling = Settling(delay)
            has_ended = False
            # It reports every change; logging a change in a watched directory would cause the next one.
            logging.getLogger("watchfiles.main").disabled = True
            for changes in watchfiles.watch(
                *self._files.directories,
                # Not filtered there: an unwatched file that changes continuously would keep it silent.
                watch_filter=None,
                step=STEP,
                debounce=GROUP,
                rust_timeout=max(int(delay * 1000), STEP),
                yield_on_timeout=True,
                stop_event=self._stop,
                raise_interrupt=False,
            ):
                names = [name for _, name in changes if self._files.count(name)]
                if names:
                    if not settling.has_begun():
                        logger.info("Reloading: %s", _named(names))
                    settling.changed(time.monotonic())
                if settling.is_over(time.monotonic()):
                    self._child.stop()
                    if self._stop.is_set():
                        break
                    self._child = Child(_of_child(self._config), given)
                    settling = Settling(delay)
                    has_ended = False
                elif not (has_ended or settling.has_begun() or self._child.is_alive()):
                    has_ended = True
                    logger.error("The application has exited; the next change starts it again")
        finally:
            if self._child is not None:
                self._child.stop()
            for listener in listeners:
                listener.close()
            for number, handler in previous.items():
                signal.signal(number, handler)
        return 0

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._stop.is_set() and self._child is not None:
            self._child.process.kill()
        self._stop.set()


def run_reloading(config: Config) -> int:
    """Restart the application after each change of its files, until SIGINT or SIGTERM.

    Returns the exit code. Raises StartError, whose text is one line.
    """
    if importlib.util.find_spec("watchfiles") is None:
        raise ReloadImpossible(
            "--reload needs the package watchfiles: pip install 'asgiws[reload]'"
        )
    if not hasattr(signal, "pthread_sigmask"):
        raise ReloadImpossible("--reload needs a system with Unix processes")
    logs.configure(config)
    return Reloader(config).run()


def serve_child(file: BinaryIO) -> NoReturn:
    """Serve as the child whose Start is pickled in `file`, and end the process."""
    with file:
        start: Start = pickle.load(file)
    # A handler and not SIG_IGN, which programs started by the application would inherit.
    for number in (signal.SIGINT, signal.SIGHUP):
        signals.take(number, bool)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    sys.argv[:] = start.argv
    for fd in (*start.listeners, start.pipe):
        os.set_inheritable(fd, False)
    server = Server(start.config)
    given = [socket.socket(fileno=fd) for fd in start.listeners]
    threading.Thread(
        target=_watch_pipe, args=(server, start.pipe), daemon=True, name="asgiws-reload"
    ).start()
    sys.exit(run_server(server, lambda: server.serve(given, install_signal_handlers=False)))


def _watch_pipe(server: Server, pipe: int) -> None:
    """Stop the server when the pipe is closed. The process that would kill it if it hangs may have gone."""
    os.read(pipe, 1)
    server.should_exit = True
    time.sleep(PATIENCE * 2)
    os._exit(1)


def _of_child(config: Config) -> Config:
    """The options of a child: a single process, which stops quickly."""
    return dataclasses.replace(
        config,
        reload=False,
        reload_dirs=[],
        reload_includes=[],
        reload_excludes=[],
        reload_delay=0.25,
        timeout_graceful_shutdown=min(config.timeout_graceful_shutdown, STOP),
        drain_window=0.0,
    )


def _named(paths: Iterable[str]) -> str:
    """`app.py has changed`, and how many others have changed too."""
    first, *others = sorted({os.path.relpath(path) for path in paths})
    return f"{first} has changed" + (f", and {len(others)} more" if others else "")
