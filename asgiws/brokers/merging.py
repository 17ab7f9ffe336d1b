"""The order of what came on several subscriptions in one batch.

A client library that keeps a queue for each subscription gives them out one queue after the other. The order in
which the messages came is lost, but two parts of it are known: that within a queue, and that of each publisher,
whose messages are numbered. Since the order in which they came fits both, there is one that does.

Rules of this file: no I/O, and no state.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Arrival(NamedTuple):
    """What came on the subscription `queue`, and is the publication `number` of `publisher`."""

    queue: str
    publisher: bytes
    number: int
    data: bytes


def merge(batch: Iterable[Arrival]) -> Iterator[Arrival]:
    """The batch in an order in which those of a queue keep theirs, and those of a publisher ascend. If there is
    none, that of the queues counts."""
    queues: dict[str, deque[Arrival]] = defaultdict(deque)
    for one in batch:
        queues[one.queue].append(one)
    if len(queues) < 2:
        for queue in queues.values():
            yield from queue
        return
    numbers: dict[bytes, deque[int]] = defaultdict(deque)
    for publisher, number in sorted(
        (one.publisher, one.number) for q in queues.values() for one in q
    ):
        numbers[publisher].append(number)
    while queues:
        progress = False
        for name in list(queues):
            queue = queues[name]
            while queue and numbers[queue[0].publisher][0] == queue[0].number:
                numbers[queue[0].publisher].popleft()
                progress = True
                yield queue.popleft()
            if not queue:
                del queues[name]
        if not progress:
            # Numbers that contradict the queues, as no asgiws makes them.
            one = next(iter(queues.values())).popleft()
            numbers[one.publisher].remove(one.number)
            yield one
            queues = defaultdict(deque, {name: queue for name, queue in queues.items() if queue})
