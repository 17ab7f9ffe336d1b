"""The ASGI `tls` extension for a connection (ASGI TLS Extension 0.2).

Rules of this file:
- It is requested once for each connection, when its first scope is created; nothing is kept here.
- A client certificate that fails verification ends the handshake, so those seen here never have an error.
- Of the certificates that a client sends after its own, only those count that OpenSSL used to verify it:
  anything can be sent. A resumed session has only the client's own certificate.
- Python's public methods for this came with 3.13. Earlier versions have the same ones under `_sslobj`.
"""

from __future__ import annotations

import ssl
import sys
from typing import Any

from asgiws.tls import x509
from asgiws.tls.context import ServerContext

#: The format passed to `public_bytes` before Python 3.13: DER.
_DER = 2


def describe(connection: ssl.SSLObject) -> dict[str, Any]:
    """The extension's content for a connection whose handshake is complete, as specified.

    `server_cert` and `cipher_suite` are None if the context is not a ServerContext.
    """
    context = connection.context
    own = context if isinstance(context, ServerContext) else None
    cipher = connection.cipher()
    chain = _client_chain(connection) if context.verify_mode != ssl.CERT_NONE else []
    return {
        "server_cert": own.certificate if own else None,
        "client_cert_chain": tuple(map(ssl.DER_cert_to_PEM_cert, chain)),
        "client_cert_name": x509.subject(chain[0]) if chain else None,
        "client_cert_error": None,
        "tls_version": _version(connection.version()),
        "cipher_suite": own.suites.get(cipher[0]) if own and cipher else None,
    }


def _version(name: str | None) -> int | None:
    """`TLSv1.3` as its number on the wire, 0x0304."""
    version = getattr(ssl.TLSVersion, (name or "").replace(".", "_"), None)
    return None if version is None else int(version)


def _client_chain(connection: ssl.SSLObject) -> list[bytes]:
    """The client's certificate in DER and those after it, each of which has signed the one before."""
    own = connection.getpeercert(True)
    if own is None:
        return []
    if sys.version_info >= (3, 13):
        sent, verified = connection.get_unverified_chain(), connection.get_verified_chain()
    else:
        inner: Any = connection._sslobj  # type: ignore[attr-defined]
        sent, verified = (
            [one.public_bytes(_DER) for one in chain or ()]
            for chain in (inner.get_unverified_chain(), inner.get_verified_chain())
        )
    return [own, *(one for one in verified[1:] if one in sent)]
