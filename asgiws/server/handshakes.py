"""TLS handshakes that fail, in the log.

Rules of this file:
- One line for each, with who it was and why. Nothing that the client sent stands in it.
- Whoever tries again and again does not fill the log: LINES of them are told before they are counted.
"""

from __future__ import annotations

import logging
import ssl
from typing import TypeGuard

from asgiws.asgi.notices import Notices

#: Lines of one kind within `notices.QUIET` seconds: clients fail for reasons of their own.
LINES = 10

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


def tell(notices: Notices, client: str, error: OSError, timeout: float) -> None:
    """Log that the handshake with `client` has failed by `error`."""
    kind = "ssl_handshake_timeout" if isinstance(error, ConnectionAbortedError) else "TLS handshake"
    why = f"TLS handshake failed: {reason(error, timeout)}"
    notices.tell(kind, client, why, logging.INFO, LINES)
