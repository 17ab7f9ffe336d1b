"""An application that writes down, in the file named by SEEN, what it is told at the end."""

from __future__ import annotations

import os
from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    with open(os.environ["SEEN"], "a") as seen:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            seen.write("shutdown;")
            seen.flush()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "ready"})
        message = await receive()
        seen.write(f"{message['type']} {message['code']} {message['reason']}; ")
