"""Which build runs: the compiled modules, or the same source as plain Python.

Rules of this file:
- The import system prefers `frames.*.so` to `frames.py` by itself; nothing dispatches.
- `ASGIWS_EXTENSIONS=no` makes the import system use the sources even if compiled modules are next to
  them; `require` refuses to run without them. `auto`, the default, uses what is there.
- COMPILED_MODULES is the only list of the compiled modules: the build takes it from here.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from types import ModuleType

COMPILED_MODULES = (
    "asgiws.websocket.mask",
    "asgiws.websocket.frames",
    "asgiws.common.turn",
    "asgiws.common.pieces",
    "asgiws.websocket.messages",
    "asgiws.websocket.connection",
    "asgiws.bridge.wakeup",
    "asgiws.bridge.outlet",
    "asgiws.websocket.keepalive",
    "asgiws.drivers.inbox",
    "asgiws.drivers.outgoing",
    "asgiws.drivers.reading",
    "asgiws.drivers.opening",
    "asgiws.drivers.session",
    "asgiws.drivers.subscriptions",
    "asgiws.drivers.websocket",
    "asgiws.net.gathering",
    "asgiws.net.outbox",
    "asgiws.net.loop_io",
    "asgiws.net.sending",
    "asgiws.net.connection",
    "asgiws.http.buffer",
    "asgiws.http.head",
    "asgiws.http.parser",
    "asgiws.http.httptools_adapter",
    "asgiws.http.head_reader",
    "asgiws.http.semantics",
    "asgiws.http.response",
    "asgiws.http.connection",
    "asgiws.bridge.tasks",
    "asgiws.bridge.reuse",
    "asgiws.drivers.scope",
    "asgiws.drivers.carrier",
    "asgiws.drivers.exchange",
    "asgiws.drivers.gate",
    "asgiws.drivers.http_parts",
    "asgiws.drivers.http_carrier",
    "asgiws.drivers.http",
    "asgiws.websocket.fanout",
    "asgiws.http.date",
    "asgiws.websocket.handshake",
    "asgiws.bridge.calls",
    "asgiws.bridge.exchange",
    "asgiws.bridge.contexts",
    "asgiws.services.runtime",
    "asgiws.drivers.journal",
    "asgiws.drivers.upgrade",
    "asgiws.server.registry",
    "asgiws.server.wiring",
    "asgiws.net.acceptor",
    "asgiws.net.poller",
    "asgiws.net.transport",
    "asgiws.tls.records",
    "asgiws.net.tls_transport",
    "asgiws.net.ticker",
    "asgiws.topics.message",
    "asgiws.topics.sink",
    "asgiws.topics.board",
)
MODES = ("auto", "require", "no")


class SourceOnlyFinder:
    """A meta-path finder that only knows `.py` files, for the package's own modules."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if path is None or not name.startswith("asgiws."):
            return None
        loader = (importlib.machinery.SourceFileLoader, importlib.machinery.SOURCE_SUFFIXES)
        for entry in path:
            spec = importlib.machinery.FileFinder(entry, loader).find_spec(name)
            if spec is not None:
                return spec
        return None


def is_compiled(name: str) -> bool:
    """True if the module with that name runs from an extension; it is located for that, not imported."""
    spec = importlib.util.find_spec(name)
    return spec is not None and not (spec.origin or "").endswith(".py")


def compiled() -> list[str]:
    """The names of the modules that run compiled, in the order of COMPILED_MODULES."""
    return [name for name in COMPILED_MODULES if is_compiled(name)]


def install() -> None:
    """Apply `ASGIWS_EXTENSIONS`; called once, before any other module of the package is imported.

    Raises SystemExit, with one line that says what is wrong, for a bad value and for `require` if
    a module is not compiled.
    """
    mode = os.environ.get("ASGIWS_EXTENSIONS", "") or "auto"
    if mode not in MODES:
        raise SystemExit(f"ASGIWS_EXTENSIONS={mode!r} is not one of {', '.join(MODES)}")
    if mode == "no":
        sys.meta_path.insert(0, SourceOnlyFinder)
    elif mode == "require":
        missing = [name for name in COMPILED_MODULES if not is_compiled(name)]
        if missing:
            raise SystemExit(f"ASGIWS_EXTENSIONS=require, but not compiled: {', '.join(missing)}")
