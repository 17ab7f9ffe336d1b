"""permessage-deflate (RFC 7692): negotiation, compression, bounded inflation.

The other side is zlib itself, or the extension of `websockets`.
"""

from __future__ import annotations

import itertools
import random
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from asgiws.websocket.close import INVALID_PAYLOAD, MESSAGE_TOO_BIG
from asgiws.websocket.compression import Compression, Settings
from asgiws.websocket.deflate import MAX_RESTARTS, Deflate, Parameters, negotiate
from asgiws.websocket.errors import ProtocolError
from asgiws.websocket.extensions import parse
from asgiws.websocket.zlib_backend import choose
from tests.support.properties import quick
from tests.support.wire import splits

NO_LIMIT = 1 << 30
DEFAULTS = Settings()

Make = Callable[[Parameters], Deflate]


@pytest.fixture(scope="module", params=["zlib", "zlib-ng"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes what a connection has, with each of the libraries."""
    backend = choose(request.param)
    return lambda parameters: Deflate(parameters, Compression(Settings(), backend))


KEEP = Parameters(False, False, 12, 15)
DROP = Parameters(True, True, 12, 15)
TAIL = b"\x00\x00\xff\xff"


def agreed(offers: str, settings: Settings = DEFAULTS) -> tuple[str, Parameters] | None:
    found = negotiate(parse([offers.encode()]), settings)
    return None if found is None else (str(found[0]), found[1])


# Negotiation (7.1). Ours is a window of 12 bits at most; a server may name its window unasked
# (7.1.2.1).

ACCEPTED = [
    ("permessage-deflate", "; server_max_window_bits=12", (False, False, 12, 15)),
    # 7.1.1.1: "A server accepts ... by including the "server_no_context_takeover" extension
    # parameter"
    (
        "permessage-deflate; server_no_context_takeover",
        "; server_no_context_takeover; server_max_window_bits=12",
        (True, False, 12, 15),
    ),
    # 7.1.1.2: the client's hint, which the server confirms
    (
        "permessage-deflate; client_no_context_takeover",
        "; client_no_context_takeover; server_max_window_bits=12",
        (False, True, 12, 15),
    ),
    # 7.1.2.1: "... with the same or smaller value as the offer"
    *(
        (
            f"permessage-deflate; server_max_window_bits={bits}",
            f"; server_max_window_bits={min(bits, 12)}",
            (False, False, min(bits, 12), 15),
        )
        for bits in range(9, 16)
    ),
    # 7.1.2.2: "If a received extension negotiation offer doesn't have the "client_max_window_bits"
    # extension parameter, the corresponding ... response ... MUST NOT include" it: see the first
    # row.
    (
        "permessage-deflate; client_max_window_bits",
        "; client_max_window_bits=12; server_max_window_bits=12",
        (False, False, 12, 12),
    ),
    *(
        (
            f"permessage-deflate; client_max_window_bits={bits}",
            f"; client_max_window_bits={min(bits, 12)}; server_max_window_bits=12",
            (False, False, 12, min(bits, 12)),
        )
        for bits in range(8, 16)
    ),
    (
        'permessage-deflate; client_max_window_bits="10"; server_max_window_bits="11"',
        "; client_max_window_bits=10; server_max_window_bits=11",
        (False, False, 11, 10),
    ),
    (
        "permessage-deflate; client_max_window_bits; server_max_window_bits=10; "
        "client_no_context_takeover; server_no_context_takeover",
        "; client_max_window_bits=12; client_no_context_takeover; server_no_context_takeover; "
        "server_max_window_bits=10",
        (True, True, 10, 12),
    ),
]


@pytest.mark.parametrize(("offers", "response", "parameters"), ACCEPTED)
def test_accepted(offers: str, response: str, parameters: tuple[object, ...]) -> None:
    assert agreed(offers) == ("permessage-deflate" + response, Parameters(*parameters))


#: 7.1: "A server MUST decline an extension negotiation offer for this extension if any of the
#: following conditions are met".
DECLINED = [
    # "The negotiation offer contains an extension parameter not defined for use in an offer."
    "unknown",
    "unknown=1",
    "Server_no_context_takeover",
    # "... contains an extension parameter with an invalid value."
    "server_no_context_takeover=1",
    "client_no_context_takeover=true",
    "server_max_window_bits",
    *(
        f"{name}={value}"
        for name in ("server_max_window_bits", "client_max_window_bits")
        for value in ("0", "7", "16", "08", "012", "1", "100", "-9", "+9", "9.0", "x", "1_0")
    ),
    # "... contains multiple extension parameters with the same name."
    "server_no_context_takeover; server_no_context_takeover",
    "client_max_window_bits; client_max_window_bits=10",
    "client_max_window_bits=10; client_max_window_bits=10",
    # "The server doesn't support the offered configuration.": zlib makes no raw stream of 256
    # octets
    "server_max_window_bits=8",
]


@pytest.mark.parametrize("parameters", DECLINED)
def test_declined_and_the_next_offer_is_looked_at(parameters: str) -> None:
    offer = f"permessage-deflate; {parameters}"
    assert agreed(offer) is None
    assert agreed(f"{offer}, {offer}") is None
    # 7.1: offers in the order of preference; the fallback of 5.1
    assert agreed(f"{offer}, permessage-deflate; server_no_context_takeover") == agreed(
        "permessage-deflate; server_no_context_takeover"
    )


def test_other_extensions_are_not_ours() -> None:
    assert negotiate([], Settings()) is None
    assert agreed("x-webkit-deflate-frame, permessage-bzip2, Permessage-Deflate") is None
    assert agreed("permessage-bzip2, permessage-deflate") == agreed("permessage-deflate")


def test_the_first_acceptable_offer_wins() -> None:
    found = agreed("permessage-deflate; server_max_window_bits=10, permessage-deflate")
    assert found == agreed("permessage-deflate; server_max_window_bits=10")


WINDOWS = (9, 12, 15)
OFFERED = [
    "; ".join(["permessage-deflate", *filter(None, parts)])
    for parts in itertools.product(
        ("", "server_no_context_takeover"),
        ("", "client_no_context_takeover"),
        ("", *(f"server_max_window_bits={bits}" for bits in WINDOWS)),
        (
            "",
            "client_max_window_bits",
            *(f"client_max_window_bits={bits}" for bits in (8, *WINDOWS)),
        ),
    )
]


@pytest.mark.parametrize("may_keep", [True, False])
@pytest.mark.parametrize("client_drops", [False, True])
@pytest.mark.parametrize("server_drops", [False, True])
@pytest.mark.parametrize(("bits", "client_bits"), list(itertools.product(WINDOWS, WINDOWS)))
def test_every_offer_with_every_option(
    bits: int, client_bits: int, server_drops: bool, client_drops: bool, may_keep: bool
) -> None:
    """What is answered is what the RFC lets be answered, and does what the options ask for."""
    settings = Settings(
        window_bits=bits,
        client_window_bits=client_bits,
        server_no_context_takeover=server_drops,
        client_no_context_takeover=client_drops,
    )
    for offer in OFFERED:
        for offers in (offer, f"permessage-deflate; x, {offer}, permessage-deflate"):
            found = negotiate(parse([offers.encode()]), settings, lambda bits: may_keep)
            assert found is not None
            asked = dict(parse([offer.encode()])[0].parameters)
            answer = dict(found[0].parameters)
            assert len(answer) == len(found[0].parameters), "a parameter stands twice"
            parameters = found[1]
            # 7.1.1.1, 7.1.1.2: must be there where the client asked, may be where it did not.
            assert ("server_no_context_takeover" in answer) == (
                "server_no_context_takeover" in asked or server_drops
            )
            assert ("client_no_context_takeover" in answer) == (
                "client_no_context_takeover" in asked or client_drops or not may_keep
            )
            assert parameters.server_no_context_takeover == ("server_no_context_takeover" in answer)
            assert parameters.client_no_context_takeover == ("client_no_context_takeover" in answer)
            # 7.1.2.1: "the same or smaller value as the offer"; without it, the window is of 15 bits.
            window = min(bits, int(asked.get("server_max_window_bits") or 15))
            assert int(answer.get("server_max_window_bits") or 15) == window
            assert ("server_max_window_bits" in answer) >= ("server_max_window_bits" in asked)
            assert parameters.server_max_window_bits == window
            # 7.1.2.2: only where the client can be told, and no more than it offers.
            assert ("client_max_window_bits" in answer) == ("client_max_window_bits" in asked)
            if "client_max_window_bits" in asked:
                window = min(client_bits, int(asked["client_max_window_bits"] or 15))
                assert answer["client_max_window_bits"] == str(window)
                assert parameters.client_max_window_bits == window
            else:
                assert parameters.client_max_window_bits == 15


@pytest.mark.parametrize("parameters", DECLINED)
def test_no_option_makes_a_wrong_offer_right(parameters: str) -> None:
    for settings in (Settings(window_bits=9, client_window_bits=9), Settings(memory=0)):
        assert agreed(f"permessage-deflate; {parameters}", settings) is None


def test_a_client_is_asked_whether_its_own_window_may_be_kept() -> None:
    asked: list[int] = []

    def may_keep(bits: int) -> bool:
        asked.append(bits)
        return True

    for offer in ("", *(f"; client_max_window_bits{bits}" for bits in ("", "=9", "=8"))):
        negotiate(parse([b"permessage-deflate" + offer.encode()]), Settings(), may_keep)
    assert asked == [15, 12, 9, 9]


# Compression (7.2.1)


def inflate_plainly(payload: bytes, bits: int = 15) -> bytes:
    return zlib.decompressobj(-bits).decompress(payload + TAIL)


def test_a_message_ends_without_its_tail(make: Make) -> None:
    # 7.2.1: "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end."
    payload = make(KEEP).compress(b"Hello")
    assert not payload.endswith(TAIL)
    assert inflate_plainly(payload, 12) == b"Hello"


def test_an_empty_message_is_a_whole_empty_block_every_time(make: Make) -> None:
    # 7.2.3.6: "... a DEFLATE block with no compression ... a single octet 0x00"
    deflate = make(KEEP)
    assert deflate.compress(b"") == b"\x00"
    deflate.compress(b"between")
    assert deflate.compress(b"") == b"\x00"
    assert deflate.compress(b"") == b"\x00"


def test_our_context_is_kept_or_dropped_as_agreed(make: Make) -> None:
    message = random.Random(1).randbytes(500)
    keeping = make(KEEP)
    first, second = keeping.compress(message), keeping.compress(message)
    assert len(second) < 50 < len(first)
    assert inflate_plainly(first + TAIL + second, 12) == message * 2
    dropping = make(DROP)
    assert dropping.compress(message) == dropping.compress(message) == first


@pytest.mark.parametrize("bits", range(9, 13))
def test_what_we_send_fits_the_window_that_was_agreed(make: Make, bits: int) -> None:
    far = random.Random(2).randbytes(1 << bits)
    message = far + random.Random(3).randbytes(300) + far
    payload = make(Parameters(False, False, bits, 15)).compress(message)
    assert inflate_plainly(payload, bits) == message


def test_compression_state_is_made_when_it_is_needed(make: Make) -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        idle = [make(KEEP) for _ in range(10)]
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
    finally:
        tracemalloc.stop()
    assert len(idle) == 10


# Inflation (7.2.2)

#: 7.2.3: the examples, each "Hello".
EXAMPLES = {
    "7.2.3.1 one block": "f248cdc9c90700",
    "7.2.3.3 no compression": "000500faff48656c6c6f00",
    "7.2.3.4 BFINAL set to 1": "f348cdc9c9070000",
    "7.2.3.5 two blocks": "f248050000 00ffff cac9c90700".replace(" ", ""),
}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_the_examples_of_section_7_2_3(make: Make, example: str) -> None:
    payload = bytes.fromhex(example)
    deflate = make(KEEP)
    for _ in range(3):
        assert deflate.inflate(payload, True, 5) == b"Hello"
    for _ in range(3):
        # "[The] compressed ... message is ... fragmented": anywhere
        pieces = [deflate.inflate(payload[i : i + 1], False, 5) for i in range(len(payload))]
        assert b"".join(pieces) + deflate.inflate(b"", True, 5) == b"Hello"
    # 7.2.3.2: "sharing LZ77 sliding window": f2 00 11 00 00 refers to the message before
    deflate = make(KEEP)
    assert deflate.inflate(bytes.fromhex("f248cdc9c90700"), True, 5) == b"Hello"
    assert deflate.inflate(bytes.fromhex("f200110000"), True, 5) == b"Hello"


def test_the_clients_context_is_kept_or_dropped_as_agreed(make: Make) -> None:
    message = random.Random(1).randbytes(500)
    client = zlib.compressobj(wbits=-15)
    first = client.compress(message) + client.flush(zlib.Z_SYNC_FLUSH)
    second = client.compress(message) + client.flush(zlib.Z_SYNC_FLUSH)
    keeping = make(KEEP)
    assert keeping.inflate(first[:-4], True, NO_LIMIT) == message
    assert keeping.inflate(second[:-4], True, NO_LIMIT) == message
    dropping = make(DROP)
    assert dropping.inflate(first[:-4], True, NO_LIMIT) == message
    # 7.1.1.2: the client must not refer to what it agreed to forget.
    with pytest.raises(ProtocolError) as caught:
        dropping.inflate(second[:-4], True, NO_LIMIT)
    assert caught.value.code == INVALID_PAYLOAD


def test_a_client_with_the_smallest_window_is_read(make: Make) -> None:
    # Built on zlib it takes 512 octets where 256 were agreed.
    client = zlib.compressobj(wbits=-9)
    message = bytes(range(256)) * 4
    payload = client.compress(message) + client.flush(zlib.Z_SYNC_FLUSH)
    assert make(Parameters(False, False, 12, 8)).inflate(payload[:-4], True, NO_LIMIT) == message


def final_block(data: bytes) -> bytes:
    """`data` as a deflate stream that ends, with BFINAL."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def block(data: bytes) -> bytes:
    """`data` as a message of a fresh compressor."""
    stream = zlib.compressobj(wbits=-15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize(
    "end", [b"\x00", b""], ids=["as 7.2.3.4 has it", "without the empty block"]
)
def test_a_stream_that_ended_is_followed_by_a_new_one(make: Make, end: bytes) -> None:
    deflate = make(KEEP)
    ended = final_block(b"ended") + end
    for _ in range(3):
        assert deflate.inflate(ended, True, NO_LIMIT) == b"ended"
        assert deflate.inflate(block(b"next"), True, NO_LIMIT) == b"next"
        # The end of the stream at the end of a fragment:
        assert deflate.inflate(final_block(b"a"), False, NO_LIMIT) == b"a"
        assert deflate.inflate(end, True, NO_LIMIT) == b""
        assert deflate.inflate(block(b"next"), True, NO_LIMIT) == b"next"


def test_several_streams_in_one_message(make: Make) -> None:
    streams = b"".join(final_block(bytes((letter,))) for letter in b"abcdefgh")
    deflate = make(KEEP)
    assert deflate.inflate(streams + b"\x00", True, NO_LIMIT) == b"abcdefgh"
    assert deflate.inflate(streams, False, 8) == b"abcdefgh"
    assert deflate.inflate(b"\x00", True, 0) == b""
    with pytest.raises(ProtocolError) as caught:
        deflate.inflate(streams, True, 7)
    assert caught.value.code == MESSAGE_TOO_BIG


def test_endlessly_many_streams_are_refused(make: Make) -> None:
    deflate = make(KEEP)
    with pytest.raises(ProtocolError) as caught:
        deflate.inflate(final_block(b"") * (MAX_RESTARTS + 1), False, NO_LIMIT)
    assert caught.value.code == INVALID_PAYLOAD
    assert "final blocks" in caught.value.reason


def test_streams_are_counted_for_each_message_however_it_is_cut(make: Make) -> None:
    deflate = make(KEEP)
    for _ in range(2):
        for _ in range(MAX_RESTARTS):
            deflate.inflate(final_block(b""), False, NO_LIMIT)
        deflate.inflate(b"\x00", True, NO_LIMIT)
    for _ in range(MAX_RESTARTS):
        deflate.inflate(final_block(b""), False, NO_LIMIT)
    with pytest.raises(ProtocolError, match="final blocks"):
        deflate.inflate(final_block(b""), False, NO_LIMIT)


@pytest.mark.parametrize(
    "payload",
    [
        b"\x07",  # BTYPE 11, "reserved (error)" (RFC 1951, 3.2.3)
        b"\x00\x05\x00\x00\x00Hello",  # a stored block whose NLEN is not the complement of LEN
        b"\xff" * 10,
        bytes.fromhex("f200110000"),  # refers to what never was
    ],
    ids=bytes.hex,
)
@pytest.mark.parametrize("final", [True, False])
def test_invalid_data_is_1007(make: Make, payload: bytes, final: bool) -> None:
    # RFC 6455, 7.4.1: "1007 ... data within a message that was not consistent with the type of the
    # message"
    with pytest.raises(ProtocolError) as caught:
        make(KEEP).inflate(payload, final, NO_LIMIT)
    assert caught.value.code == INVALID_PAYLOAD
    assert "invalid deflate data" in caught.value.reason


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_the_limit_is_exact(make: Make, size: int) -> None:
    payload = block(b"x" * size)
    assert make(KEEP).inflate(payload, True, size) == b"x" * size
    if size:
        with pytest.raises(ProtocolError) as caught:
            make(KEEP).inflate(payload, True, size - 1)
        assert caught.value.code == MESSAGE_TOO_BIG


@pytest.mark.parametrize("final", [True, False])
def test_a_bomb_is_not_inflated(make: Make, final: bool) -> None:
    limit = 1 << 16
    bomb = block(bytes(20 << 20))
    assert len(bomb) < 22_000
    deflate = make(KEEP)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError) as caught:
            deflate.inflate(bomb, final, limit)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == MESSAGE_TOO_BIG
    # zlib's window and what it has not consumed of the input are there as well.
    assert peak < 2 * len(bomb) + 4 * limit


messages = st.lists(
    st.binary(max_size=300)
    | st.text(max_size=100).map(str.encode)
    | st.integers(0, 9000).map(bytes),
    min_size=1,
    max_size=5,
)


@given(messages, st.booleans(), st.integers(9, 15), st.data())
@quick
def test_any_messages_in_any_fragments_pass_both_ways(
    make: Make, sent: list[bytes], drop: bool, bits: int, data: st.DataObject
) -> None:
    ours = make(Parameters(drop, drop, min(bits, 12), bits))
    theirs = PerMessageDeflate(drop, drop, min(bits, 12), bits)
    for message in sent:
        decoded = theirs.decode(Frame(Opcode.BINARY, ours.compress(message), rsv1=True))
        assert bytes(decoded.data) == message
        payload = bytes(theirs.encode(Frame(Opcode.BINARY, message)).data)
        *pieces, last = data.draw(splits(payload))
        received = b"".join(ours.inflate(piece, False, NO_LIMIT) for piece in pieces)
        assert received + ours.inflate(last, True, NO_LIMIT) == message


@given(st.lists(st.tuples(st.binary(max_size=40), st.booleans()), max_size=6), st.integers(0, 100))
@quick
def test_any_octets_are_inflated_within_the_limit_or_refused(
    make: Make, pieces: list[tuple[bytes, bool]], limit: int
) -> None:
    deflate = make(KEEP)
    code = 0
    try:
        for piece, final in pieces:
            assert len(deflate.inflate(piece, final, limit)) <= limit
    except ProtocolError as error:
        code = error.code
    assert code in (0, INVALID_PAYLOAD, MESSAGE_TOO_BIG)
