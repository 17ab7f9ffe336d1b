"""What stands in a server's log, and what of it nobody expects.

Rules of this file:
- A record is a line with a time and a level, and the lines behind it that have none. INFO is expected. All else
  has to be named here, by what an application was asked to do or a client did.
- A record with a traceback is expected when what was raised says that it was asked for, or is what a framework
  raises when its user does not look for the client's end, and by nothing else.
- What the interpreter writes by itself is no record of the server's: a line of its own is unexpected.
"""

from __future__ import annotations

import re
from collections import Counter

_BEGINS = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (?P<level>[A-Z]+) +(?P<text>.*)$")
_TRACEBACK = "Traceback (most recent call last)"
_STACKS = ("Thread 0x", "Current thread 0x")
_BETWEEN = ("The above exception was", "During handling of the above")

#: Lines of Python's own that say nothing of the server: a fork of a process with threads is what was asked for.
_INTERPRETER = re.compile(
    r"DeprecationWarning: This process .* is multi-threaded, use of fork\(\)|^  (pid|self\.pid) = os\.fork\(\)"
)

#: What was raised because it was asked for, or because a style's user does not look for the client's end.
ASKED = ("Asked", "starlette.websockets.WebSocketDisconnect", "starlette.requests.ClientDisconnect")

#: What is warned of because of what an application was asked to do, or of what a client did.
EXPECTED = (
    r"ASGI application returned without ",
    r"ASGI application was cancelled before its response was complete",
    r"TLS handshake",
    r".* - .*\((timeout_\w+|ws_\w+|http_\w+|limit_\w+|ssl_handshake_timeout)\)$",
    r"\d+ more within ",
    r"Cut off \d+ connections and \d+ application tasks",  # at the stop
)
_EXPECTED = re.compile("|".join(f"(?:{one})" for one in EXPECTED))


def records(text: str) -> list[str]:
    """The log, a string for each record."""
    found: list[str] = []
    for line in text.splitlines():
        if found and not _BEGINS.match(line) and _belongs(found[-1], line):
            found[-1] += "\n" + line
        else:
            found.append(line)
    return found


def _belongs(record: str, line: str) -> bool:
    """Whether a line without a time goes on with the traceback, or the stack, of the record above it."""
    if record.startswith(_STACKS):
        return line.startswith("  ")
    _, ends, last = record.rpartition("\n")
    if line.startswith((_TRACEBACK, "  + Exception Group Traceback")):
        return not ends or not last or last.startswith(_BETWEEN)
    if not ends:
        return False
    return not line or line.startswith((" ", *_BETWEEN)) or last.startswith(" ")


def unexpected(text: str) -> Counter[str]:
    """Records that nobody expects, each with how often it stands there."""
    found: Counter[str] = Counter()
    for record in records(text):
        if not _is_expected(record):
            found[_without_time(record)] += 1
    return found


def _is_expected(record: str) -> bool:
    begins = _BEGINS.match(record.split("\n", 1)[0])
    if begins is None:
        return not record.strip() or bool(_INTERPRETER.search(record))
    if "\n" in record:
        return _was_asked(record)
    return begins["level"] in ("INFO", "DEBUG") or bool(_EXPECTED.match(begins["text"]))


def _was_asked(record: str) -> bool:
    """Whether all that was raised was asked for."""
    raised = [line.strip(" |") for line in record.split("\n") if _RAISED.match(line.strip(" |"))]
    return bool(raised) and any(name in raised[-1] for name in ASKED)


_RAISED = re.compile(
    r"^[\w.]*(Error|Exception|Asked|AskedBase|Exit|Interrupt|Disconnect|Disconnected)\b"
)


def _without_time(record: str) -> str:
    record = re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", record)
    return re.sub(r"(?<=127\.0\.0\.1:)\d+|0x[0-9a-f]{6,}", "*", record).rstrip()
