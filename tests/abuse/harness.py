"""What the tests of abuse share: a server, who watches it from outside, a victim beside the abuser, a report.

Rules of this file:
- Memory is PSS, what the process has to itself and its part of what it shares, from /proc/PID/smaps_rollup:
  of its anonymous memory, for its part of the libraries depends on who else has loaded them at that moment.
  What the samples miss, the kernel's own high mark (VmHWM) has. Descriptors are the entries of /proc/PID/fd,
  tasks what the application counts when the victim asks.
- Before, at the peak, after: each test begins with a server of its own that has served the victim a while,
  and ends when descriptors and tasks are back where they were.
- The victim comes from an address of its own, so that what is counted by address is not counted against it.
  It must get every answer within PATIENCE; how long it took is reported.
- No verdict hangs on how fast something is; what bounds a wait is a guard against hanging.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import resource
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from asgiws import _extensions
from tests.support.pki import Certificate
from tests.support.raw import CLOSE, PING, PONG, TEXT, TIMEOUT, Frame, Raw, handshake
from tests.support.server import RunningServer, serve

HERE = Path(__file__).resolve().parent
#: Where what was measured is gathered; not a part of the checkout.
RESULTS = HERE.parents[1] / "reports" / "abuse.json"

MEGABYTE = 1 << 20
#: By how much a server's memory may grow under any abuse, unless a test knows better: the allocator's
#: slack, and the high marks of a few connections.
GROWTH = 12 * MEGABYTE
#: Seconds within which the victim must have each answer; generous, since machines are shared.
PATIENCE = 10.0
#: Seconds between two samples, and between two questions of the victim.
SAMPLE = 0.05
PAUSE = 0.02
_GOING_AWAY = (1001).to_bytes(2, "big")
VICTIM, ABUSER, OTHER = "127.0.0.2", "127.0.0.1", "127.0.0.3"


class Sample(NamedTuple):
    """`memory` in bytes."""

    memory: int
    descriptors: int
    tasks: int


def until(condition: Callable[[], bool], what: str, timeout: float = TIMEOUT) -> None:
    """Wait until `condition` holds; fail after `timeout` seconds, which is a guard."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(SAMPLE)


def _fields(pid: int, file: str, name: str) -> int:
    """A field of a file of /proc/PID that is told in kB, in bytes."""
    text = Path(f"/proc/{pid}/{file}").read_text("ascii")
    match = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    assert match is not None, text
    return int(match[1]) * 1024


def processes(pid: int) -> list[int]:
    """The process, and its children: the workers and the hub process of a supervisor."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    return [pid, *map(int, children.split())]


class Watch:
    """Measures a process and its children from outside, in a thread, until `stop`."""

    def __init__(self, pid: int) -> None:
        self._pids = processes(pid)
        self._stopped = threading.Event()
        with contextlib.suppress(OSError):  # where it is not allowed, the samples must do
            for one in self._pids:
                Path(f"/proc/{one}/clear_refs").write_text("5", "ascii")  # begin the high mark anew
        self.memory_before = self.memory()
        self._resident_before = self._all("status", "VmRSS")
        self._most_memory = self.memory_before
        self.most_descriptors = self.descriptors()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def memory(self) -> int:
        return self._all("smaps_rollup", "Pss_Anon")

    def descriptors(self) -> int:
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self._pids)

    def most_memory(self) -> int:
        """The most so far."""
        high = self._all("status", "VmHWM")
        return max(self._most_memory, self.memory_before + high - self._resident_before)

    def _all(self, file: str, name: str) -> int:
        return sum(_fields(pid, file, name) for pid in self._pids)

    def _sample(self) -> None:
        with contextlib.suppress(OSError):  # when the process has ended
            while not self._stopped.wait(SAMPLE):
                self._most_memory = max(self._most_memory, self.memory())
                self.most_descriptors = max(self.most_descriptors, self.descriptors())

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


class Victim:
    """A client that behaves, in a thread: it asks on a WebSocket that stays open, and, where `http`, by
    a request on a connection of its own, again and again. Where it `reopens`, its WebSocket may be closed with
    1001, and it opens another. A wrong or a missing answer is its `fault`."""

    def __init__(
        self,
        server: RunningServer,
        trust: ssl.SSLContext | None = None,
        http: bool = True,
        reopens: bool = False,
    ) -> None:
        self._server = server
        self._trust = trust
        self._http = http
        self._reopens = reopens
        self._turn = threading.Lock()
        self._changed = threading.Condition()
        self._stopped = False
        self._fault: BaseException | None = None
        self.answers = 0
        self.slowest = 0.0
        self.tasks = 0
        self.most_tasks = 0
        self._open()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped and self._fault is None:
            try:
                with self._turn:
                    self._ask()
            except BaseException as error:
                self._fault = error
            with self._changed:
                self._changed.notify_all()
            time.sleep(PAUSE)

    def _open(self) -> None:
        self._raw = connect(self._server, VICTIM, trust=self._trust)
        self._raw.upgrade("/victim", "Origin: http://localhost")

    def _answer(self, word: str) -> Frame:
        self._raw.send_frame(TEXT, word.encode())
        frame = self._raw.frame()
        while frame.opcode == PING:
            self._raw.send_frame(PONG, frame.payload)
            frame = self._raw.frame()
        return frame

    def _ask(self) -> None:
        begun = time.monotonic()
        word = f"question-{self.answers}"
        frame = self._answer(word)
        if self._reopens and frame.opcode == CLOSE and frame.payload.startswith(_GOING_AWAY):
            self._raw.send_frame(CLOSE, frame.payload)
            self._raw.close()
            self._open()
            frame = self._answer(word)
        answer, _, tasks = frame.payload.decode().partition(" ")
        assert answer == word, frame
        self.slowest = max(self.slowest, time.monotonic() - begun)
        self.tasks = int(tasks)
        self.most_tasks = max(self.most_tasks, self.tasks)
        if self._http:
            begun = time.monotonic()
            with connect(self._server, VICTIM, trust=self._trust) as raw:
                assert raw.request(get("/tasks")).status == 200
            self.slowest = max(self.slowest, time.monotonic() - begun)
        self.answers += 1

    def served(self, more: int = 5) -> None:
        """Wait until it has got `more` further answers. Raises what went wrong with it."""
        with self._changed:
            goal = self.answers + more
            self._changed.wait_for(
                lambda: self.answers >= goal or self._fault is not None, PATIENCE * more
            )
        if self._fault is not None:
            raise AssertionError(
                f"the victim was not served, after {self.answers} answers"
            ) from self._fault
        assert self.answers >= goal, "the victim waits in vain"

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """It asks nothing within the block."""
        with self._turn:
            yield

    def stop(self) -> None:
        self._stopped = True
        self._thread.join()
        self._raw.close()


def connect(
    server: RunningServer,
    source: str = ABUSER,
    *,
    receive_buffer: int = 0,
    trust: ssl.SSLContext | None = None,
) -> Raw:
    """A connection from the address `source`; over TLS, where `trust` is given."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.bind((source, 0))
    sock.connect((server.host, server.port))
    if trust is not None:
        # An end without TLS's own is told from one in order, as an error.
        sock = trust.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)
    return Raw(sock)


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def post(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def push(raw: Raw, data: bytes, quiet: float = 0.5) -> int:
    """Send until all is sent, the peer has taken nothing for `quiet` seconds, or the connection has ended;
    how much was taken."""
    view = memoryview(data)
    sent = 0
    raw.sock.settimeout(quiet)
    try:
        while sent < len(data):
            sent += raw.sock.send(view[sent : sent + 262144])
    except OSError:  # a timeout, or the end
        pass
    raw.sock.settimeout(TIMEOUT)
    return sent


def ended(raws: list[Raw], timeout: float = TIMEOUT) -> list[bytes | None]:
    """Read each until its end: what came, or None where the connection was cut."""
    results: dict[int, bytes | None] = {}
    parts: dict[int, bytearray] = {raw.sock.fileno(): bytearray(raw.buffer) for raw in raws}
    poll = select.poll()
    by_number = {raw.sock.fileno(): raw for raw in raws}
    for number in by_number:
        poll.register(number, select.POLLIN)
    deadline = time.monotonic() + timeout
    while len(results) < len(raws):
        assert time.monotonic() < deadline, f"{len(raws) - len(results)} have not ended"
        for number, _ in poll.poll(1000):
            try:
                data = by_number[number].sock.recv(1 << 20)
            except OSError:
                results[number] = None
            else:
                parts[number] += data
                if data:
                    continue
                results[number] = bytes(parts[number])
            poll.unregister(number)
    return [results[raw.sock.fileno()] for raw in raws]


def flood(raw: Raw, data: bytes, reading: bool) -> contextlib.ExitStack:
    """Send `data` again and again from a thread, and read what is answered where `reading`, until the stack
    that this returns is closed."""

    def send() -> None:
        with contextlib.suppress(OSError):
            while True:
                raw.sock.sendall(data)

    def receive() -> None:
        with contextlib.suppress(OSError):
            while raw.sock.recv(1 << 20):
                pass

    def stop() -> None:
        with contextlib.suppress(OSError):
            raw.sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()

    raw.sock.settimeout(None)
    threads = [threading.Thread(target=target) for target in (send, receive)[: 1 + reading]]
    for thread in threads:
        thread.start()
    stack = contextlib.ExitStack()
    stack.callback(stop)
    return stack


class Scene:
    """A server under abuse: its log, its victim, and the connections of the abuser, which are closed at the
    end."""

    def __init__(self, server: RunningServer, victim: Victim, trust: ssl.SSLContext | None) -> None:
        self.server = server
        self.victim = victim
        self.trust = trust
        self.raws: list[Raw] = []
        #: What the server had before.
        self.descriptors = 0

    def raw(self, source: str = ABUSER, receive_buffer: int = 0, tls: bool = True) -> Raw:
        trust = self.trust if tls else None
        raw = connect(self.server, source, receive_buffer=receive_buffer, trust=trust)
        self.raws.append(raw)
        return raw

    def raws_of(self, number: int, source: str = ABUSER) -> list[Raw]:
        return [self.raw(source) for _ in range(number)]

    def opened(
        self, path: str, *headers: str, source: str = ABUSER, receive_buffer: int = 0
    ) -> Raw:
        """A WebSocket."""
        raw = self.raw(source, receive_buffer)
        raw.upgrade(path, *headers)
        return raw

    def handshake(self, path: str, *headers: str, source: str = ABUSER) -> Raw:
        """A WebSocket that is asked for, and not answered yet."""
        raw = self.raw(source)
        raw.send(handshake(path, *headers))
        return raw

    def report(self) -> dict[str, int]:
        """How many applications began, and what became of them."""
        with connect(self.server, VICTIM, trust=self.trust) as raw:
            result: dict[str, int] = json.loads(raw.request(get("/report")).body)
        return result

    def until(self, word: str, count: int = 1) -> None:
        """Wait until so many applications are said to have come to that."""
        until(lambda: self.report().get(word, 0) >= count, f"{count} {word}: {self.report()}")

    def is_alone(self) -> bool:
        """Whether the server has let go of all connections but the victim's."""
        with self.victim.quiet():
            return len(os.listdir(f"/proc/{self.server.process.pid}/fd")) <= self.descriptors

    def close(self) -> None:
        for raw in self.raws:
            raw.close()


def variant() -> str:
    """The build, and what the environment adds to each command line."""
    build = "compiled" if _extensions.compiled() else "pure"
    return " ".join([build, os.environ.get("ASGIWS_TEST_OPTIONS", "")]).strip()


class Abuse:
    """What the fixture `abuse` gives: call it for a scene with a server of these options."""

    def __init__(self, name: str, threat: str) -> None:
        self.name = name
        self.threat = threat

    @contextlib.contextmanager
    def __call__(
        self,
        *options: str,
        app: str = "app:app",
        growth: int = GROWTH,
        http: bool = True,
        reopens: bool = False,
        tls: Certificate | None = None,
        descriptors: int = 0,
        finish: Callable[[RunningServer], contextlib.AbstractContextManager[Any]] | None = None,
    ) -> Iterator[Scene]:
        """Serve `app`; when the block ends, the abuser leaves, and what is left must be what was before.

        `growth` bounds the memory, in bytes, at the peak and afterwards. The victim makes requests where
        `http`, and `reopens` its WebSocket. With `descriptors`, the process may have so many more than it has
        when it starts.
        """
        trust = tls.trust if tls else None
        fixed = (
            "--no-access-log",
            "--timeout-graceful-shutdown",
            "2",
            *(tls.options if tls else ()),
        )
        with serve(app, *fixed, *options, cwd=HERE) as server:
            if descriptors:
                _bound_descriptors(server.process.pid, descriptors)
            victim = Victim(server, trust, http, reopens)
            scene = Scene(server, victim, trust)
            watch: Watch | None = None
            try:
                victim.served(10)
                _warm_up(server, trust)
                victim.served(2)
                with victim.quiet():
                    until(_steady(server.process.pid), "descriptors are steady")
                    watch = Watch(server.process.pid)
                    before = Sample(watch.memory_before, watch.most_descriptors, victim.tasks)
                scene.descriptors = before.descriptors
                victim.most_tasks, victim.slowest = victim.tasks, 0.0
                asked = victim.answers
                yield scene
                victim.served(3)
                scene.close()

                def is_over() -> bool:
                    victim.served(1)
                    with victim.quiet():
                        now = watch.descriptors(), victim.tasks
                    return now[0] <= before.descriptors and now[1] <= before.tasks

                until(is_over, f"descriptors and tasks are back at {before[1:]}")
                with victim.quiet():
                    after = Sample(watch.memory(), watch.descriptors(), victim.tasks)
                    peak = Sample(watch.most_memory(), watch.most_descriptors, victim.most_tasks)
            finally:
                scene.close()
                victim.stop()
                if watch is not None:
                    watch.stop()
            if finish is not None:
                with finish(server):
                    assert server.stop() == 0
        _record(
            self.name,
            {
                "threat": self.threat,
                "options": " ".join(options),
                "before": before._asdict(),
                "peak": peak._asdict(),
                "after": after._asdict(),
                "answers": victim.answers - asked,
                "slowest": victim.slowest,
            },
        )
        assert victim.slowest < PATIENCE, f"the victim waited {victim.slowest:.1f} seconds"
        for which in (peak, after):
            grown = which.memory - before.memory
            assert grown <= growth, f"memory grew by {grown / MEGABYTE:.1f} MiB: {before} {which}"


def _warm_up(server: RunningServer, trust: ssl.SSLContext | None) -> None:
    """Have the server pause reading, and answer at once: what it needs for either it makes once, and keeps."""
    with connect(server, VICTIM, trust=trust) as raw:
        raw.send(post("/late", "Content-Length: 300000") + bytes(300000))
        assert raw.response().body == b"300000"
        raw.send(get("/tasks"))
        assert raw.response().status == 200


def _bound_descriptors(pid: int, more: int) -> None:
    used = len(os.listdir(f"/proc/{pid}/fd"))
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + more, hard))


def _steady(pid: int) -> Callable[[], bool]:
    last = -1

    def is_steady() -> bool:
        nonlocal last
        before, last = last, len(os.listdir(f"/proc/{pid}/fd"))
        return before == last

    return is_steady


def _record(name: str, row: dict[str, Any]) -> None:
    """Put a test's measurements into RESULTS, which the workers of a run share, and write the table anew."""
    from tests.abuse.report import write

    RESULTS.parent.mkdir(exist_ok=True)
    with open(RESULTS.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
        results.setdefault(variant(), {})[name] = row
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", "utf-8")
        write(results)
