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
_BETWEEN = ("The above exception was", "During handling of the above")

#: Lines of Python's own that say nothing of the server: a fork of a process with threads is what was asked for.
_INTERPRETER = re.compile(
    r"DeprecationWarning: This process .* is multi-threaded, use of fork\(\)|^  (pid|self\.pid) = os\.fork\(\)"
)

#: What is warned of although it was asked for. Behind a comma or a bracket stands who it was.
ASKED = ("Asked", "starlette.websockets.WebSocketDisconnect", "starlette.requests.ClientDisconnect")
EXPECTED = (
    # applications
    r"ASGI application returned without (an?y?|a complete|the end of its) response",
    r"ASGI application returned without ",
    r"ASGI application was cancelled before its response was complete",
    # clients
    r"TLS handshake",
    r".* - .*\((timeout_\w+|ws_\w+|http_\w+|limit_\w+|ssl_handshake_timeout)\)$",
    r"\d+ more within ",
    # the stop
    r"Cut off \d+ connections and \d+ application tasks",
)
_EXPECTED = re.compile("|".join(f"(?:{one})" for one in EXPECTED))


def records(text: str) -> list[str]:
    """The log, a string for each record; lines in front of the first one stand alone."""
    found: list[str] = []
    begun = False
    for line in text.splitlines():
        if _BEGINS.match(line):
            begun = True
            found.append(line)
        elif begun and _belongs(found[-1], line):
            found[-1] += "\n" + line
        else:
            found.append(line)
    return found


def _belongs(record: str, line: str) -> bool:
    """Whether a line without a time goes on with a traceback of the record above it."""
    last = record.rsplit("\n", 1)[-1]
    if line.startswith((_TRACEBACK, "  + Exception Group Traceback")):
        return last is record or not last or last.startswith(_BETWEEN)
    if "\n" not in record:
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
