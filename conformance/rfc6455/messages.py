"""RFC 6455, sections 6, 8 and 10.4: messages, UTF-8 and limits.

Rules of this file: data.
"""

from __future__ import annotations

from conformance.rfc6455.notation import (
    ACCEPT,
    BINARY,
    CONT,
    LISTEN,
    MAX_SIZE,
    REFUSED,
    TEXT,
    Case,
    Closed,
    Frame,
    Wait,
    binary,
    clause,
    close,
    disconnect,
    echoes,
    end,
    fails,
    frame,
    last,
    more,
    octets,
    plain,
    send,
    text,
)

GOOD = "κόσμε".encode()

#: RFC 3629, section 3 and 4: what is UTF-8 at its edges.
VALID = (
    ("NUL", "00"),
    ("the last of one octet", "7f"),
    ("the first of two octets", "c280"),
    ("the last of two octets", "dfbf"),
    ("the first of three octets", "e0a080"),
    ("the last before the surrogates", "ed9fbf"),
    ("the first behind the surrogates", "ee8080"),
    ("U+FFFE, no character, but valid", "efbfbe"),
    ("the last of three octets", "efbfbf"),
    ("the first of four octets", "f0908080"),
    ("the last of Unicode", "f48fbfbf"),
    ("U+FFFD itself", "efbfbd"),
)
#: What is not.
INVALID = (
    ("a continuation octet alone", "80"),
    ("the last continuation octet alone", "bf"),
    ("two octets, too long a form of /", "c0af"),
    ("two octets, too long a form of U+007F", "c1bf"),
    ("three octets, too long a form of /", "e080af"),
    ("three octets, too long a form of U+07FF", "e09fbf"),
    ("four octets, too long a form of /", "f08080af"),
    ("four octets, too long a form of U+FFFF", "f08fbfbf"),
    ("the first surrogate", "eda080"),
    ("the last surrogate", "edbfbf"),
    ("a pair of surrogates", "eda080edb080"),
    ("behind the last of Unicode", "f4908080"),
    ("a first octet of more", "f5808080"),
    ("five octets", "f888808080"),
    ("six octets", "fc8480808080"),
    ("FE", "fe"),
    ("FF", "ff"),
    ("the second octet is missing", "c220"),
    ("the third octet is missing", "e28220"),
    ("the fourth octet is missing", "f09f9820"),
    ("a first octet behind a first octet", "c2c280"),
)
#: Where a text may not end.
CUT = (
    ("one of two", "c2"),
    ("one of three", "e2"),
    ("two of three", "e282"),
    ("three of four", "f09f98"),
)

CLAUSES = (
    clause(
        "6.1",
        "1. The endpoint MUST ensure the WebSocket connection is in the OPEN state (...) If at any "
        "point the state of the WebSocket connection changes, the endpoint MUST abort the following "
        "steps.",
        Case("6.1-1", "not yet", told=(REFUSED,), does=(send(b"a"), ACCEPT, LISTEN)),
        Case(
            "6.1-2",
            "no longer: the client closed",
            close(1000),
            (Closed(1000, ""),),
            (disconnect(1000), REFUSED),
            does=(ACCEPT, LISTEN, send("a")),
        ),
        Case(
            "6.1-3",
            "no longer: the connection was failed",
            octets("ff 80 00000000"),
            (Closed(1002),),
            (disconnect(1002, None), REFUSED),
            does=(ACCEPT, LISTEN, send("a")),
        ),
        also=["5.5.1-11"],
    ),
    clause(
        "6.1",
        "2. An endpoint MUST encapsulate the /data/ in a WebSocket frame as defined in Section 5.2.",
        *(
            Case(
                f"6.1-{4 + i}",
                f"{size} octets",
                b"",
                (Frame(0x82, b"x" * size),),
                does=(ACCEPT, send(b"x" * size), LISTEN),
            )
            for i, size in enumerate((0, 125, 126, 65535, 65536, 200_000))
        ),
    ),
    clause(
        "6.1",
        "3. The opcode (frame-opcode) of the first frame containing the data MUST be set to the "
        "appropriate value from Section 5.2 (...) 4. The FIN bit (frame-fin) of the last frame "
        "containing the data MUST be set to 1",
        Case(
            "6.1-10",
            "text",
            b"",
            (Frame(0x81, "µ€😀".encode()),),
            does=(ACCEPT, send("µ€😀"), LISTEN),
        ),
        Case(
            "6.1-11", "binary", b"", (Frame(0x82, b"text"),), does=(ACCEPT, send(b"text"), LISTEN)
        ),
    ),
    clause(
        "6.1",
        "5. If the data is being sent by the client, the frame(s) MUST be masked",
        also=["5.1-1"],
        why="for clients",
    ),
    clause(
        "6.1",
        "7. The frame(s) that have been formed MUST be transmitted over the underlying network "
        "connection.",
        Case(
            "6.1-12",
            "in order, and before the end",
            (Wait(4), close(1000)),
            (plain("1"), plain(b"2"), plain("3"), Closed(1000, "")),
            (disconnect(1000),),
            does=(ACCEPT, send("1"), send(b"2"), send("3"), end(), LISTEN),
        ),
        Case(
            "6.1-13",
            "text that UTF-8 cannot carry is never sent",
            b"",
            (plain("a"),),
            (REFUSED,),
            does=(ACCEPT, send("\ud800"), send("a"), LISTEN),
        ),
        Case(
            "6.1-14",
            "neither is what is no message",
            told=(REFUSED, REFUSED, REFUSED),
            does=(
                ACCEPT,
                {"type": "websocket.send"},
                {"type": "websocket.send", "text": "a", "bytes": b"a"},
                {"type": "websocket.ping"},
                LISTEN,
            ),
        ),
    ),
    clause(
        "6.2",
        "Incoming data MUST be parsed as WebSocket frames as defined in Section 5.2. If a control "
        "frame (Section 5.5) is received, the frame MUST be handled as defined by Section 5.5.",
        echoes("6.2-1", "several in one go", text("a") + binary(b"b") + text("c"), "a", b"b", "c"),
        Case(
            "6.2-2",
            "half a header",
            octets("81"),
            told=(disconnect(1006, None),),
            lost=True,
        ),
        Case(
            "6.2-3",
            "half a frame",
            text("Hello")[:-1],
            told=(disconnect(1006, None),),
            lost=True,
        ),
        also=["5.4-26", "5.5.2-8"],
    ),
    clause(
        "6.2",
        "Upon receiving a data frame (Section 5.6), the endpoint MUST note the /type/ of the data as "
        "defined by the opcode (frame-opcode) from Section 5.2.",
        echoes("6.2-4", "the same octets", text("a") + binary(b"a"), "a", b"a"),
    ),
    clause(
        "6.2",
        "Subsequent data frames MUST be interpreted as belonging to a new WebSocket message.",
        echoes(
            "6.2-5",
            "of another type",
            text("a", fin=False) + last("b") + binary(b"c", fin=False) + last("d") + text("e"),
            "ab",
            b"cd",
            "e",
        ),
    ),
    clause(
        "6.2",
        "A server MUST remove masking for data frames received from a client as described in "
        "Section 5.3.",
        also=["5.3-1", "5.3-5", "5.7-1"],
    ),
    clause(
        "8.1",
        "When an endpoint is to interpret a byte stream as UTF-8 but finds that the byte stream is "
        "not, in fact, a valid UTF-8 stream, that endpoint MUST _Fail the WebSocket Connection_.",
        *(
            fails(f"8.1-{1 + i}", what, text(GOOD + octets(wrong) + b"x"), 1007)
            for i, (what, wrong) in enumerate(INVALID)
        ),
        *(
            fails(f"8.1-{22 + i}", f"the end behind {what}", text(GOOD + octets(wrong)), 1007)
            for i, (what, wrong) in enumerate(CUT)
        ),
        *(
            echoes(f"8.1-{26 + i}", what, text(octets(right)), octets(right).decode())
            for i, (what, right) in enumerate(VALID)
        ),
        fails(
            "8.1-38",
            "the end behind one of three, in fragments",
            text(GOOD, fin=False) + more(b"\xe2") + last(),
            1007,
        ),
        fails(
            "8.1-39",
            "two fragments that are valid by themselves but for the seam",
            text(b"\xe2\x82", fin=False) + last(b"a"),
            1007,
        ),
        fails("8.1-40", "behind a message", text("a") + text(b"\xff"), 1007, "a"),
    ),
    clause(
        "8.1",
        "finds that the byte stream is not, in fact, a valid UTF-8 stream",
        fails(
            "8.1-41", "in a fragment, when more is to come", text(GOOD + b"\xff", fin=False), 1007
        ),
        fails(
            "8.1-42", "in a frame of which half has come", frame(TEXT, b"\xff", length=100), 1007
        ),
        fails(
            "8.1-43", "a surrogate at its second octet", frame(TEXT, b"\xed\xa0", length=100), 1007
        ),
        fails(
            "8.1-44",
            "in a continuation",
            text(GOOD, fin=False) + frame(CONT, b"\xf8", length=9),
            1007,
        ),
    ),
    clause(
        "8.1",
        "This rule applies both during the opening handshake and during subsequent data exchange.",
        why="no part of a handshake is read as UTF-8: fields are octets for ASGI, tokens are ASCII, "
        "and a path that is not UTF-8 has U+FFFD in `path` and its octets in `raw_path`",
    ),
    clause(
        "10.3",
        "Clients MUST choose a new masking key for each frame",
        why="for clients, like the rest of 10.3",
    ),
    clause(
        "10.4",
        "Implementations that have implementation- and/or platform-specific limitations regarding "
        "the frame size or total message size after reassembly from multiple frames MUST protect "
        "themselves against exceeding those limits. (For example, (...) either a single big frame "
        "(e.g., of size 2**60) or by sending a long stream of small frames that are a part of a "
        "fragmented message.)",
        fails("10.4-1", "2**60", frame(BINARY, length=1 << 60), 1009),
        fails("10.4-2", "2**63 - 1", frame(TEXT, length=(1 << 63) - 1), 1009),
        fails(
            "10.4-3",
            "2**60 behind a fragment",
            binary(b"a", fin=False) + frame(CONT, length=1 << 60),
            1009,
        ),
        fails(
            "10.4-4",
            "a long stream of small frames",
            binary(bytes(1000), fin=False) + more(bytes(1000)) * (MAX_SIZE // 1000),
            1009,
        ),
    ),
    clause(
        "10.4",
        "Such an implementation SHOULD impose a limit on frame sizes and the total message size after "
        "reassembly from multiple frames.",
        fails("10.4-5", "one octet too many", frame(BINARY, length=MAX_SIZE + 1), 1009),
        echoes("10.4-6", "just not", binary(bytes(MAX_SIZE)), bytes(MAX_SIZE)),
        fails(
            "10.4-7",
            "one octet too many, in two",
            binary(bytes(MAX_SIZE - 1), fin=False) + frame(CONT, length=2),
            1009,
        ),
        echoes(
            "10.4-8",
            "just not, in two",
            binary(bytes(MAX_SIZE - 1), fin=False) + last(b"\0"),
            bytes(MAX_SIZE),
        ),
        fails("10.4-9", "behind a message", text("a") + frame(TEXT, length=1 << 40), 1009, "a"),
        Case(
            "10.4-10",
            "octets count, not characters",
            text("€" * (MAX_SIZE // 3 + 1)),
            (Closed(1009),),
            (disconnect(1009, None),),
        ),
        echoes(
            "10.4-11", "each message by itself", binary(bytes(40_000)) * 2, *[bytes(40_000)] * 2
        ),
        also=["7692:6.2-4", "7692:6.2-6", "7692:6.2-8"],
    ),
    clause(
        "10.7",
        "Incoming data MUST always be validated by both clients and servers.",
        fails("10.7-1", "HTTP where frames are due", b"GET / HTTP/1.1\r\n", 1002),
        fails("10.7-2", "a frame of ones", b"\xff" * 20, 1002),
        fails(
            "10.7-3",
            "a TLS client's first octets",
            octets("16 03 01 02 00 01 00 01 fc 03 03"),
            1002,
        ),
    ),
)
