"""Why a client that was accepted has not become a connection, and the log line that says so.

Rules of this file:
- Whether something failed or the client has only gone is decided here, in `tell`, for every kind of transport.
- A failure is one line, with the client and the reason. The line contains nothing that the client sent.
- A client that tries again and again does not fill the log: LINES failed handshakes are logged, further ones
  are only counted.
"""

from __future__ import annotations

import logging
import ssl

from asgiws.asgi.types import Address
from asgiws.services.notices import Notices
from asgiws.services.runtime import peer_name

logger = logging.getLogger("asgiws.error")

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


def tell(
    notices: Notices,
    client: Address | None,
    error: BaseException | None,
    handshake_timeout: float | None = None,
) -> None:
    """Log that `client` has not become a connection because of `error`; None if it has merely gone.

    `handshake_timeout` is how long its TLS handshake could take, in seconds; None if it was not in one.
    """
    name = peer_name(client)
    if handshake_timeout is not None and isinstance(error, ConnectionAbortedError):
        why = f"it took longer than {handshake_timeout:g} seconds"
        _tell_failed(notices, "ssl_handshake_timeout", name, why)
    elif error is None or isinstance(error, (ConnectionError, ssl.SSLEOFError)):
        logger.debug("%s - gone before the connection was made", name)
    elif isinstance(error, ssl.SSLError):
        _tell_failed(notices, "TLS handshake", name, reason(error))
    elif isinstance(error, OSError):
        logger.info("%s - connection not made: %s", name, error)
    else:
        logger.error("Exception while a connection was made: %s", name, exc_info=error)


def _tell_failed(notices: Notices, kind: str, name: str, why: str) -> None:
    notices.tell(kind, name, f"TLS handshake failed: {why}", logging.INFO, LINES)


def reason(error: ssl.SSLError) -> str:
    """Why OpenSSL ended the handshake, in words."""
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
