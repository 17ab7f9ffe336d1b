"""TLS handshakes in progress.

Rules of this file:
- A client counts as soon as it is accepted; `pending` contains those whose handshake is not complete.
- Each handshake uses the context that is in use when the client begins it, and must be complete a number of
  seconds after the client was accepted, however slowly its data trickles in.
- The log lines for those that fail are written by `connect_failures.py`.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Protocol

from asgiws.asgi.types import Address
from asgiws.net import connect_failures
from asgiws.net.ticker import Ticker
from asgiws.services.notices import Notices

#: Octets of one read on a TLS connection: the frame of a large message fits in, with what TLS adds.
READ_SIZE = 66560


class Certificates(Protocol):
    """What TLS needs: the context for a client that connects now, and the seconds that a handshake may take.

    On Windows, where the loop accepts by itself, the context stays the first one.
    """

    @property
    def context(self) -> ssl.SSLContext: ...

    @property
    def handshake_timeout(self) -> float: ...


class Handshaking:
    """What the TLS connections of one worker share."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ticker: Ticker,
        certificates: Certificates,
        pending: set[Any],
        notices: Notices,
    ) -> None:
        self._loop = loop
        self._ticker = ticker
        self._certificates = certificates
        self._pending = pending
        self._notices = notices
        #: All of them read into this buffer, one at a time; it is free again once OpenSSL was fed from it.
        self.buffer = bytearray(READ_SIZE)
        self.view = memoryview(self.buffer)

    def context(self) -> ssl.SSLContext:
        """The context for a handshake that begins now."""
        return self._certificates.context

    def begin(self, transport: Any) -> float:
        """A client was accepted. Returns the deadline of its handshake, by the loop's clock."""
        self._pending.add(transport)
        deadline = self._loop.time() + self._certificates.handshake_timeout
        self._ticker.schedule(transport, deadline)
        return deadline

    def end(self, transport: Any) -> None:
        """The handshake is complete, or has failed."""
        self._ticker.discard(transport)
        self._pending.discard(transport)

    def tell(self, client: Address | None, error: OSError | None) -> None:
        """Log that the handshake has failed with `error`; None if the client has merely gone."""
        timeout = self._certificates.handshake_timeout
        connect_failures.tell(self._notices, client, error, timeout)
