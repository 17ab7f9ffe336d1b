"""The extension `asgiws.drain`, by which an application learns that the server begins to stop.

It stands in the `extensions` of every scope: of the lifespan, of requests, and of WebSockets.

    {"version": "1.0", "event": <asyncio.Event>}

The event is set when the drain begins, before a connection is closed. It is one for the whole worker, and it is
the server that sets it. An application that wants to be waited for asks for `lifespan.drain` (`lifespan.py`).

Rules of this file: the extension is made here alone. What a scope gets is a copy, and the event is not.
"""

from __future__ import annotations

import asyncio
from typing import Any

NAME = "asgiws.drain"
VERSION = "1.0"


def extension(event: asyncio.Event) -> dict[str, Any]:
    """What stands in the scopes under NAME, where `event` tells of the drain."""
    return {"version": VERSION, "event": event}
