"""TLS handshakes that fail, in the log.

Rules of this file:
- One line for each, with who it was and why. Nothing that the client sent stands in it.
- Whoever tries again and again does not fill the log: above LINES lines within PERIOD seconds they are counted,
  and one line tells how many there were.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TypeGuard

logger = logging.getLogger("asgiws.error")

LINES = 10
PERIOD = 10.0

#: OpenSSL's names for what is met most.
REASONS = {
    "HTTP_REQUEST": "it speaks HTTP without TLS",
    "HTTPS_PROXY_REQUEST": "it takes this for a proxy",
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
    "UNSUPPORTED_PROTOCOL": "it offers no TLS version that is allowed",
    "NO_SHARED_CIPHER": "it offers no cipher that is allowed",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it has sent no certificate",
}


def is_failure(error: BaseException | None) -> TypeGuard[OSError]:
    """True when a handshake has failed by `error`; false when the client has only gone."""
    return isinstance(error, (ssl.SSLError, ConnectionAbortedError)) and not isinstance(
        error, ssl.SSLEOFError
    )


def reason(error: OSError, timeout: float) -> str:
    """Why the handshake failed, in words; `timeout` is what it could take, in seconds."""
    if isinstance(error, ConnectionAbortedError):
        return f"it took longer than {timeout:g} seconds"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was refused: {error.verify_message}"
    name = getattr(error, "reason", None) or ""
    if name in REASONS:
        return REASONS[name]
    _, is_alert, alert = name.partition("_ALERT_")
    if is_alert:
        # RFC 8446, 6.2. Mostly of who does not trust the server's certificate.
        return f"it has refused: {_words(alert)}"
    return _words(name) if name else str(error)


def _words(name: str) -> str:
    return name.lower().replace("_", " ")


class Failures:
    """What is told of the handshakes that failed on one socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._end = 0.0
        self._lines = 0
        self._untold = 0

    def tell(self, client: str, why: str) -> None:
        """A handshake with `client` has failed."""
        now = self._loop.time()
        if now >= self._end:
            self._end = now + PERIOD
            self._lines = 0
        self._lines += 1
        if self._lines <= LINES:
            logger.info("%s - TLS handshake failed: %s", client, why)
            return
        if not self._untold:
            self._loop.call_at(self._end, self._tell_the_rest)
        self._untold += 1

    def _tell_the_rest(self) -> None:
        logger.info("%d more TLS handshakes failed in the last %g seconds", self._untold, PERIOD)
        self._untold = 0
