"""The extension `asgiws.drain`, which tells an application that the server is about to stop.

It is in the `extensions` of every scope: of the lifespan, of requests, and of WebSockets.

    {"version": "1.0", "event": <asyncio.Event>}

The event is set when the drain begins, before any connection is closed. There is one for the whole worker, and
the server sets it. An application that wants the server to wait for it requests `lifespan.drain`
(`lifespan.py`).

Rules of this file: the extension is created only here, once for all scopes.
"""

from __future__ import annotations

import asyncio

from asgiws.asgi.extension import Extension

NAME = "asgiws.drain"
VERSION = "1.0"


def extension(event: asyncio.Event) -> Extension:
    """The value of NAME in the extensions of scopes, where `event` announces the drain."""
    return Extension(version=VERSION, event=event)
