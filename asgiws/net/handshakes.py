"""TLS handshakes in progress, and the log lines for those that fail.

Rules of this file:
- A client counts as soon as it is accepted; `pending` contains those whose handshake is not complete.
- Each handshake uses the context that is in use when the client begins it, and must be complete a number of
  seconds after the client was accepted, however slowly its data trickles in.
- A failure is one line, with the client and the reason. The line contains nothing that the client sent.
- A client that tries again and again does not fill the log: LINES failures are logged, further ones are only
  counted.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any, Protocol, TypeGuard

from asgiws.asgi.types import Address
from asgiws.net.ticker import Ticker
from asgiws.services.notices import Notices
from asgiws.services.runtime import peer_name

logger = logging.getLogger("asgiws.error")

#: Octets of one read on a TLS connection: the frame of a large message fits in, with what TLS adds.
READ_SIZE = 66560

#: Lines of one kind within `notices.QUIET` seconds: clients fail for reasons of their own.
LINES = 10

#: OpenSSL's names for the most common failures.
REASONS = {
    "HTTP_REQUEST": "it speaks HTTP without TLS",
    "HTTPS_PROXY_REQUEST": "it takes this for a proxy",
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
    "UNSUPPORTED_PROTOCOL": "it offers no TLS version that is allowed",
    "NO_SHARED_CIPHER": "it offers no cipher that is allowed",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it has sent no certificate",
}


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
        if is_failure(error):
            tell(self._notices, peer_name(client), error, self._certificates.handshake_timeout)
        else:
            logger.debug("%s - gone before the connection was made", peer_name(client))


def is_failure(error: BaseException | None) -> TypeGuard[OSError]:
    """True if a handshake has failed with `error`; false if the client has merely gone."""
    return isinstance(error, (ssl.SSLError, ConnectionAbortedError)) and not isinstance(
        error, ssl.SSLEOFError
    )


def reason(error: OSError, timeout: float) -> str:
    """Why the handshake failed, in words; `timeout` is how long it could take, in seconds."""
    if isinstance(error, ConnectionAbortedError):
        return f"it took longer than {timeout:g} seconds"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was refused: {error.verify_message}"
    name = getattr(error, "reason", None) or ""
    if name in REASONS:
        return REASONS[name]
    _, is_alert, alert = name.partition("_ALERT_")
    if is_alert:
        # RFC 8446, 6.2. Mostly from clients that do not trust the server's certificate.
        return f"it has refused: {_words(alert)}"
    return _words(name) if name else str(error)


def _words(name: str) -> str:
    return name.lower().replace("_", " ")


def tell(notices: Notices, client: str, error: OSError, timeout: float) -> None:
    """Log that the handshake with `client` has failed with `error`."""
    kind = "ssl_handshake_timeout" if isinstance(error, ConnectionAbortedError) else "TLS handshake"
    why = f"TLS handshake failed: {reason(error, timeout)}"
    notices.tell(kind, client, why, logging.INFO, LINES)
