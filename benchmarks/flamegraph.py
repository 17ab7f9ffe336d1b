"""`python -m benchmarks.flamegraph`: where the CPU time of an echo goes, sampled by perf.

Rules of this file:
- What is sampled is asgiws as it is served, under the load of a scenario, while it is on a processor: the
  compiled modules, uvloop, CPython and the kernel show, waiting does not.
- A sample counts for the part that its innermost known frame belongs to: what CPython does for a part is
  that part's cost. System calls are parts of their own, with what the kernel does in them.
- The drawing is made of the stacks alone, without a script in it.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import docs, native, run, scenarios, servers
from benchmarks.scenarios import Scenario
from conformance.docs import DocsError
from conformance.docs import write as write_docs
from conformance.process import free_port, started
from conformance.servers import ServerError
from conformance.tables import Rows, markdown, text

NAME = "benchmarks.flamegraph"
BEGIN = f"<!-- begin of what `python -m {NAME} --write-docs` writes -->"
END = f"<!-- end of what `python -m {NAME} --write-docs` writes -->"
IMAGE = "performance-flamegraph.svg"
OUTPUT = Path("reports") / "benchmarks" / IMAGE

#: Samples in a second; an odd number, so as not to go with a timer.
RATE = 499
#: Octets of the C stack that are copied for each sample, to find the callers in.
STACK = 32768

_KERNEL = "kernel"
_FRAME = re.compile(r"\s+[0-9a-f]+ (?P<function>.+) \((?P<object>[^()]+)\)")
_ROOT = "uv_run"

#: The parts, each with the frames that are its own, by their function and the file that it is in.
_PARTS = [
    (part, re.compile(function), re.compile(file))
    for part, function, file in (
        ("system call: write", r".*(write|writev|send|sendmsg)", r"libc[.-].*"),
        ("system call: read", r".*(read|recv|recvmsg)", r"libc[.-].*"),
        ("system call: epoll", r".*epoll_p?wait2?", r"libc[.-].*"),
        ("system calls: others", r".*", _KERNEL),
        ("asgiws: sockets, gathering writes", r"asgiws\.net\..*", r".*"),
        ("asgiws: sockets, gathering writes", r".*", r"(poller|sending|ticker|transport)\..*"),
        ("asgiws: frames, masking, messages", r".*", r"(frames|messages|mask)\..*"),
        ("asgiws: WebSocket state", r".*", r"connection\..*"),
        ("asgiws: session, receive() and send()", r".*", r"(websocket|outlet|calls)\..*"),
        ("asgiws: waking the application", r".*", r"(tasks|wakeup)\..*"),
        ("asyncio: stepping the task", r".*", r"_asyncio\..*"),
        ("uvloop and libuv", r".*", r"loop\..*"),
        ("the application's bytecode", r"_PyEval_EvalFrameDefault", r".*"),
    )
]
_REST = "the rest"

#: A frame: its function and the file that holds it.
Frame = tuple[str, str]
Stack = tuple[Frame, ...]


class SampleError(Exception):
    """Nothing can be sampled; one line for the user."""


def parse(lines: Iterable[str]) -> Counter[Stack]:
    """What `perf script` prints, as stacks from where the event loop runs on, the kernel in one frame."""
    stacks: Counter[Stack] = Counter()
    frames: list[Frame] = []

    def end() -> None:
        names = [name for name, _ in frames]
        if _ROOT in names:
            outermost = len(names) - names[::-1].index(_ROOT)
            stacks[tuple(reversed(frames[:outermost]))] += 1
        frames.clear()

    for line in lines:
        match = _FRAME.fullmatch(line.rstrip())
        if match is None:
            end()
            continue
        file = match["object"].rpartition("/")[2]
        frame = (_KERNEL, _KERNEL) if "kernel" in file else (readable(match["function"]), file)
        if frame[0] != "[unknown]" and [frame] != frames[-1:]:
            frames.append(frame)
    end()
    return stacks


def readable(symbol: str) -> str:
    """A function of Cython's as Python names it: `__pyx_f_6asgiws_6server_6stream_6Stream__send`."""
    match = re.fullmatch(r"__pyx_(?:f|pw|pf|gb)_(.+)", symbol)
    if match is None:
        return symbol
    rest, names = match[1], []
    while length := re.match(r"_?(\d+)", rest):
        begin, size = length.end(), int(length[1])
        if len(rest) < begin + size or rest[begin + size : begin + size + 1] not in ("", "_"):
            rest = rest[begin - 1 :]  # a number to tell it from its namesakes
            break
        names.append(rest[begin : begin + size])
        rest = rest[begin + size :]
    return ".".join([*names, *filter(None, [rest[1:]])])


def part_of(stack: Stack) -> str:
    """The part that a sample counts for."""
    inner = list(reversed(stack))
    if len(inner) > 1 and inner[0][0] == _KERNEL and inner[1][1].startswith("libc"):
        inner = inner[1:]  # the call that it is in says more
    for name, file in inner:
        for part, function, files in _PARTS:
            if function.fullmatch(name) and files.fullmatch(file):
                return part
    return _REST


def parts(stacks: Counter[Stack], us_per_message: float) -> Rows:
    """A row for each part: its share, and its microseconds of a message's CPU time."""
    counts: Counter[str] = Counter()
    for stack, count in stacks.items():
        counts[part_of(stack)] += count
    everything = counts.total()
    rows = [["part", "share", "CPU µs/message"]]
    for part, count in counts.most_common():
        share = count / everything
        rows.append([part, f"{share:.1%}", f"{share * us_per_message:.2f}"])
    return [*rows, ["all", "100.0%", f"{us_per_message:.2f}"]]


# Drawing.

_WIDTH, _HEIGHT, _LEAST = 1200, 17, 0.002
_COLOURS = {
    "asgiws": "#e8743b",
    "system": "#8aa4b8",
    "the application": "#7fb069",
    "asyncio": "#b0a8d0",
}


@dataclass
class _Node:
    count: int = 0
    part: str = ""
    below: dict[str, _Node] = field(default_factory=dict)


def _tree(stacks: Counter[Stack]) -> _Node:
    root = _Node()
    for stack, count in stacks.items():
        node = root
        node.count += count
        for depth, (name, _) in enumerate(stack, 1):
            node = node.below.setdefault(name, _Node(part=part_of(stack[:depth])))
            node.count += count
    return root


def draw(stacks: Counter[Stack], title: str) -> str:
    """The flame graph as SVG: the loop at the bottom, what it called above it."""
    root = _tree(stacks)
    boxes: list[tuple[int, float, float, str, _Node]] = []

    def place(node: _Node, name: str, depth: int, left: float) -> None:
        width = node.count / root.count
        if width < _LEAST:
            return
        boxes.append((depth, left, width, name, node))
        for below in sorted(node.below):
            place(node.below[below], below, depth + 1, left)
            left += node.below[below].count / root.count

    place(root, "all", 0, 0.0)
    height = (max(box[0] for box in boxes) + 3) * _HEIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
        ' font-family="monospace" font-size="11">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="4" y="14">{html.escape(title)}</text>',
    ]
    for depth, left, width, name, node in boxes:
        x, y = left * _WIDTH, height - (depth + 1) * _HEIGHT
        kind = next((key for key in _COLOURS if node.part.startswith(key)), "")
        shade = 0.75 + zlib.crc32(name.encode()) % 26 / 100
        told = f"{name}: {node.count / root.count:.1%}, {node.part}"
        fits = int(width * _WIDTH / 6.7)
        label = name if len(name) <= fits else name[: fits - 2] + ".." if fits > 4 else ""
        lines.append(
            f'<g><title>{html.escape(told)}</title><rect x="{x:.1f}" y="{y}"'
            f' width="{width * _WIDTH - 0.5:.1f}" height="{_HEIGHT - 1}"'
            f' fill="{_COLOURS.get(kind, "#d9c27a")}" fill-opacity="{shade:.2f}"/>'
            f'<text x="{x + 2:.1f}" y="{y + 12}">{html.escape(label)}</text></g>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


# Sampling.


def sample(
    server: servers.Server, scenario: Scenario, seconds: float
) -> tuple[Counter[Stack], float]:
    """The stacks under the scenario's load, and the CPU microseconds of a message as measured without
    the sampler. Raises SampleError, ServerError, NativeError."""
    program = native.program("load")
    if shutil.which("perf") is None:
        raise SampleError("perf is needed, and it is not here (Debian: apt-get install linux-perf)")
    plan = run.Plan([scenario], [server], 1, seconds, 1, program)
    with tempfile.TemporaryDirectory() as folder:
        values = run.measure(scenario, server, plan, Path(folder))
        port, data = free_port(), Path(folder) / "perf.data"
        command = server.command(scenario.app, port)
        log = Path(folder) / "server.log"
        with started(command, port, servers.environment(server), log, servers.SERVED) as running:
            load = [str(program), *scenario.load_arguments(), "-p", str(port)]
            load += ["-t", str(seconds + 5), "-w", "0"]
            with subprocess.Popen(load, stdout=subprocess.DEVNULL) as loading:
                try:
                    record = ["perf", "record", "-e", "cpu-clock", "-F", str(RATE), "-o", str(data)]
                    record += ["--call-graph", f"dwarf,{STACK}", "-p", str(running.pid)]
                    _perf([*record, "--", "sleep", str(seconds)])
                finally:
                    with contextlib.suppress(ProcessLookupError):
                        loading.terminate()
            # While the server is there, so that its files can be found.
            said = _perf(
                ["perf", "script", "--no-inline", "-F", "comm,ip,sym,dso", "-i", str(data)]
            )
    stacks = parse(said.splitlines())
    if not stacks:
        raise SampleError("perf saw nothing of the event loop; is it uvloop, and was there a load?")
    return stacks, values["cpu_us_per_message"]


def _perf(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise SampleError(f"perf failed: {lines[0]}")
    return done.stdout


def main(argv: Sequence[str]) -> int:
    """Carry out the command line; exit code 2 when nothing could be sampled."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {NAME}",
        description="Draw where the CPU time of a message goes.",
        allow_abbrev=False,
    )
    parser.add_argument("--scenario", default="echo-small", metavar="NAME")
    parser.add_argument("--seconds", type=float, default=20, metavar="S", help="of sampling (20)")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE")
    parser.add_argument(
        "--write-docs", action="store_true", help="write drawing and table to docs/"
    )
    options = parser.parse_args(argv)
    try:
        (scenario,) = scenarios.select(options.scenario)
        stacks, us = sample(servers.asgiws("asgiws", None), scenario, options.seconds)
        title = f"asgiws, {scenario.name} ({scenario.what}): {us:.2f} µs of CPU a message"
        rows = parts(stacks, us)
        print(text(rows))
        path = docs.IMAGES / IMAGE if options.write_docs else options.output
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(draw(stacks, title), encoding="utf-8")
        print(f"\nWritten: {path}")
        if options.write_docs:
            head = f"{scenario.name}: {scenario.what}. {stacks.total():,} samples.\n\n"
            image = f"![Flame graph of {scenario.name}](images/{IMAGE})\n\n"
            write_docs(head + image + markdown(rows), docs.PAGE, BEGIN, END)
    except (
        *(SampleError, ServerError, DocsError, OSError, ValueError),
        *(native.NativeError, scenarios.ScenarioError),
    ) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
