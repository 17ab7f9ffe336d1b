"""A service manager's end of systemd's notifications.

Rules of this file: each wait has 30 seconds, as a guard against hanging and not as a verdict.
"""

from __future__ import annotations

import socket
from typing import Any


class Manager:
    """The service manager's end: what it is told, one message after the other."""

    def __init__(self, address: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.sock.settimeout(30)

    def next(self) -> dict[str, str]:
        lines = self.sock.recv(4096).decode().split("\n")
        return dict(line.partition("=")[::2] for line in lines)

    def close(self) -> None:
        self.sock.close()


def notifying(manager: Manager, **more: str) -> dict[str, Any]:
    """The environment of a service of that manager."""
    return {"NOTIFY_SOCKET": str(manager.sock.getsockname()), **more}
