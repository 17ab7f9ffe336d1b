"""The PROXY protocol on a connection, in front of HTTP.

Rules of this file:
- The driver lives from the connection's start to the last octet of the preface. Then the connection has the
  addresses that the preface gave, and the next driver takes over.
- Only a trusted peer may name the client. Any other peer is cut off before anything is read from it; a trusted
  one is cut off if its preface is missing or late.
- A stopping server waits as long for a preface that is on its way as for the first request of a client that was
  accepted just before: the two come together.
"""

from __future__ import annotations

from asgiws.bridge.outlet import Driver, Outlet
from asgiws.common import octets
from asgiws.drivers.http_parts import LAST_REQUEST
from asgiws.proxies.preface import PrefaceError, read
from asgiws.services.runtime import Runtime, peer_name

#: Seconds that a proxy has for the preface, which it sends when it connects. The specification asks for at
#: least three, so that a lost packet does not end the connection.
PREFACE_TIMEOUT = 5.0


class ProxyProtocolDriver(Driver):
    """Reads the preface of a connection, and then hands it over to `driver`."""

    __slots__ = ("_data", "_deadline", "_driver", "_notices", "_outlet", "_stopping", "_trusted")

    _outlet: Outlet

    def __init__(self, runtime: Runtime, driver: Driver) -> None:
        self._notices = runtime.notices
        self._trusted = runtime.trusted
        self._driver = driver
        self._data = b""
        self._deadline = 0.0
        self._stopping = False

    def connected(self, outlet: Outlet) -> None:
        self._outlet = outlet
        if (outlet.client[0] if outlet.client else None) not in self._trusted:
            self._refuse("it is not a trusted proxy")
            return
        self._deadline = outlet.loop.time() + PREFACE_TIMEOUT
        outlet.check_at(self._deadline)

    def receive_data(self, data: bytearray, start: int, end: int) -> None:
        outlet = self._outlet
        if outlet.is_closing():
            return
        self._data += octets.to_bytes(data, start, end)
        try:
            preface = read(self._data)
        except PrefaceError as error:
            self._refuse(str(error))
            return
        if preface is None:
            return
        if preface.client is not None and preface.server is not None:
            outlet.introduce(preface.client, preface.server)
        outlet.hand_over(self._driver, self._data[preface.size :])
        if self._stopping:
            self._driver.shutdown()

    def receive_eof(self) -> None:
        # Somebody checks whether the port is open: nothing to log, unless a preface had begun.
        if self._data:
            self._refuse("it ended within the PROXY protocol")
        else:
            self._outlet.close(linger=False)

    def connection_lost(self) -> None:
        self._data = b""

    def check(self, now: float) -> float:
        if now < self._deadline:
            return self._deadline
        if self._stopping and not self._data:
            self._outlet.close()
            return 0.0
        self._refuse("the PROXY protocol did not come in time")
        return 0.0

    def writable(self) -> None:
        """This driver writes nothing."""

    def hung_up(self) -> None:
        """This driver never pauses reading."""

    def stalled(self) -> None:
        """This driver writes nothing."""

    def proceed(self) -> None:
        """This driver never asks for it."""

    def shutdown(self) -> None:
        outlet = self._outlet
        if outlet.is_closing():
            return
        self._stopping = True
        self._deadline = min(self._deadline, outlet.loop.time() + LAST_REQUEST)
        outlet.check_at(self._deadline)

    def lasts(self) -> bool:
        return False  # the preface comes right after the connection, or not at all

    def _refuse(self, why: str) -> None:
        who = peer_name(self._outlet.client)
        self._notices.tell("proxy_protocol", who, f"connection refused: {why}")
        self._outlet.abort()
