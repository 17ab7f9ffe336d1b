"""What the server writes to the log, and how it looks.

Rules of this file:
- Two loggers: `asgiws.error` for what happens to the server, `asgiws.access` for who was served.
- Only the logger `asgiws` above them is set up: with one handler of ours, unless somebody else has
  put handlers on one of the three. The root logger and other people's handlers are left alone.
- A line of the access log is one line, whatever a peer has put into its request.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, TextIO

from asgiws.config import Config

TRACE = 5
LEVELS = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE,
}
NAMES = ("asgiws", "asgiws.error", "asgiws.access")

#: Control characters, which could end a line or steer a terminal, as visible escapes.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}


if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:
    _StreamHandler = logging.StreamHandler  # not to be subscripted before Python 3.11


class Handler(_StreamHandler):
    """Writes to what `sys.stderr` is at that moment, so that a redirection is followed."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


class Formatter(logging.Formatter):
    """`2026-01-31 12:00:00 INFO     text`, with the level in colour where that is wanted."""

    COLORS: ClassVar[Mapping[int, str]] = {
        TRACE: "34",
        logging.DEBUG: "36",
        logging.INFO: "32",
        logging.WARNING: "33",
        logging.ERROR: "31",
        logging.CRITICAL: "1;31",
    }

    def __init__(self, colors: bool, process: str = "") -> None:
        super().__init__("%(asctime)s %(level)s %(text)s", "%Y-%m-%d %H:%M:%S")
        self.colors = colors
        self.process = process

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.name == "asgiws.access":
            text = text.translate(_CONTROLS)
        elif self.process:
            text = f"{self.process}: {text}"
        level = f"{record.levelname:<8}"
        if self.colors and record.levelno in self.COLORS:
            level = f"\x1b[{self.COLORS[record.levelno]}m{level}\x1b[0m"
        return f"{record.asctime} {level} {text}"

    def usesTime(self) -> bool:
        return True


def wants_colors(choice: bool | None, environ: Mapping[str, str], stream: TextIO) -> bool:
    """`choice` if there is one, else true on a terminal unless NO_COLOR is set (no-color.org)."""
    if choice is not None:
        return choice
    if environ.get("NO_COLOR"):
        return False
    return stream.isatty()


def configure(config: Config, process: str = "") -> None:
    """Set up the server's loggers. Doing it again replaces what was done before.

    What happens to the server is said of `process`, where several write to one log.
    """
    logging.addLevelName(TRACE, "TRACE")
    loggers = [logging.getLogger(name) for name in NAMES]
    top = loggers[0]
    top.handlers = [handler for handler in top.handlers if not isinstance(handler, Handler)]
    for logger in loggers:
        # logging.config.dictConfig disables loggers that it does not name, unless told otherwise;
        # an application that calls it while it is imported would silence the server.
        logger.disabled = False
    top.setLevel(LEVELS[config.log_level])
    if not any(logger.handlers for logger in loggers):
        handler = Handler()
        colors = wants_colors(config.use_colors, os.environ, sys.stderr)
        handler.setFormatter(Formatter(colors, process))
        top.addHandler(handler)
        top.propagate = False
