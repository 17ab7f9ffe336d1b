"""What the connections of a worker share of permessage-deflate: settings, and memory under one cap.

The other side of each connection is zlib itself, which knows nothing of what the server drops.
"""

from __future__ import annotations

import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.websocket.compression import Compression, Settings
from asgiws.websocket.connection import WebSocketConnection
from asgiws.websocket.deflate import Deflate, Parameters, negotiate
from asgiws.websocket.extensions import parse
from asgiws.websocket.states import Trigger
from asgiws.websocket.zlib_backend import Backend, choose
from tests.support.properties import quick

KEEP = Parameters(False, False, 12, 12)
TAIL = b"\x00\x00\xff\xff"
TEXT = ("compressed again and again " * 20).encode()
NOISE = random.Random(7).randbytes(600)
NO_LIMIT = 1 << 30


@pytest.fixture(scope="module", params=["zlib", "zlib-ng"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return choose(request.param)


class Peer:
    """The client of one connection, and the connection's compression."""

    def __init__(self, shared: Compression, parameters: Parameters = KEEP) -> None:
        self.deflate = Deflate(parameters, shared)
        self._parameters = parameters
        self._in = zlib.decompressobj(-15)
        self._out = zlib.compressobj(wbits=-max(9, parameters.client_max_window_bits))

    def takes(self, payload: bytes) -> bytes:
        """What the client makes of a payload."""
        if self._parameters.server_no_context_takeover:
            self._in = zlib.decompressobj(-15)
        return self._in.decompress(payload + TAIL)

    def sends(self, message: bytes) -> bytes:
        """A message from the client; what the server makes of it."""
        if self._parameters.client_no_context_takeover:
            self._out = zlib.compressobj(wbits=-max(9, self._parameters.client_max_window_bits))
        payload = self._out.compress(message) + self._out.flush(zlib.Z_SYNC_FLUSH)
        return self.deflate.inflate(payload[:-4], True, NO_LIMIT)


def room_for(backend: Backend, contexts: int) -> Settings:
    return Settings(memory=contexts * backend.compressor_size(12, 5) + 100)


def test_the_least_recently_used_context_is_dropped(backend: Backend) -> None:
    shared = Compression(room_for(backend, 2), backend)
    one, two, three = (Peer(shared) for _ in range(3))
    for peer in (one, two, one):
        assert peer.takes(peer.deflate.compress(NOISE)) == NOISE
    assert three.takes(three.deflate.compress(NOISE)) == NOISE
    assert [peer.deflate.independent for peer in (one, two, three)] == [False, True, False]
    # What kept its context makes little of the same again, what lost it does not; all is understood.
    for peer, kept in ((one, True), (three, True), (two, False), (two, True), (one, False)):
        payload = peer.deflate.compress(NOISE)
        assert (len(payload) < 60) == kept
        assert peer.takes(payload) == NOISE
    assert shared.held <= shared.settings.memory


def test_without_memory_every_message_stands_by_itself(backend: Backend) -> None:
    shared = Compression(Settings(memory=0), backend)
    peer = Peer(shared)
    first, second = peer.deflate.compress(NOISE), peer.deflate.compress(NOISE)
    assert first == second
    assert peer.takes(first) + peer.takes(second) == NOISE * 2
    # One compressor serves all of them.
    assert shared.held == backend.compressor_size(12, 5)


def test_a_cap_that_clients_fill_leaves_no_context(backend: Backend) -> None:
    """A message on its way needs its inflater, whatever the cap; our contexts make room for it."""
    shared = Compression(room_for(backend, 3), backend)
    writers = [Peer(shared) for _ in range(3)]
    for peer in writers:
        peer.deflate.compress(TEXT)
    readers = [Peer(shared) for _ in range(40)]
    for peer in readers:
        assert peer.sends(TEXT) == TEXT
    assert all(peer.deflate.independent for peer in writers)
    assert shared.held == 40 * backend.inflater_size(12) > shared.settings.memory
    for peer in writers:
        assert peer.takes(peer.deflate.compress(TEXT)) == TEXT
        assert peer.deflate.independent
    for peer in readers:
        peer.deflate.release()
    assert shared.held == backend.compressor_size(12, 5)  # the one without a context
    writers[0].deflate.compress(TEXT)
    assert not writers[0].deflate.independent


def test_an_inflater_is_held_no_longer_than_it_is_needed(backend: Backend) -> None:
    shared = Compression(Settings(), backend)
    keeping, dropping = Peer(shared), Peer(shared, Parameters(False, True, 12, 15))
    assert shared.held == 0
    assert dropping.sends(TEXT) == TEXT
    assert shared.held == 0
    half = zlib.compressobj(wbits=-15)
    piece = half.compress(TEXT) + half.flush(zlib.Z_SYNC_FLUSH)
    dropping.deflate.inflate(piece, False, NO_LIMIT)
    assert shared.held == backend.inflater_size(15)
    dropping.deflate.inflate(b"\x00", True, NO_LIMIT)
    assert shared.held == 0
    for _ in range(2):
        assert keeping.sends(TEXT) == TEXT
        assert shared.held == backend.inflater_size(12)
    # Behind a final block there is nothing to refer to.
    final = zlib.compressobj(wbits=-12)
    ended = final.compress(b"x") + final.flush() + b"\x00"
    assert Peer(shared).deflate.inflate(ended, True, NO_LIMIT) == b"x"


def test_half_of_the_cap_is_promised_to_clients(backend: Backend) -> None:
    """Then clients are told not to keep their windows, until others have gone."""
    size = backend.inflater_size(12)
    shared = Compression(Settings(memory=6 * size), backend)
    offers = parse([b"permessage-deflate; client_max_window_bits"])

    def connect() -> tuple[bool, Deflate]:
        found = negotiate(offers, shared.settings, shared.may_promise)
        assert found is not None
        said = ("client_no_context_takeover", None) in found[0].parameters
        assert said == found[1].client_no_context_takeover
        return not said, Deflate(found[1], shared)

    opened = [connect() for _ in range(5)]
    assert [keeps for keeps, _ in opened] == [True, True, True, False, False]
    assert shared.promised == 3 * size
    opened[4][1].release()
    assert connect()[0] is False
    opened[0][1].release()
    opened[0][1].release()
    assert shared.promised == 2 * size
    assert connect()[0] is True
    assert shared.promised == 3 * size


def test_what_was_held_for_a_connection_is_given_back_at_its_end(backend: Backend) -> None:
    shared = Compression(Settings(), backend)
    for trigger in (Trigger.LOST, Trigger.CLOSE_FRAME, Trigger.FAILURE):
        connection = WebSocketConnection()
        peer = Peer(shared)
        connection.open(NO_LIMIT, peer.deflate)
        connection.apply(Trigger.ACCEPT)
        connection.text(TEXT.decode())
        peer.sends(TEXT)
        assert shared.held == backend.compressor_size(12, 5) + backend.inflater_size(12)
        assert shared.promised == backend.inflater_size(12)
        connection.apply(trigger)
        assert (shared.held, shared.promised, len(shared.contexts)) == (0, 0, 0)


def test_short_messages_go_as_they_are() -> None:
    connection = WebSocketConnection()
    connection.open(NO_LIMIT, Deflate(KEEP, Compression(Settings(min_size=100))))
    connection.apply(Trigger.ACCEPT)
    rsv1 = {
        size: bool(b"".join(connection.binary(bytes(size)))[0] & 0x40)
        for size in (0, 1, 99, 100, 101, 10_000)
    }
    assert rsv1 == {0: False, 1: False, 99: False, 100: True, 101: True, 10_000: True}
    # Octets count, not characters.
    assert connection.text("µ" * 49)[0][0] == 0x81
    assert connection.text("µ" * 50)[0][0] == 0xC1


def test_an_uncompressed_message_leaves_the_context_alone(backend: Backend) -> None:
    # RFC 7692, 7.2.3.2: uncompressed messages "don't affect the LZ77 sliding window"
    connection = WebSocketConnection()
    peer = Peer(Compression(Settings(min_size=100), backend))
    connection.open(NO_LIMIT, peer.deflate)
    connection.apply(Trigger.ACCEPT)
    sizes = []
    for message in (NOISE, b"short", NOISE, b"", NOISE):
        wire = b"".join(connection.binary(message))
        if wire[0] & 0x40:
            payload = wire[2 if wire[1] < 126 else 4 :]
            sizes.append(len(payload))
            assert peer.takes(payload) == message
    assert sizes[0] > 600
    assert sizes[1] < 60
    assert sizes[2] < 60


# The options


def test_the_level_is_obeyed(backend: Backend) -> None:
    message = "".join(random.Random(4).choices("abcdef ", k=6000))
    sizes = [
        len(Deflate(KEEP, Compression(Settings(level=level), backend)).compress(message.encode()))
        for level in (1, 9)
    ]
    assert sizes[1] < sizes[0]


def test_the_window_is_obeyed(backend: Backend) -> None:
    for bits in range(9, 16):
        far = random.Random(bits).randbytes((1 << bits) - 300)
        deflate = Deflate(Parameters(False, False, bits, 15), Compression(Settings(), backend))
        first, second = deflate.compress(far), deflate.compress(far[:200])
        # Within the window it is found, and a client that has no more understands it.
        assert len(second) < 60
        client = zlib.decompressobj(-bits)
        assert client.decompress(first + TAIL) == far
        assert client.decompress(second + TAIL) == far[:200]
        # Beyond it is not looked for.
        deflate.compress(random.Random(1).randbytes(1 << bits))
        assert len(deflate.compress(far[:100])) > 90


@pytest.mark.parametrize("bits", [9, 12, 15])
def test_the_memory_is_what_is_counted(backend: Backend, bits: int) -> None:
    """As the allocator of Python saw it, for both directions and several memory levels."""
    parameters = Parameters(False, False, bits, bits)
    client = zlib.compressobj(wbits=-9)
    payload = (client.compress(NOISE) + client.flush(zlib.Z_SYNC_FLUSH))[:-4]
    for memory_level in (1, 5, 9):
        settings = Settings(memory_level=memory_level, memory=1 << 30)
        shared = Compression(settings, backend)
        many = [Deflate(parameters, shared) for _ in range(20)]
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for deflate in many:
                deflate.compress(NOISE)
            compressors = tracemalloc.get_traced_memory()[0] - before
            counted = shared.held
            for deflate in many:
                deflate.inflate(payload, True, NO_LIMIT)
            inflaters = tracemalloc.get_traced_memory()[0] - before - compressors
        finally:
            tracemalloc.stop()
        assert compressors == pytest.approx(counted, rel=0.1)
        assert inflaters == pytest.approx(shared.held - counted, rel=0.15)


def test_the_cap_holds_for_the_memory_itself(backend: Backend) -> None:
    shared = Compression(Settings(memory=2 << 20), backend)
    peers = [Peer(shared) for _ in range(300)]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for turn in range(3):
            for peer in peers:
                peer.deflate.compress(TEXT + bytes([turn]))
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert (1 << 20) < held < 1.1 * (2 << 20)


# A message for many


def test_a_message_compressed_alone_is_the_same_everywhere(backend: Backend) -> None:
    shared = Compression(Settings(), backend)
    peers = [
        Peer(shared),
        Peer(shared, KEEP._replace(server_no_context_takeover=True)),
        Peer(shared, KEEP._replace(client_no_context_takeover=True, client_max_window_bits=15)),
        Peer(shared),
    ]
    assert len({peer.deflate.key for peer in peers}) == 1
    assert Peer(shared, KEEP._replace(server_max_window_bits=9)).deflate.key != peers[0].deflate.key
    assert peers[0].takes(peers[0].deflate.compress(NOISE)) == NOISE
    assert [peer.deflate.independent for peer in peers] == [False, True, True, True]
    made = [peer.deflate.compress_alone(TEXT) for peer in peers]
    assert len(set(made)) == 1
    assert all(peer.deflate.independent for peer in peers)
    assert [peer.takes(payload) for peer, payload in zip(peers, made, strict=True)] == [TEXT] * 4


@given(st.data())
@quick
def test_whatever_is_dropped_or_shared_every_client_understands(
    backend: Backend, data: st.DataObject
) -> None:
    """Any order of messages, shared ones, contexts forgotten, connections ended; under any cap."""
    contexts = data.draw(st.integers(0, 3))
    shared = Compression(room_for(backend, contexts), backend)
    peers = [
        Peer(shared, Parameters(alone, drop, bits, 12))
        for alone, drop, bits in (
            (False, False, 12),
            (False, True, 12),
            (True, False, 12),
            (False, False, 9),
        )
    ]
    message = st.one_of(st.sampled_from([TEXT, NOISE, b""]), st.binary(max_size=200))
    for _ in range(data.draw(st.integers(1, 12))):
        peer = data.draw(st.sampled_from(peers))
        what = data.draw(st.sampled_from(["send", "send", "share", "forget", "receive", "end"]))
        if what == "send":
            content = data.draw(message)
            assert peer.takes(peer.deflate.compress(content)) == content
        elif what == "share":
            content = data.draw(message)
            payload = peer.deflate.compress_alone(content)
            for other in peers:
                if other.deflate.key == peer.deflate.key:
                    if not other.deflate.independent:
                        other.deflate.forget()
                    assert other.takes(payload) == content
        elif what == "forget":
            peer.deflate.forget()
        elif what == "receive":
            content = data.draw(message)
            assert peer.sends(content) == content
        else:
            peer.deflate.release()
            peers[peers.index(peer)] = Peer(shared, peer.deflate.parameters)
        sizes = {bits: backend.compressor_size(bits, 5) for bits in (9, 12)}
        inflaters = sum(peer.deflate._held for peer in peers)
        kept = sum(sizes[bits] for bits in shared.contexts.values())
        alone = sum(sizes[bits] for bits in shared._alone)
        assert shared.held == inflaters + kept + alone
        assert not kept or shared.held <= shared.settings.memory
        assert shared.promised == sum(
            backend.inflater_size(12)
            for peer in peers
            if not peer.deflate.parameters.client_no_context_takeover
        )
    for peer in peers:
        peer.deflate.release()
    assert shared.held == sum(backend.compressor_size(bits, 5) for bits in shared._alone)
