"""Frame headers (RFC 6455, 5.2): fed whole, octet by octet, and with a tail; in whichever build
runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from asgiws.websocket import frames
from asgiws.websocket.close import PROTOCOL_ERROR
from asgiws.websocket.errors import ProtocolError
from asgiws.websocket.frames import FrameReader
from tests.support.properties import quick
from tests.support.wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, client_frame, splits

RSV1, RSV2, RSV3 = 4, 2, 1


def read(wire: bytes, allow_rsv1: bool = False) -> tuple[FrameReader, int]:
    """The reader that read the header in `wire`, and the header's length."""
    reader = FrameReader(allow_rsv1)
    buffer = bytearray(b"\xaa\xaa" + wire)
    return reader, reader.read(buffer, 2, len(buffer)) - 2


def fields(reader: FrameReader) -> tuple[bool, bool, int, int, int]:
    return bool(reader.fin), bool(reader.rsv1), reader.opcode, reader.length, reader.key


def read_in_pieces(pieces: list[bytes], allow_rsv1: bool = False) -> tuple[FrameReader, int]:
    """The same from pieces, each in a buffer that is overwritten afterwards."""
    reader = FrameReader(allow_rsv1)
    before = 0
    for piece in pieces:
        buffer = bytearray(b"\xaa\xaa" + piece)
        position = reader.read(buffer, 2, len(buffer))
        buffer[:] = b"\x55" * len(buffer)
        if position >= 0:
            return reader, before + position - 2
        before += len(piece)
    return reader, -1


#: (opcode, FIN, payload length, key)
HEADERS = [
    (opcode, fin, length, key)
    for opcode in (CONT, TEXT, BINARY)
    for fin in (True, False)
    for length in (0, 1, 125, 126, 127, 65535, 65536, 2**31, 2**32, 2**63 - 1)
    for key in (b"\x00\x00\x00\x00", b"\x01\x02\x03\x04", b"\xfc\xfd\xfe\xff")
] + [
    (opcode, True, length, b"\x80\x81\x82\x83")
    for opcode in (CLOSE, PING, PONG)
    for length in (0, 1, 125)
]


@pytest.mark.parametrize(("opcode", "fin", "length", "key"), HEADERS)
def test_a_valid_header(opcode: int, fin: bool, length: int, key: bytes) -> None:
    header = client_frame(opcode, fin=fin, length=length, key=key)
    expected = (fin, False, opcode, length, int.from_bytes(key, "little"))
    for tail in (b"", b"the payload and more"):
        wire = header + tail
        reader, end = read(wire)
        assert end == len(header)
        assert fields(reader) == expected
        reader, end = read_in_pieces([wire[i : i + 1] for i in range(len(wire))])
        assert end == len(header)
        assert fields(reader) == expected
        for cut in range(1, len(header)):
            reader, end = read_in_pieces([wire[:cut], wire[cut:]])
            assert end == len(header)
            assert fields(reader) == expected


def test_the_examples_of_section_5_7() -> None:
    # "A single-frame masked text message: 0x81 0x85 0x37 0xfa 0x21 0x3d 0x7f 0x9f 0x4d 0x51 0x58"
    reader, end = read(bytes.fromhex("818537fa213d7f9f4d5158"))
    assert end == 6
    assert fields(reader) == (True, False, TEXT, 5, 0x3D21FA37)
    # What a server sends is not masked:
    assert frames.frame(0x81, b"Hello") == bytes.fromhex("810548656c6c6f")
    assert frames.frame(0x01, b"Hel") == bytes.fromhex("010348656c")
    assert frames.frame(0x80, b"lo") == bytes.fromhex("80026c6f")
    assert frames.frame(0x89, b"Hello") == bytes.fromhex("890548656c6c6f")
    assert frames.header(0x82, 256) == bytes.fromhex("827e0100")
    assert frames.header(0x82, 65536) == bytes.fromhex("827f0000000000010000")


#: (what, wire, from which octet on it is wrong)
FORBIDDEN = [
    # "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values."
    *(
        (f"RSV {rsv} of opcode {opcode}", client_frame(opcode, rsv=rsv), 2)
        for rsv in range(1, 8)
        for opcode in (CONT, TEXT, BINARY, CLOSE, PING, PONG)
    ),
    # "%x3-7 are reserved for further non-control frames", "%xB-F ... control frames"
    *((f"opcode {opcode}", client_frame(opcode), 2) for opcode in (3, 4, 5, 6, 7, *range(11, 16))),
    # "All control frames MUST have a payload length of 125 bytes or less" (5.5)
    *(
        (f"control frame {opcode} of {size}", client_frame(opcode, b"x" * size), 2)
        for opcode in (CLOSE, PING, PONG)
        for size in (126, 65536)
    ),
    # "... and MUST NOT be fragmented." (5.5)
    *(
        (f"fragmented {opcode}", client_frame(opcode, fin=False), 2)
        for opcode in (CLOSE, PING, PONG)
    ),
    # "a server MUST close the connection upon receiving a frame that is not masked" (5.1)
    *(
        (f"unmasked {opcode}", client_frame(opcode, b"x", key=None), 2)
        for opcode in (CONT, TEXT, BINARY, CLOSE, PING, PONG)
    ),
    # "the minimal number of bytes MUST be used to encode the length"
    *(
        (f"16 bits for {size}", client_frame(BINARY, b"x" * size, form=16), 8)
        for size in (0, 1, 125)
    ),
    *(
        (f"64 bits for {size}", client_frame(BINARY, form=64, length=size), 14)
        for size in (0, 125, 126, 65535)
    ),
    # "the most significant bit MUST be 0"
    ("length of 2^63", client_frame(BINARY, form=64, length=1 << 63), 14),
    ("length of 2^64 - 1", client_frame(BINARY, form=64, length=(1 << 64) - 1), 14),
]


@pytest.mark.parametrize(("what", "wire", "known"), FORBIDDEN, ids=lambda value: str(value)[:30])
def test_a_forbidden_header_fails_as_soon_as_it_is_known(
    what: str, wire: bytes, known: int
) -> None:
    for pieces in (
        [wire],
        [wire[:known]],
        [wire[i : i + 1] for i in range(known)],
        [wire + b"tail"],
    ):
        with pytest.raises(ProtocolError) as caught:
            read_in_pieces(pieces)
        assert caught.value.code == PROTOCOL_ERROR
    # ... and one octet earlier it is not known yet.
    assert read_in_pieces([wire[: known - 1]])[1] == -1


def test_rsv1_where_an_extension_defines_it() -> None:
    # RFC 7692, 6.1: "MUST NOT set the "Per-Message Compressed" bit of control frames and non-first
    # fragments"
    for opcode in (TEXT, BINARY):
        for fin in (True, False):
            reader, _ = read(client_frame(opcode, b"x", rsv=RSV1, fin=fin), allow_rsv1=True)
            assert fields(reader)[:3] == (fin, True, opcode)
    reader, _ = read(client_frame(TEXT, b"x"), allow_rsv1=True)
    assert fields(reader)[1] is False
    for opcode in (CONT, CLOSE, PING, PONG):
        with pytest.raises(ProtocolError):
            read(client_frame(opcode, rsv=RSV1), allow_rsv1=True)
    for rsv in (RSV2, RSV3, RSV1 | RSV2, RSV1 | RSV3):
        with pytest.raises(ProtocolError):
            read(client_frame(TEXT, rsv=rsv), allow_rsv1=True)


def test_nothing_fed_is_nothing_read() -> None:
    reader = FrameReader()
    assert reader.read(bytearray(), 0, 0) == -1
    data = bytearray(client_frame(PING, b"payload"))
    assert reader.read(data, 0, 1) == -1
    assert reader.read(data, 1, 1) == -1
    assert reader.read(data, 1, len(data)) == 6


def test_a_reader_reads_one_header_after_another() -> None:
    wire = bytearray(
        client_frame(BINARY, length=70000, fin=False)
        + client_frame(PING, key=b"\x09\x00\x00\x00")
        + client_frame(CONT, length=300)
    )
    reader = FrameReader()
    first = reader.read(wire, 0, len(wire))
    assert fields(reader)[:4] == (False, False, BINARY, 70000)
    second = reader.read(wire, first, len(wire))
    assert fields(reader) == (True, False, PING, 0, 9)
    assert reader.read(wire, second, second + 3) == -1
    assert reader.read(wire, second + 3, len(wire)) == len(wire)
    assert fields(reader)[:4] == (True, False, CONT, 300)


@given(st.data())
@quick
def test_any_octets_in_any_pieces_give_the_same(data: st.DataObject) -> None:
    wire = data.draw(
        st.binary(max_size=40)
        | st.builds(
            client_frame,
            st.integers(0, 15),
            st.binary(max_size=30),
            fin=st.booleans(),
            rsv=st.sampled_from([0, 0, 0, 4, 1]),
            length=st.none() | st.integers(0, 125),
        )
    )
    allow = data.draw(st.booleans())

    def outcome(pieces: list[bytes]) -> object:
        try:
            reader, end = read_in_pieces(pieces, allow)
        except ProtocolError as error:
            return error.code, error.reason
        return (end, fields(reader)) if end >= 0 else end

    assert outcome(data.draw(splits(wire))) == outcome([wire])


def parse_as_client(wire: bytes) -> Frame:
    """What the parser of `websockets` reads in `wire`, which must be one whole frame."""
    stream = StreamReader()
    stream.feed_data(wire)
    stream.feed_eof()
    parser = Frame.parse(stream.read_exact, mask=False)
    with pytest.raises(StopIteration) as done:
        next(parser)
    assert next_is_end(stream)
    return done.value.value


def next_is_end(stream: StreamReader) -> bool:
    with pytest.raises(StopIteration) as done:
        next(stream.at_eof())
    return bool(done.value.value)


@given(
    st.sampled_from([0x81, 0x82, 0x01, 0x02, 0x80, 0x00]),
    st.binary(max_size=300) | st.sampled_from([125, 126, 127, 65535, 65536, 70000]).map(bytes),
)
@quick
def test_websockets_reads_what_we_write(first: int, payload: bytes) -> None:
    parsed = parse_as_client(frames.frame(first, payload))
    assert parsed.fin is (first & 0x80 != 0)
    assert parsed.opcode == first & 0x0F
    assert bytes(parsed.data) == payload
    assert frames.frame(first, payload) == frames.header(first, len(payload)) + payload


@given(
    st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING, Opcode.PONG]),
    st.binary(max_size=125) | st.integers(0, 70000).map(bytes),
)
@quick
def test_we_read_what_websockets_writes(opcode: Opcode, payload: bytes) -> None:
    if opcode in (Opcode.PING, Opcode.PONG):
        payload = payload[:125]
    wire = Frame(opcode, payload).serialize(mask=True)
    reader, end = read(wire)
    assert fields(reader)[:4] == (True, False, opcode, len(payload))
    assert len(wire) - end == len(payload)
    key = reader.key.to_bytes(4, "little")
    assert bytes(o ^ key[i & 3] for i, o in enumerate(wire[end:])) == payload


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536, 2**32, 2**62])
def test_header_uses_the_shortest_form(length: int) -> None:
    size = 2 if length < 126 else 4 if length < 65536 else 10
    assert len(frames.header(0x82, length)) == size
