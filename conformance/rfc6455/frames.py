"""RFC 6455, section 5: framing.

Rules of this file: data.
"""

from __future__ import annotations

from conformance.rfc6455.notation import (
    ACCEPT,
    CLOSE,
    KEY,
    LISTEN,
    PING,
    RECEIVE,
    REFUSED,
    Case,
    Closed,
    Frame,
    Wait,
    binary,
    clause,
    close,
    closes,
    disconnect,
    echoes,
    end,
    fails,
    frame,
    last,
    more,
    octets,
    ping,
    plain,
    pong,
    ponged,
    pongs,
    received,
    send,
    text,
)

ALL_OCTETS = bytes(range(256))
EURO = "€".encode()
#: The largest number of octets that each form of the length can say, and the next.
SIZES = (0, 1, 125, 126, 127, 128, 256, 65535, 65536)
RESERVED = (0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF)

CLAUSES = (
    clause(
        "5.1",
        "The server MUST close the connection upon receiving a frame that is not masked. In this "
        "case, a server MAY send a Close frame with a status code of 1002 (protocol error)",
        fails("5.1-1", "text", text("Hello", key=None), 1002),
        fails("5.1-2", "an empty frame", text(key=None), 1002),
        fails("5.1-3", "a ping", ping("x", key=None), 1002),
        fails("5.1-4", "a close frame", close(1000, key=None), 1002),
        fails("5.1-5", "behind a masked message", text("a") + binary(b"b", key=None), 1002, "a"),
        fails("5.1-6", "a fragment", text("a", fin=False) + last("b", key=None), 1002),
        fails("5.1-7", "a long one, of which only the header comes", octets("82 7e 0400"), 1002),
    ),
    clause(
        "5.1",
        "A server MUST NOT mask any frames that it sends to the client.",
        also=["5.7-1", "5.5.2-1", "5.5.1-1"],
        why="the runner rejects a masked frame in every case",
    ),
    clause(
        "5.1",
        "A data frame MAY be transmitted by either the client or the server at any time after "
        "opening handshake completion and before that endpoint has sent a Close frame",
        Case(
            "5.1-8",
            "both at once",
            text("ours"),
            (plain("one"), plain(b"two")),
            (received("ours"),),
            does=(ACCEPT, send("one"), send(b"two"), LISTEN),
        ),
    ),
    clause(
        "5.2",
        "If a nonzero value is received and none of the negotiated extensions defines the meaning of "
        "such a nonzero value, the receiving endpoint MUST _Fail the WebSocket Connection_.",
        *(
            fails(f"5.2-{rsv}", f"RSV bits {rsv:03b} on text", text("a", rsv=rsv), 1002)
            for rsv in range(1, 8)
        ),
        fails("5.2-8", "RSV1 on a ping", ping(rsv=4), 1002),
        fails("5.2-9", "RSV2 on a close frame", close(1000, rsv=2), 1002),
        fails("5.2-10", "RSV3 on a continuation", text("a", fin=False) + last(rsv=1), 1002),
        fails(
            "5.2-11",
            "behind a message and a ping",
            text("a") + ping() + text("b", rsv=1),
            1002,
            "a",
        )._replace(sent=(plain("a"), ponged(), Closed(1002))),
    ),
    clause(
        "5.2",
        "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket "
        "Connection_.",
        *(
            fails(f"5.2-{12 + i}", f"opcode {opcode:#x}", frame(opcode, b"a"), 1002)
            for i, opcode in enumerate(RESERVED)
        ),
        fails("5.2-22", "in the middle of a message", text("a", fin=False) + frame(0x3), 1002),
        fails("5.2-23", "not final", frame(0x7, fin=False), 1002),
        fails("5.2-24", "behind a message", text("a") + frame(0xB), 1002, "a"),
    ),
    clause(
        "5.2",
        'The length of the "Payload data", in bytes: if 0-125, that is the payload length. If 126, '
        "the following 2 bytes interpreted as a 16-bit unsigned integer are the payload length. If "
        "127, the following 8 bytes interpreted as a 64-bit unsigned integer (...) are the payload "
        "length. Multibyte length quantities are expressed in network byte order.",
        *(
            echoes(f"5.2-{25 + i}", f"{size} octets", binary(bytes(size)), bytes(size))
            for i, size in enumerate(SIZES)
        ),
    ),
    clause(
        "5.2",
        "(the most significant bit MUST be 0)",
        fails("5.2-34", "it is 1", octets("82 ff 8000000000000001") + KEY, 1002),
        fails("5.2-35", "all bits are", octets("82 ff ffffffffffffffff") + KEY, 1002),
    ),
    clause(
        "5.2",
        "Note that in all cases, the minimal number of bytes MUST be used to encode the length, for "
        "example, the length of a 124-byte-long string can't be encoded as the sequence 126, 0, 124.",
        fails("5.2-36", "the example", text("a" * 124, form=16), 1002),
        fails("5.2-37", "0 in 16 bits", text(form=16), 1002),
        fails("5.2-38", "125 in 16 bits", text("a" * 125, form=16), 1002),
        fails("5.2-39", "0 in 64 bits", text(form=64), 1002),
        fails("5.2-40", "126 in 64 bits", text("a" * 126, form=64), 1002),
        fails("5.2-41", "65535 in 64 bits", binary(bytes(65535), form=64), 1002),
        fails("5.2-42", "of a continuation", text("a", fin=False) + last("b", form=16), 1002),
        also=["5.2-28", "5.2-32"],
        why="the runner rejects a sent frame that is not in its shortest form",
    ),
    clause(
        "5.2",
        'The "Extension data" is 0 bytes unless an extension has been negotiated.',
        also=["5.7-2"],
        why="no extension that we know of has any",
    ),
    clause(
        "5.3",
        "A masked frame MUST have the field frame-masked set to 1",
        also=["5.1-1"],
        why="for clients",
    ),
    clause(
        "5.3",
        'Octet i of the transformed data ("transformed-octet-i") is the XOR of octet i of the '
        'original data ("original-octet-i") with octet at index i modulo 4 of the masking key',
        echoes("5.3-1", "every octet", binary(ALL_OCTETS), ALL_OCTETS),
        echoes("5.3-2", "the key 0", binary(ALL_OCTETS, key=bytes(4)), ALL_OCTETS),
        echoes("5.3-3", "the key of ones", binary(ALL_OCTETS, key=b"\xff" * 4), ALL_OCTETS),
        echoes(
            "5.3-4", "the key 00 00 00 01", binary(ALL_OCTETS, key=octets("00000001")), ALL_OCTETS
        ),
        echoes(
            "5.3-5",
            "a key for each frame",
            b"".join(binary(b"abcdefghi"[:n], key=bytes((n, 7 * n, 0, 255 - n))) for n in range(9)),
            *(b"abcdefghi"[:n] for n in range(9)),
        ),
        echoes(
            "5.3-6",
            "each fragment begins with the key's first octet",
            text("a", fin=False) + more("bc") + more("def") + last("ghij"),
            "abcdefghij",
        ),
    ),
    clause(
        "5.3",
        "The payload length, indicated in the framing as frame-payload-length, does NOT include the "
        "length of the masking key.",
        echoes("5.3-7", "shorter than the key", text("abc") + text("") + text("d"), "abc", "", "d"),
    ),
    clause(
        "5.4",
        "An unfragmented message consists of a single frame with the FIN bit set",
        echoes("5.4-1", "two of them", text("a") + binary(b"b"), "a", b"b"),
        echoes("5.4-2", "empty", text() + binary(), "", b""),
    ),
    clause(
        "5.4",
        "A fragmented message consists of a single frame with the FIN bit clear and an opcode other "
        "than 0, followed by zero or more frames with the FIN bit clear and the opcode set to 0, and "
        "terminated by a single frame with the FIN bit set and an opcode of 0.",
        echoes("5.4-3", "in two", text("Hel", fin=False) + last("lo"), "Hello"),
        echoes(
            "5.4-4", "in four", binary(b"a", fin=False) + more("b") + more("c") + last("d"), b"abcd"
        ),
        echoes("5.4-5", "all empty", text(fin=False) + more() + last(), ""),
        echoes("5.4-6", "first empty", text(fin=False) + last("a"), "a"),
        echoes("5.4-7", "last empty", binary(b"a", fin=False) + last(), b"a"),
        echoes(
            "5.4-8", "one after another", (text("a", fin=False) + last("b")) * 3, "ab", "ab", "ab"
        ),
        echoes(
            "5.4-9",
            "in a thousand",
            text(fin=False) + more("ab") * 998 + last("."),
            "ab" * 998 + ".",
        ),
    ),
    clause(
        "5.4",
        "Control frames (see Section 5.5) MAY be injected in the middle of a fragmented message.",
        pongs("5.4-10", "a ping", text("a", fin=False) + ping("p"), "p"),
    ),
    clause(
        "5.4",
        "Control frames themselves MUST NOT be fragmented.",
        fails("5.4-11", "a ping", ping("a", fin=False) + last("b"), 1002),
        fails("5.4-12", "a pong", pong("a", fin=False) + last("b"), 1002),
        fails("5.4-13", "a close frame", close(1000, fin=False), 1002),
        fails("5.4-14", "within a message", text("a", fin=False) + ping(fin=False), 1002),
    ),
    clause(
        "5.4",
        "Message fragments MUST be delivered to the recipient in the order sent by the sender.",
        echoes(
            "5.4-15",
            "a hundred",
            text("0 ", fin=False) + b"".join(more(f"{n} ") for n in range(1, 99)) + last("99 "),
            "".join(f"{n} " for n in range(100)),
        ),
    ),
    clause(
        "5.4",
        "The fragments of one message MUST NOT be interleaved between the fragments of another "
        "message unless an extension has been negotiated that can interpret the interleaving.",
        fails("5.4-16", "text in text", text("a", fin=False) + text("b", fin=False), 1002),
        fails("5.4-17", "a whole one", text("a", fin=False) + text("b"), 1002),
        fails("5.4-18", "binary in text", text("a", fin=False) + more("b") + binary(b"c"), 1002),
        fails("5.4-19", "text in binary", binary(b"a", fin=False) + text("b"), 1002),
    ),
    clause(
        "5.4",
        "a single frame with the FIN bit clear and an opcode other than 0",
        fails("5.4-20", "none was", last("a"), 1002),
        fails("5.4-21", "none was, not final", more("a") + last("b"), 1002),
        fails("5.4-22", "it is over", text("a", fin=False) + last("b") + last("c"), 1002, "ab"),
        fails("5.4-23", "it was unfragmented", text("a") + last("b"), 1002, "a"),
        fails("5.4-24", "empty", last(), 1002),
        fails("5.4-25", "a ping does not begin one", ping() + last(), 1002)._replace(
            sent=(ponged(), Closed(1002))
        ),
    ),
    clause(
        "5.4",
        "An endpoint MUST be capable of handling control frames in the middle of a fragmented "
        "message.",
        Case(
            "5.4-26",
            "pings between all fragments",
            text("a", fin=False) + ping("1") + more("b") + ping("2") + ping("3") + last("c"),
            (ponged("1"), ponged("2"), ponged("3"), plain("abc")),
            (received("abc"),),
        ),
        echoes("5.4-27", "a pong", text("a", fin=False) + pong("x") + last("b"), "ab"),
        closes("5.4-28", "a close frame", text("a", fin=False) + close(1001, "bye"), 1001, "bye"),
        Case(
            "5.4-29",
            "a ping within a character",
            text(EURO[:1], fin=False) + ping(EURO) + last(EURO[1:]),
            (ponged(EURO), plain("€")),
            (received("€"),),
        ),
    ),
    clause(
        "5.4",
        "Clients and servers MUST support receiving both fragmented and unfragmented messages.",
        also=["5.4-1", "5.4-3"],
    ),
    clause(
        "5.4",
        "all fragments of a message are of the same type, as set by the first fragment's opcode.",
        echoes(
            "5.4-30",
            "text and binary of the same octets",
            text("a", fin=False) + last("b") + binary(b"a", fin=False) + last("b"),
            "ab",
            b"ab",
        ),
    ),
    clause(
        "5.4",
        "an intermediary MUST NOT attempt to change the fragmentation of a control frame.",
        why="for intermediaries, like the next two clauses",
    ),
    clause(
        "5.5",
        "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be "
        "fragmented.",
        pongs("5.5-1", "a ping of 125", ping("x" * 125), "x" * 125),
        fails("5.5-2", "a ping of 126", ping("x" * 126), 1002),
        fails("5.5-3", "a pong of 126", pong("x" * 126), 1002),
        fails("5.5-4", "a close frame of 126", close(1000, "x" * 124), 1002),
        fails(
            "5.5-5",
            "a ping of 65536, of which only the header comes",
            frame(PING, length=65536),
            1002,
        ),
        fails("5.5-6", "125 in 16 bits", ping("x" * 125, form=16), 1002),
        closes("5.5-7", "a close frame of 125", close(1000, "x" * 123), 1000, "x" * 123),
        Case(
            "5.5-8",
            "a longer reason of the application",
            (Wait(1), close(1000)),
            (Closed(1000, "x" * 123),),
            (disconnect(1000),),
            does=(ACCEPT, end(1000, "x" * 200), LISTEN),
        ),
        also=["5.4-11", "5.4-12", "5.4-13"],
    ),
    clause(
        "5.5.1",
        "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer (in "
        "network byte order) representing a status code with value /code/ defined in Section 7.4.",
        closes("5.5.1-1", "1000", close(1000), 1000),
        closes("5.5.1-2", "no body", close(), None),
        fails("5.5.1-3", "one octet", frame(CLOSE, b"\x03"), 1002),
        closes(
            "5.5.1-4", "in network byte order: 0x0fa1 is 4001", frame(CLOSE, octets("0fa1")), 4001
        ),
    ),
    clause(
        "5.5.1",
        "Following the 2-byte integer, the body MAY contain UTF-8-encoded data with value /reason/",
        closes("5.5.1-5", "a reason", close(1000, "going home"), 1000, "going home"),
        closes("5.5.1-6", "of other characters", close(1000, "κόσμε €😀"), 1000, "κόσμε €😀"),
        closes("5.5.1-7", "with a NUL and a BOM", close(1000, "\ufeffa\0b"), 1000, "\ufeffa\0b"),
        fails("5.5.1-8", "not UTF-8", close(1000, b"ok\xff"), 1007),
        fails("5.5.1-9", "cut within a character", close(1000, EURO[:2]), 1007),
        fails("5.5.1-10", "a surrogate", close(1000, b"\xed\xa0\x80"), 1007),
    ),
    clause(
        "5.5.1",
        "The application MUST NOT send any more data frames after sending a Close frame.",
        Case(
            "5.5.1-11",
            "ours tries to",
            (Wait(1), close(4000)),
            (Closed(4000, "x"),),
            (REFUSED, REFUSED, disconnect(4000)),
            does=(ACCEPT, end(4000, "x"), send("a"), send(b"b"), LISTEN),
        ),
        Case(
            "5.5.1-12",
            "nor a second close frame",
            (Wait(1), close(4000)),
            (Closed(4000, ""),),
            (disconnect(4000),),
            does=(ACCEPT, end(4000), end(4001), LISTEN),
        ),
        closes("5.5.1-13", "the client's data is dropped", close(1000) + text("a"), 1000),
        closes(
            "5.5.1-14",
            "its rest of a message",
            text("a", fin=False) + close(1000) + last("b"),
            1000,
        ),
        closes(
            "5.5.1-15",
            "its second close frame",
            close(1000, "one") + close(1001, "two"),
            1000,
            "one",
        ),
        closes("5.5.1-16", "what breaks the protocol", close(1000) + octets("ff ff ff ff"), 1000),
    ),
    clause(
        "5.5.1",
        "If an endpoint receives a Close frame and did not previously send a Close frame, the "
        "endpoint MUST send a Close frame in response. (When sending a Close frame in response, the "
        "endpoint typically echos the status code it received.) It SHOULD do so as soon as practical.",
        closes("5.5.1-17", "at once", close(1001), 1001),
        Case(
            "5.5.1-18",
            "behind the answers to what came before",
            text("a") + binary(b"b") + close(3000, "bye"),
            (plain("a"), plain(b"b"), Closed(3000, "bye")),
            (received("a"), received(b"b"), disconnect(3000, "bye")),
        ),
        closes(
            "5.5.1-19",
            "in the middle of a message, which never came to be",
            text("a", fin=False) + more("b") + close(1000),
            1000,
        ),
    ),
    clause(
        "5.5.1",
        "After both sending and receiving a Close message, an endpoint considers the WebSocket "
        "connection closed and MUST close the underlying TCP connection. The server MUST close the "
        "underlying TCP connection immediately",
        Case(
            "5.5.1-20",
            "ours came first",
            (Wait(1), close(1000)),
            (Closed(4001, "bye"),),
            (disconnect(1000),),
            does=(ACCEPT, end(4001, "bye"), LISTEN),
        ),
        Case(
            "5.5.1-21",
            "ours came first, and theirs has no code",
            (Wait(1), close()),
            (Closed(1000, ""),),
            (disconnect(1005),),
            does=(ACCEPT, end(), LISTEN),
        ),
        Case(
            "5.5.1-22",
            "data on its way is dropped meanwhile",
            (Wait(1), text("a") + binary(b"b", fin=False) + last() + close(1000)),
            (Closed(4001, ""),),
            (disconnect(1000),),
            does=(ACCEPT, end(4001), LISTEN),
        ),
        Case(
            "5.5.1-23",
            '"If both client and server send a Close message at the same time"',
            (Wait(1), close(4002, "theirs")),
            (plain("a"), Closed(4001, "ours")),
            (disconnect(4002, "theirs"),),
            does=(ACCEPT, send("a"), end(4001, "ours"), LISTEN),
        ),
        also=["5.5.1-1"],
        why="the runner waits for the end of TCP in every case",
    ),
    clause(
        "5.5.2",
        "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in response, unless it "
        "already received a Close frame. It SHOULD respond with Pong frame as soon as is practical.",
        pongs("5.5.2-1", "empty", ping(), ""),
        pongs("5.5.2-2", "with data", ping("Hello"), "Hello"),
        pongs("5.5.2-3", "any octets", ping(ALL_OCTETS[131:]), ALL_OCTETS[131:]),
        pongs("5.5.2-4", "three", ping("1") + ping("2") + ping("3"), "1", "2", "3"),
        pongs(
            "5.5.2-5",
            "the application does not listen",
            ping("a"),
            "a",
            does=(ACCEPT, RECEIVE),
        )._replace(
            told=(disconnect(1000),),
            received=ping("a") + close(1000),
            sent=(ponged("a"), Closed(1000)),
        ),
        closes("5.5.2-6", "behind a close frame it is not answered", close(1000) + ping("a"), 1000),
        Case(
            "5.5.2-7",
            "behind ours it is",
            (Wait(1), ping("a"), Wait(2), close(1000)),
            (Closed(1000, ""), ponged("a")),
            (disconnect(1000),),
            does=(ACCEPT, end(), LISTEN),
        ),
        Case(
            "5.5.2-8",
            "between messages",
            text("1") + ping("a") + text("2") + ping("b"),
            (plain("1"), ponged("a"), plain("2"), ponged("b")),
            (received("1"), received("2")),
        ),
    ),
    clause(
        "5.5.3",
        'A Pong frame sent in response to a Ping frame must have identical "Application data" as '
        "found in the message body of the Ping frame being replied to.",
        pongs("5.5.3-1", "not UTF-8", ping(b"\xff\xfe\x00"), b"\xff\xfe\x00"),
        also=["5.5-1", "5.5.2-3"],
    ),
    clause(
        "5.5.3",
        "If an endpoint receives a Ping frame and has not yet sent Pong frame(s) in response to "
        "previous Ping frame(s), the endpoint MAY elect to send a Pong frame for only the most "
        "recently processed Ping frame.",
        why="needs a peer that does not read: `tests/unit/drivers/test_websocket.py`",
    ),
    clause(
        "5.5.3",
        "A Pong frame MAY be sent unsolicited. (...) A response to an unsolicited Pong frame is not "
        "expected.",
        pongs("5.5.3-2", "empty", pong()),
        pongs("5.5.3-3", "with data", pong("x" * 125)),
        pongs("5.5.3-4", "before a ping", pong("a") + ping("b") + pong("c"), "b"),
    ),
    clause(
        "5.6",
        'The "Payload data" is text data encoded as UTF-8. Note that a particular text frame might '
        "include a partial UTF-8 sequence; however, the whole message MUST contain valid UTF-8.",
        echoes("5.6-1", "ASCII", text("Hello"), "Hello"),
        echoes("5.6-2", "two, three and four octets", text("µ€😀"), "µ€😀"),
        echoes(
            "5.6-3", "a character in two frames", text(EURO[:1], fin=False) + last(EURO[1:]), "€"
        ),
        echoes(
            "5.6-4",
            "an octet in each frame",
            text(b"\xf0", fin=False) + more(b"\x9f") + more(b"\x98") + last(b"\x80"),
            "😀",
        ),
        echoes("5.6-5", "a BOM stays", text("\ufeffa"), "\ufeffa"),
        echoes("5.6-6", "NUL and other controls", text("\0\x01\x7f\r\n"), "\0\x01\x7f\r\n"),
        fails(
            "5.6-7",
            "two halves of a character in two messages",
            text(EURO[:1]) + text(EURO[1:]),
            1007,
        ),
    ),
    clause(
        "5.6",
        'The "Payload data" is arbitrary binary data whose interpretation is solely up to the '
        "application layer.",
        echoes("5.6-8", "not UTF-8", binary(b"\xff\xfe\xed\xa0\x80"), b"\xff\xfe\xed\xa0\x80"),
        echoes("5.6-9", "in fragments", binary(EURO[:1], fin=False) + last(b"\xff"), b"\xe2\xff"),
    ),
    clause(
        "5.7",
        "o A single-frame masked text message * 0x81 0x85 0x37 0xfa 0x21 0x3d 0x7f 0x9f 0x4d 0x51 "
        '0x58 (contains "Hello")',
        echoes(
            "5.7-1", "it", octets("0x81 0x85 0x37 0xfa 0x21 0x3d 0x7f 0x9f 0x4d 0x51 0x58"), "Hello"
        ),
        fails("5.7-2", "the unmasked one", octets("0x81 0x05 0x48 0x65 0x6c 0x6c 0x6f"), 1002),
    ),
    clause(
        "5.7",
        'o A fragmented unmasked text message * 0x01 0x03 0x48 0x65 0x6c (contains "Hel") * 0x80 '
        '0x02 0x6c 0x6f (contains "lo")',
        echoes(
            "5.7-3",
            "it, masked with 0",
            octets("01 83 00000000 48656c 80 82 00000000 6c6f"),
            "Hello",
        ),
    ),
    clause(
        "5.7",
        "o Unmasked Ping request and masked Ping response",
        Case(
            "5.7-4",
            "the ping is the client's here",
            octets("0x89 0x85 0x37 0xfa 0x21 0x3d 0x7f 0x9f 0x4d 0x51 0x58"),
            (Frame(0x8A, b"Hello"),),
        ),
        pongs(
            "5.7-5",
            "the response",
            octets("0x8a 0x85 0x37 0xfa 0x21 0x3d 0x7f 0x9f 0x4d 0x51 0x58"),
        ),
    ),
    clause(
        "5.7",
        "o 256 bytes binary message in a single unmasked frame (...) o 64KiB binary message in a "
        "single unmasked frame",
        Case(
            "5.7-6",
            "both, from the server",
            b"",
            (Frame(0x82, ALL_OCTETS), Frame(0x82, bytes(65536))),
            does=(ACCEPT, send(ALL_OCTETS), send(bytes(65536)), LISTEN),
        ),
    ),
    clause(
        "5.8",
        "The endpoints of a connection MUST negotiate the use of any extensions during the opening "
        "handshake.",
        also=["5.2-1", "5.2-12", "5.2-17", "7692:6-3"],
    ),
)
