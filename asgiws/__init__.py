"""asgiws: an ASGI server whose first concern is the WebSocket.

Rules of this file: `_extensions.install()` comes before any other module of the package; the public
names are loaded when they are first accessed, so that the sans-I/O packages can be used without the
server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiws import _extensions
from asgiws._names import on_access
from asgiws._version import __version__

_extensions.install()

if TYPE_CHECKING:
    from asgiws.config import Config
    from asgiws.processes.run import run
    from asgiws.server.server import Server

__all__ = ["Config", "Server", "__version__", "run"]

_HOMES = {
    "Config": "asgiws.config",
    "Server": "asgiws.server.server",
    "run": "asgiws.processes.run",
}

__getattr__, __dir__ = on_access(__name__, _HOMES, __all__)
