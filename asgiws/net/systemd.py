"""What systemd passes to a service, and what it wants to hear from it.

Rules of this file:
- The protocols are sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3), spoken without their
  library. Other service managers and container engines speak them too.
- What was passed is taken once: the variables leave the environment, so that no child takes it for
  its own.
- Where nobody asked to be told, nothing is done. What cannot be told stops nobody: it is one line in
  the log.
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

#: The first descriptor that is passed (SD_LISTEN_FDS_START).
FIRST_FD = 3

#: Seconds that telling may take, should nobody read what is told.
PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class Passed:
    """A descriptor and its name: FileDescriptorName of the socket unit, that unit's own by default."""

    fd: int
    name: str


def take_sockets(environ: MutableMapping[str, str] = os.environ) -> list[Passed]:
    """The descriptors passed to this process, which its children do not inherit.

    The caller owns them from now on. Raises OSError when one of them is not there.
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
    """Tells the service manager how the service is, as sd_notify(3) does.

    `address` is the path of its socket, one that begins with "@" in the abstract namespace; None
    when nobody listens. `watchdog` is after how many seconds without `alive` the service is taken
    for hanging, 0.0 for never.
    """

    def __init__(self, address: str | None, watchdog: float = 0.0) -> None:
        self.watchdog = watchdog
        self._address = address
        self._socket: socket.socket | None = None
        if address is not None and hasattr(socket, "AF_UNIX"):
            # Now and once: later there may be no descriptor for it.
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(PATIENCE)

    @classmethod
    def take(cls, environ: MutableMapping[str, str] = os.environ) -> Notifier:
        """The one that the environment asks for; its variables are removed."""
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
        """Tell nothing more. Idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self, status: str) -> None:
        """The service, or its reload, has started; `status` is a line for people."""
        self.tell("READY=1", f"STATUS={status}")

    def reloading(self, status: str = "Reloading") -> None:
        """It is being reloaded; `ready` follows."""
        # The moment tells systemd whether its own signal has led to this one.
        moment = time.monotonic_ns() // 1000
        self.tell("RELOADING=1", f"MONOTONIC_USEC={moment}", f"STATUS={status}")

    def stopping(self, status: str = "Stopping") -> None:
        """It is being stopped."""
        self.tell("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """A line for people alone."""
        self.tell(f"STATUS={status}")

    def alive(self) -> None:
        """It does not hang; to be told within `watchdog` seconds each time."""
        self.tell("WATCHDOG=1")

    def tell(self, *assignments: str) -> None:
        """Tell several things at once, each `VARIABLE=VALUE` on one line."""
        if self._socket is None:
            return
        assert self._address is not None
        # A "@" stands for the NUL that an abstract address begins with.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        message = "\n".join(text.replace("\n", " ") for text in assignments)
        try:
            self._socket.sendto(message.encode(), address)
        except OSError as error:
            logger.warning("Cannot notify the service manager at %s: %s", self._address, error)


class Watchdog:
    """Tells that the loop does not hang, twice within the time, until `close`."""

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
        """Tell no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
