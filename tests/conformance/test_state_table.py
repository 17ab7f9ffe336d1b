"""A connection is driven through every cell of the table of states, and does what the cell says.

Rules of this file:
- `Model` foretells, from the table and the page on behaviour alone, what the client sees and what the
  application is told; the real session is looked at from these two sides only. After each step both must be the
  same.
- A cell counts as visited once its trigger came in its state and the session did as foretold. A cell that says
  "error" is visited when the trigger came and changed nothing: the application hears of its mistake, octets
  that come before the handshake is answered wait, a check that comes early does nothing.
- Time is the machine's own: the loop's clock stands still until a rule moves it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from asgiws.asgi.errors import ApplicationError, ClientDisconnected
from asgiws.drivers.websocket import ANSWER_GRACE
from asgiws.websocket.states import FINAL, TRANSITIONS, Effect, State, Trigger
from tests.support.loops import Loop, settle
from tests.support.properties import THOROUGH
from tests.support.websocket_peer import ACCEPT, Peer, Script, disconnect, received, send_text
from tests.support.wire import (
    BINARY,
    CONT,
    PING,
    PONG,
    TEXT,
    client_frame,
    close_frame,
    server_frames,
)

Cell = tuple[State, Trigger]

CELLS = [(state, trigger) for state in State for trigger in Trigger]
#: Seconds.
PING_INTERVAL, PING_TIMEOUT, CLOSE_TIMEOUT = 20.0, 7.0, 5.0
#: Where the runs of the machine begin: most of them where most can happen.
BEGINNINGS = [*State, State.CONNECTING, State.CLOSING, *[State.OPEN] * 4]
#: An application that has not answered the handshake for longer is another test's matter.
PATIENCE = 29.0

TEXT_OUT, CLOSE_OUT, PING_OUT, PONG_OUT = 0x81, 0x88, 0x89, 0x8A


class End(NamedTuple):
    """How the client ends the connection, or is at fault."""

    trigger: Trigger
    code: int
    reason: str


class Model:
    """What must be seen: `status`, `frames` and `tcp` by the client, `told` by the application."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.state = State.CONNECTING
        self.frames: list[tuple[int, bytes]] = []
        self.status = 0
        self.tcp = ""
        self.told: list[dict[str, Any]] = []
        #: For `receive()`: what waits, and whether the application does.
        self.queue: list[dict[str, Any]] = [{"type": "websocket.connect"}]
        self.waiting = False
        self.owes_turn = False
        self.app_ended = False
        #: Frames that came before the handshake was answered, and an end behind them.
        self.held: list[tuple[str, bytes]] = []
        self.eof = False
        self.fragment: bytes | None = None
        self.end: End | None = None
        self.grace_at = self.close_at = self.pong_at = 0.0
        self.ping_at = 0.0
        self.pings = 0
        self.heard = False

    # The table.

    def apply(self, trigger: Trigger, code: int = 1006, reason: str = "") -> Effect:
        self.state, effect = TRANSITIONS[self.state, trigger]
        if Effect.SEND_CLOSE in effect:
            body = b"" if code == 1005 else code.to_bytes(2, "big") + reason.encode()
            self.write(CLOSE_OUT, body)
        if Effect.START_DEADLINE in effect:
            self.close_at = self.now + CLOSE_TIMEOUT
        if Effect.END_TCP in effect:
            self.tcp = self.tcp or "close"
        if Effect.DISCONNECT in effect:
            ours = trigger is Trigger.CLOSE
            self.queue.append(disconnect(1006 if ours else code, "" if ours else reason))
        return effect

    def write(self, first: int, payload: bytes) -> None:
        if not self.tcp:
            self.frames.append((first, payload))

    def take_effect(self) -> None:
        """What the client ended the connection with."""
        assert self.end is not None
        end, self.end = self.end, None
        self.apply(*end)

    def deliver(self) -> None:
        """To an application that waits."""
        if self.waiting and self.queue:
            self.waiting = False
            self.take()

    def take(self) -> None:
        event = self.queue.pop(0)
        if event["type"] == "websocket.receive":
            self.owes_turn = True
        self.told.append(event)

    # The client.

    def client_sends(self, frames: list[tuple[str, bytes]]) -> None:
        self.heard = True
        if self.state is State.CONNECTING:
            self.held += frames
            return
        for kind, payload in frames:
            self.frame(kind, payload)
        self.after_a_read()

    def after_a_read(self) -> None:
        self.deliver()
        if self.end is None:
            return
        waits = any(event["type"] == "websocket.receive" for event in self.queue)
        if self.state is State.OPEN and (waits or self.owes_turn):
            self.grace_at = self.grace_at or self.now + ANSWER_GRACE
        else:
            self.take_effect()
            self.deliver()

    def frame(self, kind: str, payload: bytes) -> None:
        if self.end is not None or self.state in FINAL:
            return  # dropped
        if kind in ("text", "binary", "fragment", "continuation"):
            self.data_frame(kind, payload)
        elif kind == "ping":
            self.write(PONG_OUT, payload)
        elif kind == "pong":
            if self.pong_at and payload == self.pings.to_bytes(4, "big"):
                self.pong_at = 0.0
                self.ping_at = self.now + PING_INTERVAL
        elif kind == "close":
            code = int.from_bytes(payload[:2], "big") if payload else 1005
            self.end = End(Trigger.CLOSE_FRAME, code, payload[2:].decode())
        elif kind == "too big" and self.fragment is not None:
            self.end = FAULTS["message within a message"]
        else:
            self.end = FAULTS[kind]

    def data_frame(self, kind: str, payload: bytes) -> None:
        if kind == "continuation":
            if self.fragment is None:
                self.end = FAULTS["continuation of nothing"]
                return
            payload, self.fragment = self.fragment + payload, None
        elif self.fragment is not None:
            self.end = FAULTS["message within a message"]
            return
        elif kind == "fragment":
            self.fragment = payload
            return
        if self.state is State.OPEN:
            self.queue.append(received(payload if kind == "binary" else payload.decode()))

    def client_ends_its_side(self) -> None:
        if self.state is State.CONNECTING and self.held:
            self.eof = True
        elif self.end is None:
            self.tcp = self.tcp or "close"
            self.lost()

    def lost(self) -> None:
        self.tcp = self.tcp or "lost"
        if self.end is not None:
            self.take_effect()
        else:
            self.apply(Trigger.LOST)
        self.deliver()

    # The application.

    def app_receives(self) -> None:
        if not self.queue:
            self.owes_turn = False
            if self.end is not None:
                self.take_effect()
        if self.queue:
            self.take()
        else:
            self.waiting = True

    def app_accepts(self) -> bool:
        if self.state is not State.CONNECTING:
            return False
        self.apply(Trigger.ACCEPT)
        self.status = 101
        self.ping_at = self.now + PING_INTERVAL
        for kind, payload in self.held:
            self.frame(kind, payload)
        if self.eof and self.end is None:
            self.tcp = "close"
        self.after_a_read()
        return True

    def app_sends(self, content: str) -> bool:
        if self.state is not State.OPEN:
            return False
        self.write(TEXT_OUT, content.encode())
        return True

    def app_closes(self, code: int, reason: str) -> bool:
        if self.state is State.CONNECTING:
            self.refuse(403)
        elif self.state is State.OPEN:
            self.close(code, reason)
        return True

    def app_ends(self, code: int, reason: str) -> None:
        self.app_ended = True
        self.waiting = False
        if self.state not in FINAL:
            self.queue.clear()
        if self.state is State.CONNECTING:
            self.refuse(500)
        elif self.end is not None and self.state is State.OPEN:
            self.take_effect()
        else:
            self.close(code, reason)

    def refuse(self, status: int) -> None:
        self.status = status
        self.apply(Trigger.CLOSE)
        self.deliver()

    def close(self, code: int, reason: str) -> None:
        self.apply(Trigger.CLOSE, code, reason)
        if self.end is not None:
            self.take_effect()
        self.deliver()

    # The server, and time.

    def server_stops(self) -> None:
        if self.state is State.CONNECTING:
            self.refuse(503)
        else:
            self.close(1012, "service restart")

    def deadline(self) -> float:
        """When something has to happen by itself; 0.0 for never."""
        if self.state is State.CLOSING:
            return self.close_at
        if self.state is State.OPEN:
            return self.grace_at if self.end is not None else self.pong_at or self.ping_at
        return 0.0

    def check(self) -> None:
        deadline = self.deadline()
        if not deadline or self.now < deadline:
            return
        if self.state is State.CLOSING:
            self.apply(Trigger.DEADLINE)
        elif self.end is not None:
            self.take_effect()
        elif not self.pong_at:
            self.pings += 1
            self.write(PING_OUT, self.pings.to_bytes(4, "big"))
            self.heard = False
            self.ping_at = self.now + PING_INTERVAL
            self.pong_at = self.now + PING_TIMEOUT
        elif self.heard:
            self.heard = False
            self.pong_at = self.now + PING_TIMEOUT
        else:
            self.apply(Trigger.FAILURE, 1011, "keepalive ping timeout")
        self.deliver()


FAULTS = {
    "not masked": End(Trigger.FAILURE, 1002, "frame from a client is not masked"),
    "not UTF-8": End(Trigger.FAILURE, 1007, "text message is not UTF-8"),
    "too big": End(Trigger.FAILURE, 1009, "message of more than 100 bytes"),
    "continuation of nothing": End(
        Trigger.FAILURE, 1002, "continuation frame without a message to continue"
    ),
    "message within a message": End(
        Trigger.FAILURE, 1002, "new message before the last fragment of another"
    ),
}
WIRE: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda payload: client_frame(TEXT, payload),
    "binary": lambda payload: client_frame(BINARY, payload),
    "fragment": lambda payload: client_frame(TEXT, payload, fin=False),
    "continuation": lambda payload: client_frame(CONT, payload),
    "ping": lambda payload: client_frame(PING, payload),
    "pong": lambda payload: client_frame(PONG, payload),
    "close": lambda payload: (
        close_frame(int.from_bytes(payload[:2], "big"), payload[2:]) if payload else close_frame()
    ),
    "not masked": lambda payload: client_frame(PING, payload, key=None),
    "not UTF-8": lambda payload: client_frame(CONT, b"\xff", key=None),
    "too big": lambda payload: client_frame(BINARY, length=101),
}


class Machine(RuleBasedStateMachine):
    """The session beside its model."""

    #: The cells that were visited by any run.
    visited: set[Cell] = set()  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.numbers = iter(range(1, 10000))
        self.begin()

    def begin(self) -> None:
        """A connection whose handshake was read."""
        self.model = Model()
        #: Steps since it came to its end.
        self.after_its_end = 0
        self.began = self.model.now
        self.loop = Loop("asyncio")
        self.loop.loop.time = lambda: self.model.now  # type: ignore[method-assign]
        self.app = Script()
        self.peer: Peer = self.loop.run(self.connect())
        self.wire = b""
        self.compare()

    async def connect(self) -> Peer:
        peer = Peer(
            self.app,
            ws_ping_interval=PING_INTERVAL,
            ws_ping_timeout=PING_TIMEOUT,
            ws_close_timeout=CLOSE_TIMEOUT,
            ws_max_size=100,
            ws_per_message_deflate=False,
        )
        await settle()
        return peer

    @initialize(state=st.sampled_from(BEGINNINGS), busy=st.booleans())
    def begin_in(self, state: State, busy: bool) -> None:
        """Most ways from the beginning are over before they come far. A `busy` application has a message."""
        for way in WAYS[state]:
            way(self)
            if busy and way is Machine.app_accepts:
                self.app_receives()
                self.client_sends(["text"])
                self.app_receives()
        if not busy:
            assert self.model.state is state

    # One step, and what came of it.

    def step(
        self,
        trigger: Trigger | None,
        foretell: Callable[[], object],
        function: Callable[[], object],
    ) -> None:
        """Do it to the session, from a callback of the loop as its outlet does; compare it with the model."""
        state = self.model.state
        self.after_its_end += state in FINAL
        self.loop.run(self.run(function))
        foretell()
        self.compare()
        if trigger is not None:
            self.visited.add((state, trigger))

    async def run(self, function: Callable[[], object]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def callback() -> None:
            try:
                function()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(None)

        asyncio.get_running_loop().call_soon(callback)
        await future
        await settle()

    def order(
        self, trigger: Trigger | None, message: dict[str, Any], foretell: Callable[[], bool]
    ) -> None:
        """Have the application send something, which the model says is allowed or not."""
        results: list[asyncio.Future[Any]] = []
        allowed: list[bool] = []
        self.step(
            trigger,
            lambda: allowed.append(foretell()),
            lambda: results.append(self.app.order("send", message)),
        )
        assert results[0].done()
        error = results[0].exception()
        assert (error is None) == allowed[0], error
        assert error is None or isinstance(error, (ApplicationError, ClientDisconnected))

    def compare(self) -> None:
        model, outlet = self.model, self.peer.outlet
        self.wire += outlet.take()
        head, _, rest = self.wire.partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1]) if head else 0
        assert status == model.status
        if status == 101:
            assert server_frames(rest) == model.frames
        assert outlet.ended == model.tcp
        assert self.app.told == model.told
        assert self.peer.task.done() == model.app_ended
        deadline = model.deadline()
        if deadline:
            assert min(outlet.check_times) <= deadline, "nobody asks for the moment"

    def may_act(self) -> bool:
        return not self.model.app_ended and not self.model.waiting and not self.is_over()

    def may_come(self) -> bool:
        """Octets may."""
        return not self.peer.outlet.lost and not self.is_over()

    def is_over(self) -> bool:
        return self.after_its_end > 4

    def is_told(self) -> bool:
        told = self.model.told
        return bool(told) and told[-1]["type"] == "websocket.disconnect"

    # The application.

    @precondition(lambda self: self.may_act() and not self.is_told())
    @rule()
    def app_receives(self) -> None:
        self.step(None, self.model.app_receives, lambda: self.app.order("receive"))

    @precondition(may_act)
    @rule()
    def app_accepts(self) -> None:
        self.order(Trigger.ACCEPT, ACCEPT, self.model.app_accepts)
        if self.model.eof and self.peer.outlet.ended and not self.peer.outlet.lost:
            self.connection_is_lost()  # the stream had waited for what the client sent before

    @precondition(may_act)
    @rule()
    def app_sends(self) -> None:
        content = f"answer {next(self.numbers)}"
        self.order(None, send_text(content), lambda: self.model.app_sends(content))

    @precondition(may_act)
    @rule(code=st.sampled_from([1000, 3000, 4999]), reason=st.sampled_from(["", "enough"]))
    def app_closes(self, code: int = 4000, reason: str = "enough") -> None:
        message = {"type": "websocket.close", "code": code, "reason": reason}
        self.order(Trigger.CLOSE, message, lambda: self.model.app_closes(code, reason))

    def app_ends(self, raises: bool) -> None:
        code, reason = (1011, "internal error") if raises else (1000, "")
        kind = "raise" if raises else "return"
        self.step(
            Trigger.CLOSE,
            lambda: self.model.app_ends(code, reason),
            lambda: self.app.order(kind, LookupError("the application's")),
        )

    def app_is_cancelled(self) -> None:
        # Before 3.11 a task does not know that it was cancelled, and it counts as an exception.
        reason = "" if sys.version_info >= (3, 11) else "internal error"
        self.step(
            Trigger.CLOSE,
            lambda: self.model.app_ends(1011, reason),
            lambda: self.peer.task.cancel(),
        )

    # The client.

    def feed(self, trigger: Trigger | None, frames: list[tuple[str, bytes]]) -> None:
        """Octets arrive; also behind the end, when some may be on their way still."""
        wire = b"".join(WIRE[kind](payload) for kind, payload in frames)
        buffer = bytearray(wire)
        self.step(
            trigger,
            lambda: self.model.client_sends(frames),
            lambda: self.peer.session.receive_data(buffer, 0, len(buffer)),
        )

    def payload(self, kind: str) -> bytes:
        """Messages are numbered, so that one that is lost, doubled or out of its order shows."""
        if kind == "pong":
            return self.model.pings.to_bytes(4, "big")
        return f"{kind} {next(self.numbers)}".encode()

    @precondition(may_come)
    @rule(
        kinds=st.lists(
            st.sampled_from(["text", "text", "binary", "ping", "pong", "fragment", "continuation"]),
            min_size=1,
            max_size=3,
        )
    )
    def client_sends(self, kinds: list[str]) -> None:
        self.feed(None, [(kind, self.payload(kind)) for kind in kinds])

    @precondition(may_come)
    @rule(
        before=st.sampled_from([(), (), ("text",), ("ping", "text")]),
        body=st.sampled_from([b"", b"\x03\xe8", b"\x0f\xa0bye"]),
        behind=st.booleans(),
    )
    def client_closes(
        self,
        before: tuple[str, ...] = (),
        body: bytes = b"\x03\xe8bye",
        behind: bool = False,
    ) -> None:
        frames = [(kind, self.payload(kind)) for kind in before]
        frames.append(("close", body))
        if behind:
            frames += [("text", b"dropped"), ("close", b"\x03\xe9")]
        self.feed(Trigger.CLOSE_FRAME, frames)

    @precondition(may_come)
    @rule(
        before=st.sampled_from([(), (), ("text",), ("binary", "ping")]),
        fault=st.sampled_from(["not masked", "too big"]),
    )
    def client_breaks_the_rules(
        self, before: tuple[str, ...] = (), fault: str = "not masked"
    ) -> None:
        frames = [(kind, self.payload(kind)) for kind in before]
        self.feed(Trigger.FAILURE, [*frames, (fault, b"")])

    def client_ends_its_side(self) -> None:
        """A stream whose client has sent its last is closed, unless something is still to be done with it."""

        def end() -> None:
            self.peer.session.receive_eof()
            if self.peer.outlet.ended:
                self.peer.outlet._lose()

        trigger = Trigger.LOST if not self.model.held and self.model.end is None else None
        self.step(trigger, self.model.client_ends_its_side, end)

    def connection_is_lost(self) -> None:
        trigger = Trigger.LOST if self.model.end is None else None
        self.step(trigger, self.model.lost, self.peer.outlet._lose)

    # The server.

    def server_stops(self) -> None:
        self.step(Trigger.CLOSE, self.model.server_stops, self.peer.session.shutdown)

    @precondition(
        lambda self: (
            not self.peer.outlet.lost
            and (
                self.model.state is not State.CONNECTING
                or self.model.now < self.began + PATIENCE - 6
            )
        )
    )
    @rule(seconds=st.sampled_from([0.0, 1.0, 6.0, PING_INTERVAL]), early=st.booleans())
    def time_passes(self, seconds: float = 6.0, early: bool = True) -> None:
        """The ticker calls when it was asked to, or earlier."""
        self.model.now += seconds
        times = self.peer.outlet.check_times
        if not early and not (times and min(times) <= self.model.now):
            return
        times.clear()

        def check() -> None:
            when = self.peer.session.check(self.model.now)
            if when:
                times.append(when)

        closing = self.model.state is State.CLOSING
        due = not closing or self.model.now >= self.model.close_at
        self.step(Trigger.DEADLINE if due else None, self.model.check, check)

    @precondition(is_over)
    @rule(state=st.sampled_from(BEGINNINGS), busy=st.booleans())
    def another_connection(self, state: State, busy: bool) -> None:
        self.teardown()
        self.begin()
        self.begin_in(state, busy)

    # What ends it is one rule, so that it does not come too often.

    @precondition(lambda self: not self.is_over())
    @rule(how=st.sampled_from(["returns", "raises", "cancelled", "eof", "lost", "stop"]))
    def somebody_ends_it(self, how: str) -> None:
        outlet, model = self.peer.outlet, self.model
        if how in ("returns", "raises"):
            if self.may_act():
                self.app_ends(how == "raises")
        elif how == "cancelled":
            if not model.app_ended:
                self.app_is_cancelled()
        elif how == "lost":
            if not outlet.lost:
                self.connection_is_lost()
        elif not outlet.ended:
            if how == "stop":
                self.server_stops()
            elif not model.eof:
                self.client_ends_its_side()

    # The end of a run.

    def teardown(self) -> None:
        try:
            if not self.peer.outlet.lost:
                self.connection_is_lost()
            assert self.model.state in FINAL
            if not self.model.app_ended:
                while not self.is_told():
                    assert not self.model.waiting, "the application waits, and is not told"
                    self.app_receives()
                self.app_ends(False)
            self.loop.run(self.drain())
        except BaseException:
            self.loop.complaints.clear()  # they come of what has failed already
            raise
        finally:
            self.loop.close()

    async def drain(self) -> None:
        """The application, or what outlived it, is told once, and then no more; no task is left."""
        while not self.is_told():
            self.model.app_receives()
            assert await self.app.receive() == self.model.told[-1]
        with pytest.raises(ApplicationError):
            await self.app.receive()
        kinds = [event["type"] for event in self.model.told]
        assert kinds.count("websocket.disconnect") == 1
        await settle()
        assert not self.peer.runtime.tasks
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


WAYS: dict[State, list[Callable[[Machine], None]]] = {
    State.CONNECTING: [],
    State.OPEN: [Machine.app_accepts],
    State.CLOSING: [Machine.app_accepts, Machine.app_closes],
    State.REFUSED: [Machine.app_closes],
    State.FAILED: [Machine.app_accepts, Machine.client_breaks_the_rules],
    State.CLOSED: [Machine.app_accepts, Machine.client_closes],
}
TRIGGERS: dict[Trigger, Callable[[Machine], None]] = {
    Trigger.ACCEPT: Machine.app_accepts,
    Trigger.CLOSE: Machine.app_closes,
    Trigger.CLOSE_FRAME: Machine.client_closes,
    Trigger.FAILURE: Machine.client_breaks_the_rules,
    Trigger.LOST: Machine.connection_is_lost,
    Trigger.DEADLINE: Machine.time_passes,
}


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell[0].name}-{cell[1].name}")
def test_each_cell(cell: Cell) -> None:
    """The shortest way to it; a state or a trigger that is new to the table has none, and fails here."""
    state, trigger = cell
    machine = type("Walk", (Machine,), {"visited": set()})()
    try:
        for way in WAYS[state]:
            way(machine)
        assert machine.model.state is state
        TRIGGERS[trigger](machine)
        assert cell in machine.visited
        target = TRANSITIONS[cell].target if cell in TRANSITIONS else state
        assert machine.model.state is target
    finally:
        machine.teardown()


def test_any_way_through_the_table() -> None:
    visited: set[Cell] = set()
    run_state_machine_as_test(
        type("Ways", (Machine,), {"visited": visited}),
        settings=settings(
            deadline=None,
            max_examples=250 if THOROUGH else 100,
            stateful_step_count=50,
            derandomize=True,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    # The test above has been in every cell; by chance, with a few examples, one or two may be missed.
    assert len(visited) >= len(CELLS) * 3 // 4
