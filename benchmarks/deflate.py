"""What the options of permessage-deflate cost and save; writes the tables of docs/compression.md.

    python -m benchmarks.deflate                 # prints the tables: half a minute
    python -m benchmarks.deflate --write-docs    # and writes them into the page

Rules of this file:
- It measures `asgiws.websocket.deflate` as a connection uses it, with the libraries that are installed.
- The messages are made up, the same ones each time. CPU time is that of this process, the best of several
  passes over them; memory is what the C library's allocator has handed out (glibc's `mallinfo2`).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from asgiws.websocket.compression import Compression, Settings
from asgiws.websocket.deflate import Deflate, Parameters
from asgiws.websocket.zlib_backend import (
    FASTEST_FIRST,
    SYNC_FLUSH,
    Backend,
    BackendMissing,
    choose,
)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "compression.md"
BLOCK = re.compile(r"(<!-- begin of what .*? -->\n).*?(<!-- end of what .*? -->)", re.DOTALL)
PASSES = 15
DEFAULTS = Settings()
#: What a packet on the network has beside our frame: IP and TCP headers.
PACKET = 40

TALK = (
    "the quick answer is that we should move this to the next release because nobody has looked at "
    "it since last week and there are still three open questions about how it behaves when a client "
    "leaves early can you check whether that also happens with the new build thanks I will have a "
    "look tomorrow morning and tell you what I find great see you then by the way did anyone try to "
    "start it on a machine with less memory yes it works but takes longer than before"
)
WORDS = TALK.split()


# The messages.


def messages() -> dict[str, list[bytes]]:
    """Series of messages as applications send them on one connection, from small to large."""
    chance = random.Random(7692)
    made: dict[str, Callable[[], object]] = {
        "price ticks": lambda: {
            "s": chance.choice(("BTCUSD", "ETHUSD", "SOLUSD")),
            "p": round(chance.uniform(10, 60000), 2),
            "q": round(chance.uniform(0, 3), 4),
            "t": 1_700_000_000_000 + chance.randrange(10**9),
        },
        "chat": lambda: {
            "type": "message",
            "room": chance.choice(("general", "random", "help")),
            "user": {
                "id": chance.randrange(1000),
                "name": chance.choice(("ana", "bo", "chen", "dora")),
            },
            "text": prose(chance, chance.randint(3, 20)),
            "ts": 1_700_000_000 + chance.randrange(10**6),
        },
        "dashboard": lambda: [
            {
                "host": f"web-{number}",
                "cpu": round(chance.uniform(0, 100), 1),
                "mem": chance.randrange(10**10),
                "up": True,
                "load": [round(chance.uniform(0, 4), 2) for _ in range(3)],
            }
            for number in range(10)
        ],
        "document": lambda: {
            "id": chance.randrange(10**6),
            "paragraphs": [prose(chance, 60) for _ in range(25)],
        },
    }
    counts = {"price ticks": 400, "chat": 300, "dashboard": 150, "document": 50}
    return {
        name: [json.dumps(make(), separators=(",", ":")).encode() for _ in range(counts[name])]
        for name, make in made.items()
    }


def prose(chance: random.Random, words: int) -> str:
    """Text: runs of words as they follow each other in a sentence."""
    text: list[str] = []
    while len(text) < words:
        start = chance.randrange(len(WORDS))
        text += WORDS[start : start + chance.randint(2, 6)]
    return " ".join(text[:words])


# Measuring.


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process, the best of several passes."""
    best = float("inf")
    for _ in range(PASSES):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best


class Cost:
    """What compressing a series takes: octets out for one in, microseconds a message."""

    def __init__(self, series: Sequence[bytes], settings: Settings, backend: Backend) -> None:
        alone = settings.server_no_context_takeover
        parameters = Parameters(alone, False, settings.window_bits, 15)
        out: list[bytes] = []

        def work() -> None:
            deflate = Deflate(parameters, Compression(settings, backend))
            out[:] = [deflate.compress(message) for message in series]

        seconds = cpu_seconds(work)
        self.size = sum(map(len, out)) / len(out)
        self.ratio = sum(map(len, series)) / sum(map(len, out))
        self.microseconds = seconds / len(series) * 1e6

    def __str__(self) -> str:
        return f"{self.ratio:.2f}, {self.microseconds:.1f}"


def inflating(series: Sequence[bytes], backend: Backend) -> float:
    """Microseconds to inflate a message."""
    client = Deflate(Parameters(False, False, DEFAULTS.client_window_bits, 15))
    sent = [client.compress(message) for message in series]

    def work() -> None:
        server = Deflate(
            Parameters(False, False, 12, DEFAULTS.client_window_bits),
            Compression(DEFAULTS, backend),
        )
        for payload in sent:
            server.inflate(payload, True, 1 << 24)

    return cpu_seconds(work) / len(series) * 1e6


class _MallInfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def allocated() -> int | None:
    """Octets that malloc has handed out; None where it does not tell."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        return None
    mallinfo2.restype = _MallInfo
    info = mallinfo2()
    return int(info.uordblks + info.hblkhd)


def octets_of(make: Callable[[], object], count: int = 64) -> int | None:
    """Octets that each of the objects made takes of malloc."""
    kept: list[object] = [None] * count
    before = allocated()
    for index in range(count):
        kept[index] = make()
    after = allocated()
    return None if before is None or after is None else (after - before) // count


def compressor_kib(backend: Backend, bits: int, memory_level: int) -> str:
    """KiB of a compressor that has seen a message."""
    return kib(octets_of(partial(used_compressor, backend, bits, memory_level)))


def inflater_kib(backend: Backend, bits: int) -> str:
    """KiB of an inflater that has seen a message."""
    return kib(octets_of(partial(used_inflater, backend, bits)))


def used_compressor(backend: Backend, bits: int, memory_level: int) -> object:
    compressor = backend.new_compressor(DEFAULTS.level, bits, memory_level)
    compressor.compress(b"a message " * 20)
    compressor.flush(SYNC_FLUSH)
    return compressor


def used_inflater(backend: Backend, bits: int) -> object:
    inflater = backend.new_inflater(bits)
    payload = Deflate(Parameters(True, True, 9, 15)).compress(random.Random(1).randbytes(300) * 4)
    inflater.decompress(payload + b"\x00\x00\xff\xff", 1 << 20)
    return inflater


# The tables.


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return [*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""]


def kib(octets: int | None) -> str:
    return "not told" if octets is None else f"{octets / 1024:.1f}"


def sections(backends: Sequence[Backend]) -> Iterable[str]:
    series = messages()
    zlib = backends[-1]
    yield (
        f"Measured with {', '.join(map(str, backends))} on {platform.python_implementation()} "
        f"{platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores. Each "
        "cell is the ratio and the microseconds of CPU time for a message.\n"
    )
    sizes = [sum(map(len, some)) // len(some) for some in series.values()]
    head = [f"{name}, {size} octets" for name, size in zip(series, sizes, strict=True)]

    def costs(settings: Settings, backend: Backend = zlib) -> list[Cost]:
        return [Cost(some, settings, backend) for some in series.values()]

    yield "**Level**, the other options at their defaults:\n"
    yield from table(
        ["level", *head],
        [
            [f"{one.name} {level}", *costs(DEFAULTS._replace(level=level), one)]
            for one in reversed(backends)
            for level in range(1, 10)
        ],
    )
    yield "**Window bits and memory level**, with what one compressor holds:\n"
    yield from table(
        ["window bits", "memory level", "KiB", *head],
        [
            [
                *(
                    bits,
                    memory_level,
                    compressor_kib(zlib, bits, memory_level),
                ),
                *costs(DEFAULTS._replace(window_bits=bits, memory_level=memory_level)),
            ]
            for bits, memory_level in (
                *((9, 5), (10, 5), (11, 5), (12, 3), (12, 5), (12, 8), (13, 6)),
                *((14, 7), (15, 8), (15, 9)),
            )
        ],
    )
    yield "**Context takeover**: with it, and with each message by itself:\n"
    yield from table(
        ["", *head],
        [
            ["context kept", *costs(DEFAULTS)],
            ["each by itself", *costs(DEFAULTS._replace(server_no_context_takeover=True))],
        ],
    )
    yield "**The libraries**, with the defaults, and inflating (microseconds alone):\n"
    yield from table(
        ["", *head],
        [
            *([f"{backend.name}, context kept", *costs(DEFAULTS, backend)] for backend in backends),
            *(
                [
                    f"{backend.name}, each by itself",
                    *costs(DEFAULTS._replace(server_no_context_takeover=True), backend),
                ]
                for backend in backends
            ),
            *(
                [
                    f"{backend.name}, inflating",
                    *(f"{inflating(some, backend):.1f}" for some in series.values()),
                ]
                for backend in backends
            ),
        ],
    )
    yield "**Memory** of one stream in KiB, as measured and as the cap counts it:\n"
    columns = [f"{one.name}, {what}" for one in backends for what in ("measured", "counted")]
    rows = []
    for bits, memory_level in ((9, 1), (12, 5), (15, 8), (15, 9)):
        row = [f"compressor, window {bits}, memory level {memory_level}"]
        for one in backends:
            row.append(compressor_kib(one, bits, memory_level))
            row.append(kib(one.compressor_size(bits, memory_level)))
        rows.append(row)
    for bits in (9, 12, 15):
        row = [f"inflater, window {bits}"]
        for one in backends:
            row += [inflater_kib(one, bits), kib(one.inflater_size(bits))]
        rows.append(row)
    yield from table(["stream", *columns], rows)
    yield "**Minimum size**: the ends of chat messages, cut to a size. Octets out, microseconds:\n"
    chat = [message for message in series["chat"] if len(message) >= 128]
    rows = []
    for size in (8, 16, 24, 32, 48, 64, 96, 128):
        cut = [message[-size:] for message in chat]
        row = [str(size)]
        for alone in (False, True):
            cost = Cost(cut, DEFAULTS._replace(server_no_context_takeover=alone), zlib)
            saved = (size - cost.size) / (size + 2 + PACKET) * 100
            row.append(f"{cost.size:.0f}, {cost.microseconds:.1f}, {saved:.0f} %")
        rows.append(row)
    yield from table(
        ["octets in", "context kept, saved of the packet", "each by itself, saved of the packet"],
        rows,
    )


def installed() -> list[Backend]:
    """The libraries that are there, Python's own last."""
    found = []
    for name in FASTEST_FIRST:
        with suppress(BackendMissing):
            found.append(choose(name))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.deflate", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--write-docs", action="store_true", help="write the tables to docs/compression.md"
    )
    options = parser.parse_args()
    text = ""
    for line in sections(installed()):
        print(line, flush=True)
        text += f"{line}\n"
    if options.write_docs:
        page = PAGE.read_text("utf-8")
        PAGE.write_text(
            BLOCK.sub(lambda match: f"{match[1]}\n{text.strip()}\n\n{match[2]}", page), "utf-8"
        )
        print(f"Written: {PAGE.name}")


if __name__ == "__main__":
    main()
