"""What a subscriber of a topic was given, and whether that is what docs/pubsub.md promises.

Rules of this file:
- No I/O. It judges what one subscription got: every message once, in the order of each publisher, and nothing
  lost that no gap told of.
- A message of a room is the id of its publisher, a blank, and a numbered message (`messages`). Ids end with a
  number that goes up, "SEED.PROCESS.NUMBER": so a publisher that began later than a subscription is known.
- Of publishers of its own process a subscriber knows how much they have published, so the beginning and the end
  of what it gets are judged as well. Of others, only that there is no hole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from benchmarks.soak.messages import CHANGED, DOUBLED, LATE, LOST, Order


class Told:
    """Gaps: how many were told, and how many messages they said are lost; `is_unknown` if one did not say."""

    def __init__(self) -> None:
        self.gaps = 0
        self.lost = 0
        self.is_unknown = False

    def gap(self, lost: int | None) -> None:
        self.gaps += 1
        if lost is None:
            self.is_unknown = True
        else:
            self.lost += lost

    def hidden(self, holes: int) -> int:
        """How many of so many missing messages nothing was told of."""
        return 0 if self.is_unknown else max(0, holes - self.lost)


class Room:
    """A topic, as the clients of one process know it: of each publisher that is there, how many messages were
    `written` to the server, and how many of them the server has `accepted`."""

    def __init__(self, name: str, keep: int = 0) -> None:
        self.name = name
        #: How many messages it keeps.
        self.keep = keep
        self.written: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.streams: set[Stream] = set()

    def leave(self, publisher: str) -> None:
        """A publisher has ended: those who are there must still get what was accepted from it."""
        accepted = self.accepted.pop(publisher, 0)
        self.written.pop(publisher, None)
        if accepted:
            for stream in self.streams:
                stream.ended[publisher] = accepted


class Stream:
    """What one subscription of a room was given.

    `process` is how ids of its own process begin, `begun` the latest number among them when the subscription
    came into force, and `written` what their publishers had written by then: all that was written later is
    due. `in_place` says that a gap comes before the messages behind it, as it does where the application is
    given both.
    """

    def __init__(
        self, process: str, begun: int, written: Mapping[str, int], in_place: bool = False
    ) -> None:
        self.count = 0
        self.told = Told()
        self.in_place = in_place
        #: What publishers that have ended had published.
        self.ended: dict[str, int] = {}
        #: What else is wrong, and which messages the faults are about.
        self.problems: list[str] = []
        self.details: list[str] = []
        self._process = process
        self._begun = begun
        self._written = dict(written)
        self._orders: dict[str, Order] = {}
        self._faults: Counter[str] = Counter()
        self._holes = 0
        self._lacking = 0
        #: The offset that comes next, 0 where there are none.
        self.offset = 0
        self._offset_holes = 0

    def take(self, message: str, offset: int = 0) -> None:
        """The next message as it came, with its offset if it has one."""
        self.count += 1
        publisher, _, numbered = message.partition(" ")
        number, _, _ = numbered.partition(" ")
        if publisher.count(".") != 2 or not number.isdigit():
            self._faults[CHANGED] += 1
            return
        order = self._orders.get(publisher)
        if order is None:
            order = self._orders[publisher] = Order(self._first(publisher, int(number)))
        before, expected = dict(order.faults), order.next
        order.take(numbered)
        self._holes += order.faults.get(LOST, 0) - before.get(LOST, 0)
        if order.faults != before:
            self._detail(f"{number} of {publisher} where {expected} was expected")
        if offset:
            self._take_offset(offset)
        holes = max(self._holes, self._offset_holes)
        if self.in_place and self.told.hidden(holes) and not self.problems:
            self.problems.append(
                f"{number} of {publisher} came behind a hole, and no gap before it"
            )

    def gap(self, lost: int | None) -> None:
        self.told.gap(lost)

    def copy(self) -> Stream:
        """One that goes on from here, with none of the faults until now."""
        other = Stream(self._process, self._begun, self._written)
        other._orders = {publisher: Order(one.next) for publisher, one in self._orders.items()}
        other.offset = self.offset
        return other

    def next(self, publisher: str) -> int:
        """The number that is expected next of a publisher of which something came; else 0."""
        order = self._orders.get(publisher)
        return 0 if order is None else order.next

    def lacking(self, due: Mapping[str, int]) -> dict[str, int]:
        """How many are lacking at the end, of each publisher that has published as many as `due` says."""
        found = {}
        for publisher, count in {**self.ended, **due}.items():
            order = self._orders.get(publisher)
            reached = self._first(publisher, count) if order is None else order.next
            if reached < count:
                found[publisher] = count - reached
        return found

    def has_all(self, due: Mapping[str, int]) -> bool:
        """Whether all that is due came, or was told to be lost."""
        lacking = sum(self.lacking(due).values())
        return not self.told.hidden(max(self._holes, self._offset_holes) + lacking)

    def finish(self, due: Mapping[str, int]) -> None:
        """It has ended in order: whatever is due and has not come was lost."""
        lacking = self.lacking(due)
        self._lacking = sum(lacking.values())
        if self.told.hidden(max(self._holes, self._offset_holes) + self._lacking):
            for publisher, count in lacking.items():
                self._detail(f"the last {count} of {publisher}")

    @property
    def faults(self) -> dict[str, int]:
        """How many were lost without a word, came twice, out of order, or changed."""
        found = Counter(self._faults)
        for order in self._orders.values():
            for kind in (DOUBLED, LATE, CHANGED):
                found[kind] += order.faults.get(kind, 0)
        found[LOST] = self.told.hidden(max(self._holes, self._offset_holes) + self._lacking)
        return {kind: count for kind, count in found.items() if count}

    def _first(self, publisher: str, number: int) -> int:
        """The number that had to come first, if this one did."""
        if not publisher.startswith(self._process):
            return number
        written = self._written.get(publisher)
        if written is not None:
            return min(number, written)
        return 0 if int(publisher.rpartition(".")[2]) > self._begun else number

    def _take_offset(self, offset: int) -> None:
        if offset < self.offset:
            self._faults[DOUBLED] += 1
            self._detail(f"offset {offset} where {self.offset} was expected")
            return
        self._offset_holes += offset - self.offset
        self.offset = offset + 1

    def _detail(self, what: str) -> None:
        if len(self.details) < 3:
            self.details.append(what)


class Counted:
    """A topic of one subscriber, to which `count` numbered messages are published: what came and what was told
    to be lost are all of them."""

    def __init__(self, count: int, in_place: bool = True) -> None:
        self.expected = count
        self.told = Told()
        self.problems: list[str] = []
        self.details: list[str] = []
        self._in_place = in_place
        self._order = Order()
        self._is_whole = False

    @property
    def count(self) -> int:
        return self._order.count

    def take(self, message: str | bytes) -> None:
        self._order.take(message)
        holes = self._order.faults.get(LOST, 0)
        if self._in_place and self.told.hidden(holes) and not self.problems:
            self.problems.append(f"{holes} were lost, and {self.told.lost} told by then")

    def gap(self, lost: int | None) -> None:
        self.told.gap(lost)

    @property
    def is_complete(self) -> bool:
        """Whether all has come or was told to be lost."""
        if self.told.is_unknown:
            return self._order.next == self.expected
        return self.count + self.told.lost >= self.expected

    def finish(self) -> None:
        """It has ended in order."""
        self._is_whole = True
        missing = self.expected - self.count
        if self.told.lost > missing and not self.told.is_unknown:
            self.problems.append(f"{self.told.lost} were told to be lost, where {missing} lacked")

    @property
    def faults(self) -> dict[str, int]:
        found = dict(self._order.faults)
        holes = self.expected - self.count if self._is_whole else found.get(LOST, 0)
        found[LOST] = self.told.hidden(holes)
        return {kind: count for kind, count in found.items() if count}


class Latest:
    """The same with `overflow="latest"`: of `count` messages, whose keys are their numbers modulo `keys`, some
    came, in order, and of each key the last."""

    def __init__(self, count: int, keys: int) -> None:
        self.told = Told()
        self.problems: list[str] = []
        self.details: list[str] = []
        self.count = 0
        self._order = Order()
        self._last = -1
        self._lacking = set(range(max(0, count - keys), count))
        self._is_whole = False
        self._faults: Counter[str] = Counter()

    def take(self, message: str | bytes) -> None:
        self.count += 1
        self._order.take(message)  # which looks into the message, too
        data = message.encode() if isinstance(message, str) else message
        digits, _, _ = data.partition(b" ")
        if not digits.isdigit():
            return  # which is counted as changed
        number = int(digits)
        if number == self._last:
            self._faults[DOUBLED] += 1
        elif number < self._last:
            self._faults[LATE] += 1
        self._last = max(number, self._last)
        self._lacking.discard(number)

    def gap(self, lost: int | None) -> None:
        self.told.gap(lost)
        self.problems.append(f"{lost} were told to be lost, of keys of which the last is kept")

    @property
    def is_complete(self) -> bool:
        return not self._lacking

    def finish(self) -> None:
        self._is_whole = True

    @property
    def faults(self) -> dict[str, int]:
        found = Counter(self._faults)
        found[CHANGED] = self._order.faults.get(CHANGED, 0)
        found[LOST] = len(self._lacking) if self._is_whole else 0
        return {kind: count for kind, count in found.items() if count}
