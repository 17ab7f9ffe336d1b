"""What the server writes to the log, and its format.

Rules of this file:
- There are two loggers: `asgiws.error` for what happens to the server, `asgiws.access` for requests and
  WebSockets.
- Only the logger `asgiws` above them is configured, with one handler of ours, unless somebody else has put
  handlers on one of the three. The root logger and other people's handlers are left alone.
- They stay enabled when an application configures logging: `logging.config` disables all loggers that it does
  not name, unless told otherwise. Code that names ours, or disables one, does so on purpose.
- A line of the access log is one line, whatever a peer has put into its request.
- A line that cannot be written is lost, and stops nothing: there may be no stderr (`2>&-`, pythonw), or a
  closed one.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

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

#: Control characters, which could end a line or control a terminal, as visible escapes.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}


if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:
    _StreamHandler = logging.StreamHandler  # not to be subscripted before Python 3.11


class Handler(_StreamHandler):
    """Writes to the current `sys.stderr`, so that a redirection is followed."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr is not None:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        try:
            super().handleError(record)
        except Exception:
            pass  # the stream that would report it is the one that is broken


class Kept:
    """Makes a logger one that `logging.config` does not disable for not being named."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "disabled" and value:
            caller = sys._getframe(1).f_globals.get("__name__")
            if caller == "logging.config":
                return
        super().__setattr__(name, value)


def _keep(logger: logging.Logger) -> None:
    """Make it one of those. Code that disabled it before did so without knowing it."""
    if not isinstance(logger, Kept):
        # The program may have its own class of loggers.
        logger.__class__ = type("Logger", (Kept, type(logger)), {})
        logger.disabled = False


for _name in NAMES:
    _keep(logging.getLogger(_name))


class Formatter(logging.Formatter):
    """`2026-01-31 12:00:00 INFO     text`, with the level in colour if requested."""

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


def wants_colors(choice: bool | None, environ: Mapping[str, str], stream: TextIO | None) -> bool:
    """`choice` if there is one, else true on a terminal unless NO_COLOR is set (no-color.org)."""
    if choice is not None:
        return choice
    if environ.get("NO_COLOR"):
        return False
    return stream is not None and not stream.closed and stream.isatty()


def tell(text: str) -> None:
    """Print a line to stderr, if there is one, for whoever started the process."""
    if sys.stderr is not None:  # else `print` would use stdout
        try:
            print(text, file=sys.stderr, flush=True)
        except (OSError, ValueError):
            pass


def configure(config: Config, process: str = "") -> None:
    """Configure the server's loggers. Doing it again replaces the earlier configuration.

    Lines about the server name `process`, in case several processes write to one log.
    """
    logging.addLevelName(TRACE, "TRACE")
    loggers = [logging.getLogger(name) for name in NAMES]
    top = loggers[0]
    top.handlers = [handler for handler in top.handlers if not isinstance(handler, Handler)]
    top.setLevel(LEVELS[config.log_level])
    if not any(logger.handlers for logger in loggers):
        handler = Handler()
        colors = wants_colors(config.use_colors, os.environ, sys.stderr)
        handler.setFormatter(Formatter(colors, process))
        top.addHandler(handler)
        top.propagate = False
