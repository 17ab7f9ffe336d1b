"""Runs one target where there is no Atheris, and under the address sanitizer.

Rules of this file:
- `python -m tests.fuzz.mutator TARGET SECONDS CURRENT DIRECTORY...` is for `python -m tests.fuzz` to start.
- It changes inputs of the corpus at random and knows nothing of coverage.
- It says how far it is in libFuzzer's words, for `python -m tests.fuzz` to read.
- The input that runs is in the file CURRENT first, since a compiled module can take the process with it.
"""

from __future__ import annotations

import random
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz.seeds import WORDS
from tests.fuzz.targets import TARGETS

#: The exit code that tells of a finding.
FOUND = 77

_LONGEST = 8192


def mutated(
    data: bytes, corpus: list[bytes], words: tuple[bytes, ...], chance: random.Random
) -> bytes:
    """`data` with a few of its octets replaced, left out, repeated, put in, or taken from another input."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5))):
        at = chance.randrange(len(out) + 1)
        until = min(len(out), at + chance.choice((0, 1, 1, 2, 4, 16)))
        what = chance.randrange(7)
        if what == 0 and at < len(out):
            out[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            out[at:until] = chance.randbytes(chance.randrange(4))
        elif what == 2:
            del out[at:until]
        elif what == 3:
            out[at:at] = out[at:until] * chance.choice((1, 1, 2, 9))
        elif what == 4 and words:
            out[at:until] = chance.choice(words)
        elif what == 5:
            other = chance.choice(corpus)
            start = chance.randrange(len(other) + 1)
            out[at:until] = other[start : start + chance.choice((1, 4, 16, 64, 256))]
        elif at < len(out):
            out[at] = chance.choice((0, 1, 13, 10, 125, 126, 127, 128, 255))
    return bytes(out[:_LONGEST])


def main(name: str, seconds: float, current: Path, directories: list[Path]) -> int:
    target = TARGETS[name]
    corpus = [
        path.read_bytes() for directory in directories for path in sorted(directory.iterdir())
    ]
    chance = random.Random()
    end = time.monotonic() + seconds
    told = time.monotonic()
    count = 0
    while count < len(corpus) or time.monotonic() < end:
        data = corpus[count] if count < len(corpus) else chance.choice(corpus)
        if count >= len(corpus):
            data = mutated(data, corpus, WORDS[name], chance)
        current.write_bytes(data)
        count += 1
        try:
            target(data)
        except Exception:
            traceback.print_exc()
            print(f"stat::number_of_executed_units: {count}", flush=True)
            return FOUND
        if time.monotonic() > told + 2:
            told = time.monotonic()
            print(f"#{count} pulse", flush=True)
    current.unlink(missing_ok=True)
    print(f"stat::number_of_executed_units: {count}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(
        main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]), [Path(d) for d in sys.argv[4:]])
    )
