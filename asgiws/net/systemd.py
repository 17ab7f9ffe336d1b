"""What systemd passes to a service, and what the service reports to systemd.

Rules of this file:
- The protocols are sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3), implemented without their
  library. Other service managers and container engines use them too.
- What was passed is taken once: the variables are removed from the environment, so that no child process takes
  them for its own.
- If no service manager asks for notifications, nothing is done. A notification that fails is one line in the
  log, and stops nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import MutableMapping
from dataclasses import dataclass

logger = logging.getLogger("asgiws.error")

#: The first passed descriptor (SD_LISTEN_FDS_START).
FIRST_FD = 3

#: Seconds that a notification may take if nobody reads it.
PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class Passed:
    """A descriptor and its name: FileDescriptorName of the socket unit, by default the name of that unit."""

    fd: int
    name: str


def take_sockets(environ: MutableMapping[str, str] = os.environ) -> list[Passed]:
    """The descriptors passed to this process, which its children do not inherit.

    The caller owns them from now on. Raises OSError if one of them does not exist.
    """
    pid, count, names = (
        environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    )
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    called = names.split(":") if names else []
    result = []
    for index in range(int(count)):
        fd = FIRST_FD + index
        os.set_inheritable(fd, False)
        result.append(Passed(fd, called[index] if index < len(called) else "unknown"))
    return result


class Notifier:
    """Reports the state of the service to the service manager, as sd_notify(3) does.

    `address` is the path of the manager's socket, in the abstract namespace if it begins with "@"; None if
    nobody listens. `watchdog` is the number of seconds without `alive` after which the service is considered
    hung, 0.0 for never.
    """

    def __init__(self, address: str | None, watchdog: float = 0.0) -> None:
        self.watchdog = watchdog
        self._address = address
        self._socket: socket.socket | None = None
        if address is not None and hasattr(socket, "AF_UNIX"):
            # Once, and now: later there may be no descriptor for it.
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(PATIENCE)

    @classmethod
    def take(cls, environ: MutableMapping[str, str] = os.environ) -> Notifier:
        """The Notifier that the environment asks for; its variables are removed."""
        address, interval, pid = (
            environ.pop(name, "") for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
        )
        if not interval.isdecimal() or pid not in ("", str(os.getpid())):
            interval = "0"
        return cls(address or None, int(interval) / 1e6)

    def __enter__(self) -> Notifier:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Send no more notifications. Idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self, status: str) -> None:
        """The start of the service, or its reload, is complete; `status` is a line for people."""
        self.tell("READY=1", f"STATUS={status}")

    def reloading(self, status: str = "Reloading") -> None:
        """The service is being reloaded; `ready` follows."""
        # The time tells systemd whether its own signal has caused this reload.
        moment = time.monotonic_ns() // 1000
        self.tell("RELOADING=1", f"MONOTONIC_USEC={moment}", f"STATUS={status}")

    def stopping(self, status: str = "Stopping") -> None:
        """The service is being stopped."""
        self.tell("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """Only a line for people."""
        self.tell(f"STATUS={status}")

    def alive(self) -> None:
        """The service does not hang; must be called again within `watchdog` seconds."""
        self.tell("WATCHDOG=1")

    def tell(self, *assignments: str) -> None:
        """Send several assignments at once, each `VARIABLE=VALUE` on one line."""
        if self._socket is None:
            return
        assert self._address is not None
        # A "@" stands for the NUL at the start of an abstract address.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        message = "\n".join(text.replace("\n", " ") for text in assignments)
        try:
            self._socket.sendto(message.encode(), address)
        except OSError as error:
            logger.warning("Cannot notify the service manager at %s: %s", self._address, error)


class Watchdog:
    """Reports that the loop does not hang, twice in each watchdog period, until `close`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, notifier: Notifier) -> None:
        self._loop = loop
        self._notifier = notifier
        self._timer: asyncio.TimerHandle | None = None
        if notifier.watchdog > 0.0:
            self._tell()

    def _tell(self) -> None:
        self._timer = self._loop.call_later(self._notifier.watchdog / 2, self._tell)
        self._notifier.alive()

    def close(self) -> None:
        """Stop reporting. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
