"""What a server process holds: memory and descriptors from /proc, tasks and objects from the application.

Rules of this file:
- Memory is PSS and RSS in bytes; where /proc does not tell, it is 0 and not judged.
- With several workers, it is of all processes of the server together, and what the application tells of the
  workers.
- The question itself costs a connection and a task, the same each time it is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.soak.client import Client

#: So many questions are asked until each worker has answered one.
ATTEMPTS = 200


@dataclass
class Sample:
    """What is known of the server and its load at one moment; `at` in seconds from the start, `slowness` as in
    `actor.Life`."""

    at: float
    phase: str = ""
    pss: int = 0
    rss: int = 0
    descriptors: int = 0
    tasks: int = 0
    running: int = 0
    connections: int = 0
    messages: int = 0
    slowness: float = 1.0


@dataclass
class Rest:
    """What the server holds when nobody is connected; `kept` is its PSS before free pages were given back."""

    kept: int = 0
    pss: int = 0
    rss: int = 0
    descriptors: int = 0
    sockets: int = 0
    tasks: int = 0
    running: int = 0
    blocks: int = 0
    objects: int = 0
    kinds: dict[str, int] = field(default_factory=dict)


def memory(pid: int) -> tuple[int, int]:
    """(PSS, RSS) of a process in bytes."""
    found = {"Pss": 0, "Rss": 0}
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in found:
                found[name] = int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return found["Pss"], found["Rss"]


def processes(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # ended meanwhile
                found += map(int, children.read_text().split())
    return found


def descriptors(pid: int) -> int:
    """Open descriptors of a process."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def sockets(pid: int) -> int:
    """Those of them that are sockets."""
    return sum(_is_socket(one) for one in Path(f"/proc/{pid}/fd").glob("*"))


def _is_socket(descriptor: Path) -> bool:
    try:
        return os.readlink(descriptor).startswith("socket:")
    except OSError:
        return False  # closed meanwhile


async def ask(host: str, port: int, collect: bool = False) -> dict[str, Any]:
    """What the application says of its process. Raises OSError, client.Gone, client.Impatient."""
    client = await Client.connect(host, port)
    client.patience = 30
    try:
        query = "?collect=1" if collect else ""
        request = f"GET /state{query} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n"
        client.write(request.encode())
        response = await client.response()
        found: dict[str, Any] = json.loads(response.body)
        await client.until_ended()
        return found
    finally:
        client.close()


async def ask_all(
    host: str, port: int, workers: int, collect: bool = False
) -> list[dict[str, Any]]:
    """The same of each worker, as far as they can be reached. Raises as `ask` does."""
    found: dict[int, dict[str, Any]] = {}
    for _ in range(1 if workers == 1 else ATTEMPTS):
        one = await ask(host, port, collect)
        found[one["pid"]] = one
        if len(found) == workers:
            break
        await asyncio.sleep(0.05)
    return list(found.values())


async def at_rest(pid: int, host: str, port: int, workers: int = 1) -> Rest:
    """What the server holds now, in all of its processes, after a collection of garbage and without the
    allocator's free pages."""
    kept = sum(memory(one)[0] for one in processes(pid))
    await ask_all(host, port, workers, collect=True)
    answers = await ask_all(host, port, workers, collect=True)
    if len(answers) < workers:
        raise OSError(f"only {len(answers)} of {workers} workers answered")
    await asyncio.sleep(0.5)  # so that the connection of the question is gone
    several = processes(pid)
    measured = [memory(one) for one in several]
    kinds: Counter[str] = Counter()
    for answer in answers:
        kinds.update(answer["kinds"])
    return Rest(
        kept,
        sum(pss for pss, _ in measured),
        sum(rss for _, rss in measured),
        sum(map(descriptors, several)),
        sum(map(sockets, several)),
        sum(answer["tasks"] for answer in answers),
        sum(answer["running"] for answer in answers),
        sum(answer["blocks"] for answer in answers),
        sum(answer["objects"] for answer in answers),
        dict(kinds),
    )
