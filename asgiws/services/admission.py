"""Admission: how many connections, requests and WebSockets are allowed, in total and per address.

Rules of this file:
- It counts and decides, and sends no responses: a rejection is an HTTPError, which the driver sends.
- An address is an IPv4 address, or the first 64 bits of an IPv6 address, which is what one subscriber has. A
  client on a Unix socket has no address and is not counted by address.
- The data kept for an address is removed with its last connection, and a second after its last handshake.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from asgiws.asgi.types import Address
from asgiws.config import Config
from asgiws.http.errors import HTTPError, ServiceUnavailable, TooManyRequests

#: Seconds: the unit of the rate of handshakes, and a fair time to try again after.
RETRY_AFTER = [(b"retry-after", b"1")]

#: How many rejected clients at a time may complete their TLS handshake to be told why. Further ones are closed
#: without a response, because each takes a descriptor meanwhile.
REFUSED = 64

#: How many addresses' handshakes are kept before those of past seconds are removed.
SWEEP = 4096


class Admission:
    """The counts of one worker. `clock` returns seconds."""

    def __init__(self, config: Config, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limit_connections = config.limit_connections
        self._limit_concurrency = config.limit_concurrency
        self._limit_websockets = config.limit_websockets
        self._limit_per_ip = config.limit_per_ip
        self._rate = config.limit_handshakes_per_ip
        #: True if connections must be reported with `enter` and `leave`.
        self.counts_connections = bool(self._limit_connections or self._limit_per_ip)
        #: Connections that carry HTTP requests, including those that are refused.
        self.http = 0
        #: WebSockets, from their handshake until they are lost, and how many of them the application still
        #: serves. Several may share a connection.
        self.websockets = 0
        self.websocket_calls = 0
        self._connections = 0
        #: Connections that were rejected, and linger.
        self._refused = 0
        self._of_address: dict[str, int] = {}
        #: For each address, how many handshakes it may still make, and the time of that count.
        self._allowances: dict[str, tuple[float, float]] = {}
        self._sweep_at = SWEEP

    def enter(self, client: Address | None) -> HTTPError | None:
        """Count a new connection, or return the error to reject it with: rejected clients take nobody's
        place."""
        if self._limit_connections is not None and self._connections >= self._limit_connections:
            self._refused += 1
            return _overloaded("too many connections", "limit_connections")
        if self._limit_per_ip is not None and client is not None:
            key = _key(client)
            count = self._of_address.get(key, 0)
            if count >= self._limit_per_ip:
                self._refused += 1
                return TooManyRequests(
                    "too many connections from this address", "limit_per_ip", RETRY_AFTER
                )
            self._of_address[key] = count + 1
        self._connections += 1
        return None

    def is_crowded(self) -> bool:
        """True while more rejected clients are connected than are told why."""
        return self._refused > REFUSED

    def leave_refused(self) -> None:
        """A rejected connection has gone."""
        self._refused -= 1

    def leave(self, client: Address | None) -> None:
        """A counted connection has gone."""
        self._connections -= 1
        if self._limit_per_ip is not None and client is not None:
            key = _key(client)
            count = self._of_address[key] - 1
            if count:
                self._of_address[key] = count
            else:
                del self._of_address[key]

    def request(self, tasks: int) -> HTTPError | None:
        """The error to refuse an HTTP request with if there are too many. Its connection is counted
        already; `tasks` of the application run, including those of WebSockets."""
        limit = self._limit_concurrency
        if limit is not None and (
            self.http - self._refused > limit or tasks - self.websocket_calls >= limit
        ):
            return _overloaded("Service Unavailable", "limit_concurrency")
        return None

    def handshake(self, client: Address | None) -> HTTPError | None:
        """The error to reject a WebSocket's opening handshake with, if there are too many."""
        if self._limit_websockets is not None and self.websockets >= self._limit_websockets:
            return _overloaded("too many WebSockets", "limit_websockets")
        if self._rate is not None and client is not None and not self._may_shake(_key(client)):
            return TooManyRequests(
                "too many WebSocket handshakes from this address",
                "limit_handshakes_per_ip",
                RETRY_AFTER,
            )
        return None

    def _may_shake(self, key: str) -> bool:
        """Take one handshake from the address's allowance, which is the rate, and is refilled evenly."""
        rate = self._rate
        assert rate is not None
        now = self._clock()
        left, when = self._allowances.get(key, (float(rate), now))
        left = min(left + (now - when) * rate, float(rate))
        if left < 1.0:
            return False
        if len(self._allowances) >= self._sweep_at and key not in self._allowances:
            # After a second, every allowance is full again, like that of an unknown address.
            self._allowances = {
                key: value for key, value in self._allowances.items() if now - value[1] < 1.0
            }
            self._sweep_at = max(2 * len(self._allowances), SWEEP)
        self._allowances[key] = (left - 1.0, now)
        return True


def _overloaded(message: str, limit: str) -> HTTPError:
    return ServiceUnavailable(message, limit, RETRY_AFTER)


def _key(client: Address) -> str:
    host = client[0]
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.packed[:8].hex()
