"""RFC 7692, sections 5 to 7: permessage-deflate.

Rules of this file:
- Data. Ids begin with 7692.
- Where the RFC leaves a choice to the server (which window it names, whether it confirms a hint,
  whether it compresses a message), the case holds it to what is legal and not to one choice; the
  runner inflates what comes with exactly the window and context that the response promised.
"""

from __future__ import annotations

import random
from typing import Any

from conformance.rfc6455.notation import (
    ACCEPT,
    DEFLATE,
    HELLO,
    LISTEN,
    MAX_SIZE,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    Agreed,
    Case,
    Closed,
    Deflater,
    Message,
    Received,
    binary,
    clause,
    close,
    deflated,
    disconnect,
    echoes,
    fails,
    frame,
    last,
    more,
    octets,
    offering,
    ping,
    ponged,
    send,
    text,
)

NAME = "permessage-deflate"
PLAIN = text("Hello")

#: What zlib cannot make smaller but by what it has seen: a message sent twice tells its window.
NOISE = random.Random(7692).randbytes(600)
FAR = random.Random(1951).randbytes(30_000)


def offers(id: str, what: str, *values: str, **agreed: Any) -> Case:
    """The offer is accepted: a message passes each way."""
    return echoes(
        id,
        what,
        text(HELLO, rsv=RSV1) + PLAIN,
        "Hello",
        "Hello",
        request=offering(*values),
        extension=Agreed(**agreed),
    )


def declined(id: str, what: str, *values: str) -> Case:
    """The offer is declined: the connection goes on without compression."""
    return echoes(id, what, PLAIN, "Hello", request=offering(*values))


def inflates(id: str, what: str, data: Received, *contents: str | bytes, **more: Any) -> Case:
    """With compression agreed, the messages reach the application."""
    return echoes(id, what, data, *contents, **{"request": DEFLATE, "extension": Agreed(), **more})


def breaks(id: str, what: str, data: Received, code: int, *before: str, **more: Any) -> Case:
    """With compression agreed, the connection is failed."""
    return fails(id, what, data, code, *before, request=DEFLATE, extension=Agreed(), **more)


def speaks(id: str, what: str, value: str, *contents: str | bytes, **agreed: Any) -> Case:
    """The application sends the messages."""
    return Case(
        id,
        what,
        b"",
        tuple(Message(content) for content in contents),
        does=(ACCEPT, *(send(content) for content in contents), LISTEN),
        request=offering(value),
        extension=Agreed(**agreed),
    )


def shared(*messages: bytes, bits: int = 15) -> bytes:
    """Messages of a client that keeps its window."""
    deflater = Deflater(bits)
    return b"".join(binary(deflater.message(message), rsv=RSV1) for message in messages)


def fragments(*pieces: str) -> bytes:
    """A compressed text of which each fragment is flushed."""
    deflater = Deflater()
    first, *others = [deflater.piece(piece) for piece in pieces[:-1]]
    wire = text(first, rsv=RSV1, fin=False) + b"".join(more(other) for other in others)
    return wire + last(deflater.message(pieces[-1]))


CLAUSES = (
    clause(
        "5",
        "The order of elements is important as it specifies the client's preference. An element "
        "preceding another element has higher preference. It is recommended that a server accepts "
        "PMCEs with higher preference if the server supports them.",
        offers(
            "7692:5-1",
            "the first of two",
            f"{NAME}; server_max_window_bits=10, {NAME}",
            server_max_window_bits=10,
            confirm=True,
        ),
        offers(
            "7692:5-2",
            "the first, in lines of their own",
            f"{NAME}; server_no_context_takeover",
            NAME,
            server_no_context_takeover=True,
        ),
        offers("7692:5-3", '"as a fallback plan"', f"permessage-foo, {NAME}"),
        offers("7692:5-4", "behind one with a parameter not known", f"{NAME}; use_y, {NAME}"),
    ),
    clause(
        "5",
        "To accept the use of an offered PMCE, a server MUST include the extension name of the PMCE "
        'in the "Sec-WebSocket-Extensions" header field (...) The element MUST represent a PMCE that '
        "is fully supported by the server.",
        offers("7692:5-5", "the simplest", NAME),
    ),
    clause(
        "5",
        "A server MUST NOT accept a PMCE extension negotiation offer together with another extension "
        "if the PMCE will conflict with the extension on their use of the RSV1 bit.",
        offers("7692:5-6", "another that uses it", f"x-webkit-deflate-frame, {NAME}"),
        offers("7692:5-7", "the same twice", f"{NAME}, {NAME}"),
    ),
    clause(
        "5",
        "A server MUST NOT accept a PMCE extension negotiation offer together with another extension "
        "if the PMCE will be applied to the output of the extension and any of the following",
        also=["7692:5-6"],
        why="the server has one extension",
    ),
    clause(
        "5",
        "A server declining all offered PMCEs MUST NOT include any element with PMCE names. If a "
        'server responds with no PMCE element in the "Sec-WebSocket-Extensions" header, both '
        "endpoints proceed without per-message compression",
        declined("7692:5-8", "those of the example", "permessage-foo, permessage-bar"),
        declined("7692:5-9", "all of ours are wrong", f"{NAME}; x, {NAME}; y"),
        fails(
            "7692:5-10",
            "a compressed message then",
            text(HELLO, rsv=RSV1),
            1002,
            request=offering(f"{NAME}; x"),
        ),
    ),
    clause(
        "5",
        "both endpoints MUST use the algorithm described in Section 6 and the message payload "
        "transformation (compressing and decompressing) procedure of the PMCE configured with the "
        '"agreed parameters" returned by the server to exchange messages.',
        also=["7692:6-1", "7692:7.2.1-1"],
    ),
    clause(
        "6",
        "An endpoint receiving a compressed message decompresses the concatenation of the compressed "
        "data of the frames of the message",
        inflates("7692:6-1", "in one frame", text(HELLO, rsv=RSV1), "Hello"),
        inflates(
            "7692:6-2",
            "in as many as it has octets",
            text(HELLO[:1], rsv=RSV1, fin=False)
            + b"".join(more(HELLO[i : i + 1]) for i in range(1, 6))
            + last(HELLO[6:]),
            "Hello",
        ),
        fails("7692:6-3", "no compression was agreed", text(HELLO, rsv=RSV1), 1002),
    ),
    clause(
        "6",
        "An endpoint receiving an uncompressed message uses the concatenation of the application data "
        "portion of the frames of the message as is",
        inflates("7692:6-4", "in one frame", PLAIN, "Hello"),
        inflates("7692:6-5", "in two", binary(b"a", fin=False) + last(b"b"), b"ab"),
        inflates("7692:6-6", "octets that could be inflated", binary(HELLO), HELLO),
        inflates(
            "7692:6-7",
            "in turns",
            text("a") + text(HELLO, rsv=RSV1) + binary(b"b") + binary(HELLO, rsv=RSV1),
            "a",
            "Hello",
            b"b",
            b"Hello",
        ),
    ),
    clause(
        "6",
        "this bit indicates whether a message is compressed or not",
        breaks("7692:6-8", "RSV2 still has no meaning", text(HELLO, rsv=RSV2), 1002),
        breaks("7692:6-9", "nor has RSV3, with RSV1", text(HELLO, rsv=RSV1 | RSV3), 1002),
    ),
    clause(
        "6.1",
        'An endpoint MUST NOT set the "Per-Message Compressed" bit of control frames and non-first '
        "fragments of a data message. An endpoint receiving such a frame MUST _Fail the WebSocket "
        "Connection_.",
        breaks("7692:6.1-1", "a ping", ping("a", rsv=RSV1), 1002),
        breaks("7692:6.1-2", "a pong", frame(0xA, "a", rsv=RSV1), 1002),
        breaks("7692:6.1-3", "a close frame", close(1000, rsv=RSV1), 1002),
        breaks(
            "7692:6.1-4",
            "a continuation of a compressed message",
            text(HELLO[:3], rsv=RSV1, fin=False) + last(HELLO[3:], rsv=RSV1),
            1002,
        ),
        breaks(
            "7692:6.1-5",
            "a continuation of another",
            text("a", fin=False) + last("b", rsv=RSV1),
            1002,
        ),
        breaks("7692:6.1-6", "behind a message", PLAIN + ping(rsv=RSV1), 1002, "Hello"),
        Case(
            "7692:6.1-7",
            "ours: pongs and close frames are never compressed",
            ping("Hello") + close(1000, "bye"),
            (ponged("Hello"), Closed(1000, "bye")),
            (disconnect(1000, "bye"),),
            request=DEFLATE,
            extension=Agreed(),
        ),
    ),
    clause(
        "6.1",
        "The opcode of the first frame of a compressed message indicates the opcode of the original "
        "message.",
        inflates(
            "7692:6.1-8",
            "text and binary",
            text(HELLO, rsv=RSV1) + binary(HELLO, rsv=RSV1),
            "Hello",
            b"Hello",
        ),
    ),
    clause(
        "6.1",
        "the concatenation of the output data corresponding to the application data portion of "
        "frames of a compressed text message is not required to be valid UTF-8. At the receiver, the "
        "payload data portion after decompression is subject to the constraints for the original "
        "data type again.",
        inflates(
            "7692:6.1-9", "characters of all sizes", text(deflated("aµ€😀"), rsv=RSV1), "aµ€😀"
        ),
        breaks("7692:6.1-10", "not UTF-8", text(deflated(b"ok\xff"), rsv=RSV1), 1007),
        breaks(
            "7692:6.1-11", "cut within a character", text(deflated(b"\xe2\x82"), rsv=RSV1), 1007
        ),
        breaks(
            "7692:6.1-12",
            "at once, in a fragment that is not the last",
            text(Deflater().piece(b"\xff"), rsv=RSV1, fin=False),
            1007,
        ),
        inflates(
            "7692:6.1-13", "binary has none", binary(deflated(b"\xff\xc0"), rsv=RSV1), b"\xff\xc0"
        ),
    ),
    clause(
        "6.2",
        "1. Concatenate the payload data portion of the received frames of the compressed message. "
        "(...) 2. Decompress the concatenation by following the decompression procedure of the PMCE.",
        inflates(
            "7692:6.2-1",
            "with pings between",
            text(HELLO[:3], rsv=RSV1, fin=False) + ping("p") + more() + last(HELLO[3:]),
            "Hello",
        )._replace(sent=(ponged("p"), Message("Hello"))),
        inflates(
            "7692:6.2-2",
            "the first empty",
            binary(rsv=RSV1, fin=False) + more(HELLO) + last(),
            b"Hello",
        ),
        Case(
            "7692:6.2-3",
            "a close frame between",
            text(HELLO[:3], rsv=RSV1, fin=False) + close(1000),
            (Closed(1000, ""),),
            (disconnect(1000),),
            request=DEFLATE,
            extension=Agreed(),
        ),
    ),
    clause(
        "6.2",
        "2. Decompress the concatenation by following the decompression procedure of the PMCE.",
        breaks(
            "7692:6.2-4",
            "too big once inflated",
            binary(deflated(bytes(MAX_SIZE + 1)), rsv=RSV1),
            1009,
        ),
        inflates(
            "7692:6.2-5", "just not", binary(deflated(bytes(MAX_SIZE)), rsv=RSV1), bytes(MAX_SIZE)
        ),
        breaks(
            "7692:6.2-6",
            "in fragments, of which the last does not come",
            binary(Deflater().piece(bytes(MAX_SIZE + 1)), rsv=RSV1, fin=False),
            1009,
        ),
        breaks(
            "7692:6.2-7", "ten million octets", binary(deflated(bytes(10_000_000)), rsv=RSV1), 1009
        ),
        breaks(
            "7692:6.2-8",
            "2**60 octets, compressed",
            frame(TEXT, b"x", rsv=RSV1, length=1 << 60),
            1009,
        ),
    ),
    clause(
        "6.2",
        "An endpoint MUST use the following algorithm to receive a message in the form of an "
        "uncompressed message.",
        also=["7692:6-4", "7692:6-5"],
    ),
    clause(
        "7",
        "A server MUST decline an extension negotiation offer for this extension if any of the "
        "following conditions are met: o The negotiation offer contains an extension parameter not "
        "defined for use in an offer. o The negotiation offer contains an extension parameter with "
        "an invalid value. o The negotiation offer contains multiple extension parameters with the "
        "same name. o The server doesn't support the offered configuration.",
        declined("7692:7-1", "not defined", f"{NAME}; server_window"),
        declined("7692:7-2", "not defined, with a value", f"{NAME}; level=9"),
        declined(
            "7692:7-3",
            "twice, no value",
            f"{NAME}; server_no_context_takeover; server_no_context_takeover",
        ),
        declined(
            "7692:7-4", "twice", f"{NAME}; server_max_window_bits=10; server_max_window_bits=10"
        ),
        declined(
            "7692:7-5",
            "twice, with and without",
            f"{NAME}; client_max_window_bits; client_max_window_bits=10",
        ),
        offers(
            "7692:7-6",
            "a window of 256 octets where that cannot be had, and a second choice",
            f"{NAME}; server_max_window_bits=8, {NAME}",
        ),
        offers(
            "7692:7-7",
            "three wrong ones before",
            f"{NAME}; x, {NAME}; server_max_window_bits, {NAME}; client_max_window_bits=16, {NAME}",
        ),
    ),
    clause(
        "7.1.1.1",
        "This extension parameter has no value. (...) A server accepts an extension negotiation offer "
        'that includes the "server_no_context_takeover" extension parameter by including the '
        '"server_no_context_takeover" extension parameter in the corresponding extension negotiation '
        "response",
        offers(
            "7692:7.1.1.1-1",
            "confirmed",
            f"{NAME}; server_no_context_takeover",
            server_no_context_takeover=True,
        ),
        declined("7692:7.1.1.1-2", "with a value", f"{NAME}; server_no_context_takeover=1"),
        declined(
            "7692:7.1.1.1-3", "with a value in quotes", f'{NAME}; server_no_context_takeover="x"'
        ),
    ),
    clause(
        "7.1.1.2",
        'A server MAY include the "client_no_context_takeover" extension parameter in an extension '
        "negotiation response. (...) the server may either ignore the parameter or use the parameter",
        offers("7692:7.1.1.2-1", "a hint", f"{NAME}; client_no_context_takeover"),
        declined("7692:7.1.1.2-2", "with a value", f"{NAME}; client_no_context_takeover=0"),
    ),
    clause(
        "7.1.2.1",
        "This parameter has a decimal integer value without leading zeroes between 8 to 15, "
        "inclusive (...) A server accepts an extension negotiation offer with this parameter by "
        'including the "server_max_window_bits" extension parameter in the extension negotiation '
        "response to send back to the client with the same or smaller value as the offer.",
        *(
            offers(
                f"7692:7.1.2.1-{1 + i}",
                f"{bits}",
                f"{NAME}; server_max_window_bits={bits}",
                server_max_window_bits=bits,
                confirm=True,
            )
            for i, bits in enumerate(range(9, 16))
        ),
        *(
            declined(
                f"7692:7.1.2.1-{8 + i}",
                value or "no value",
                f"{NAME}; server_max_window_bits{value}",
            )
            for i, value in enumerate(
                ("", "=7", "=16", "=010", "=0", "=100", "=ten", "=+10", "=10.0")
            )
        ),
    ),
    clause(
        "7.1.2.1",
        "A server declines an extension negotiation offer with this parameter if the server doesn't "
        "support it.",
        declined(
            "7692:7.1.2.1-17",
            "8: no raw stream of zlib has it",
            f"{NAME}; server_max_window_bits=8",
        ),
    ),
    clause(
        "7.1.2.2",
        "This parameter has no value or a decimal integer value without leading zeroes between 8 to "
        '15 inclusive (...) the server MAY include the "client_max_window_bits" extension parameter '
        "in the corresponding extension negotiation response to the offer (...) with a value equal to "
        "or smaller than the received value.",
        offers(
            "7692:7.1.2.2-1",
            "no value",
            f"{NAME}; client_max_window_bits",
            client_max_window_bits=15,
        ),
        *(
            offers(
                f"7692:7.1.2.2-{2 + i}",
                f"{bits}",
                f"{NAME}; client_max_window_bits={bits}",
                client_max_window_bits=bits,
            )
            for i, bits in enumerate(range(8, 16))
        ),
        *(
            declined(f"7692:7.1.2.2-{10 + i}", value, f"{NAME}; client_max_window_bits={value}")
            for i, value in enumerate(("7", "16", "08", "x", "1", "999"))
        ),
    ),
    clause(
        "7.1.2.2",
        'If a received extension negotiation offer doesn\'t have the "client_max_window_bits" '
        "extension parameter, the corresponding extension negotiation response to the offer MUST NOT "
        'include the "client_max_window_bits" extension parameter.',
        also=["7692:5-5", "7692:7.1.1.1-1", "7692:7.1.2.1-1"],
    ),
    clause(
        "7.1.3",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits; "
        "server_max_window_bits=10",
        offers(
            "7692:7.1.3-1",
            "the example",
            f"{NAME}; client_max_window_bits; server_max_window_bits=10",
            server_max_window_bits=10,
            confirm=True,
            client_max_window_bits=15,
        ),
        offers(
            "7692:7.1.3-2",
            "the example with a fallback",
            f"{NAME}; client_max_window_bits; server_max_window_bits=10, {NAME}; client_max_window_bits",
            server_max_window_bits=10,
            confirm=True,
            client_max_window_bits=15,
        ),
        offers(
            "7692:7.1.3-3",
            "all four",
            f"{NAME}; server_no_context_takeover; client_no_context_takeover; "
            "server_max_window_bits=9; client_max_window_bits=9",
            server_no_context_takeover=True,
            server_max_window_bits=9,
            confirm=True,
            client_max_window_bits=9,
        ),
    ),
    clause(
        "7.2.1",
        "1. Compress all the octets of the payload of the message using DEFLATE. 2. If the resulting "
        'data does not end with an empty DEFLATE block with no compression (the "BTYPE" bits are set '
        "to 00), append an empty DEFLATE block (...) 3. Remove 4 octets (that are 0x00 0x00 0xff "
        "0xff) from the tail end.",
        speaks(
            "7692:7.2.1-1",
            "several messages",
            NAME,
            "Hello",
            b"Hello",
            "",
            b"",
            "aµ€😀",
            bytes(70_000),
        ),
        speaks("7692:7.2.1-2", "what cannot be compressed", NAME, FAR),
        speaks("7692:7.2.1-3", "an empty one", NAME, ""),
    ),
    clause(
        "7.2.1",
        'When any DEFLATE block with the "BFINAL" bit set to 1 doesn\'t end at a byte boundary, an '
        "endpoint MUST add minimal padding bits of 0 to make it end at a byte boundary.",
        also=["7692:7.2.1-1"],
        why="the runner accepts no leftover octet after a stream",
    ),
    clause(
        "7.2.1",
        "Note that for non-final fragments, the removal of 0x00 0x00 0xff 0xff MUST NOT be done.",
        inflates("7692:7.2.1-4", "the client's", fragments("Hel", "lo ", "there"), "Hello there"),
        inflates("7692:7.2.1-5", "an empty last one", fragments("Hello", ""), "Hello"),
        also=["7692:7.2.1-1"],
    ),
    clause(
        "7.2.1",
        "An endpoint MUST NOT use an LZ77 sliding window longer than 32,768 bytes to compress "
        "messages to send.",
        speaks("7692:7.2.1-6", "the same again, far behind", NAME, FAR, FAR, FAR),
    ),
    clause(
        "7.2.1",
        'If the "agreed parameters" contain the "server_no_context_takeover" extension parameter, '
        "the server MUST start compressing each new message with an empty LZ77 sliding window.",
        speaks(
            "7692:7.2.1-7",
            "the same again",
            f"{NAME}; server_no_context_takeover",
            NOISE[:200],
            NOISE[:200],
            "Hello" * 50,
            "Hello" * 50,
            server_no_context_takeover=True,
        ),
    ),
    clause(
        "7.2.1",
        'If the "agreed parameters" contain the "server_max_window_bits" extension parameter with a '
        "value of w, the server MUST NOT use an LZ77 sliding window longer than the w-th power of 2 "
        "bytes to compress messages to send.",
        speaks(
            "7692:7.2.1-8",
            "the same again, 600 octets behind, with a window of 512",
            f"{NAME}; server_max_window_bits=9",
            NOISE + NOISE,
            NOISE,
            server_max_window_bits=9,
            confirm=True,
        ),
        speaks(
            "7692:7.2.1-9",
            "with a window of 1024",
            f"{NAME}; server_max_window_bits=10",
            NOISE + NOISE + NOISE[:500] + NOISE,
            server_max_window_bits=10,
            confirm=True,
        ),
    ),
    clause(
        "7.2.2",
        "1. Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload of the message. 2. "
        "Decompress the resulting data using DEFLATE.",
        breaks("7692:7.2.2-1", "a block of a reserved type", text(b"\x07", rsv=RSV1), 1007),
        breaks(
            "7692:7.2.2-2",
            "a distance too far back",
            text(octets("f2 00 11 00 00"), rsv=RSV1),
            1007,
        ),
        breaks(
            "7692:7.2.2-3",
            "a stored block whose length has a wrong complement",
            text(octets("00 05 00 fa fe 48 65 6c 6c 6f 00"), rsv=RSV1),
            1007,
        ),
        breaks(
            "7692:7.2.2-4", "behind a message", PLAIN + binary(b"\x06", rsv=RSV1), 1007, "Hello"
        ),
        inflates("7692:7.2.2-5", "an empty message", text(b"\0", rsv=RSV1), ""),
        inflates("7692:7.2.2-6", "another empty message", binary(octets("02 00"), rsv=RSV1), b""),
    ),
    clause(
        "7.2.2",
        'If the "agreed parameters" contain the "client_no_context_takeover" extension parameter, '
        "the server MAY decompress each new message with an empty LZ77 sliding window. Otherwise, the "
        "server MUST decompress each new message using the LZ77 sliding window used to process the "
        "last compressed message.",
        inflates("7692:7.2.2-7", "kept", shared(NOISE, NOISE, NOISE), NOISE, NOISE, NOISE),
        inflates(
            "7692:7.2.2-8",
            "a window emptied by the client, who need not keep it",
            binary(deflated(NOISE), rsv=RSV1) * 2,
            NOISE,
            NOISE,
        ),
        inflates(
            "7692:7.2.2-9",
            "emptied, as agreed",
            binary(deflated(NOISE), rsv=RSV1) * 2,
            NOISE,
            NOISE,
            request=offering(f"{NAME}; client_no_context_takeover"),
        ),
    ),
    clause(
        "7.2.2",
        'If the "agreed parameters" contain the "client_max_window_bits" extension parameter with a '
        "value of w, the server MAY reduce the size of its LZ77 sliding window (...) Otherwise, the "
        "server MUST use a 32,768-byte LZ77 sliding window to decompress received messages.",
        inflates("7692:7.2.2-10", "the same, 30000 octets behind", shared(FAR, FAR), FAR, FAR),
        inflates(
            "7692:7.2.2-11",
            "within a message",
            binary(deflated(FAR + FAR), rsv=RSV1),
            FAR + FAR,
        ),
        *(
            inflates(
                f"7692:7.2.2-{12 + i}",
                f"a window of {bits} bits",
                shared(NOISE, NOISE, bits=bits),
                NOISE,
                NOISE,
                request=offering(f"{NAME}; client_max_window_bits={bits}"),
                extension=Agreed(client_max_window_bits=bits),
            )
            for i, bits in enumerate((9, 10, 12))
        ),
    ),
    clause(
        "7.2.3.1",
        "0xf2 0x48 0xcd 0xc9 0xc9 0x07 0x00",
        inflates("7692:7.2.3.1-1", "in one frame", text(HELLO, rsv=RSV1), "Hello"),
        inflates(
            "7692:7.2.3.1-2",
            "in two: 0x41 0x03 0xf2 0x48 0xcd and 0x80 0x04 0xc9 0xc9 0x07 0x00",
            octets("41 83 00000000 f248cd 80 84 00000000 c9c90700"),
            "Hello",
        ),
    ),
    clause(
        "7.2.3.2",
        "0xf2 0x00 0x11 0x00 0x00 (...) Note that even if some uncompressed messages (with the RSV1 "
        'bit unset) are inserted between the two "Hello" messages, they don\'t affect the LZ77 '
        "sliding window.",
        inflates(
            "7692:7.2.3.2-1",
            "one behind the other",
            text(HELLO, rsv=RSV1) + text(octets("f200110000"), rsv=RSV1),
            "Hello",
            "Hello",
        ),
        inflates(
            "7692:7.2.3.2-2",
            "with another one between",
            text(HELLO, rsv=RSV1) + text("other") + text(octets("f200110000"), rsv=RSV1),
            "Hello",
            "other",
            "Hello",
        ),
    ),
    clause(
        "7.2.3.3",
        "A DEFLATE block with no compression may be used.",
        inflates(
            "7692:7.2.3.3-1",
            "the example",
            text(octets("0x00 0x05 0x00 0xfa 0xff 0x48 0x65 0x6c 0x6c 0x6f 0x00"), rsv=RSV1),
            "Hello",
        ),
    ),
    clause(
        "7.2.3.4",
        'This is the payload of a message containing "Hello" compressed using a DEFLATE block with '
        '"BFINAL" set to 1.',
        inflates(
            "7692:7.2.3.4-1",
            "the example, and a message behind it",
            text(octets("0xf3 0x48 0xcd 0xc9 0xc9 0x07 0x00 0x00"), rsv=RSV1)
            + text(HELLO, rsv=RSV1),
            "Hello",
            "Hello",
        ),
        inflates(
            "7692:7.2.3.4-2",
            "in the middle of a message",
            text(octets("f348cdc9c90700"), rsv=RSV1, fin=False) + last(HELLO),
            "HelloHello",
        ),
    ),
    clause(
        "7.2.3.5",
        "Two or more DEFLATE blocks may be used in one message.",
        inflates(
            "7692:7.2.3.5-1",
            "the example",
            text(
                octets("0xf2 0x48 0x05 0x00 0x00 0x00 0xff 0xff 0xca 0xc9 0xc9 0x07 0x00"), rsv=RSV1
            ),
            "Hello",
        ),
    ),
    clause(
        "7.2.3.6",
        'The single octet 0x00 contains the header bits with "BFINAL" set to 0 and "BTYPE" set to '
        "00, and 5 padding bits of 0.",
        inflates(
            "7692:7.2.3.6-1",
            "as the last fragment",
            text(Deflater().piece("Hello"), rsv=RSV1, fin=False) + last(b"\0"),
            "Hello",
        ),
    ),
)
