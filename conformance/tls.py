"""A certificate for `--tls`, made on the fly.

Rules of this file:
- The certificate is for NAME and lives as long as its folder; the client trusts its issuer alone.
- The key is written in PKCS#8, the one form that every server here reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NAME = "localhost"


class TlsError(Exception):
    """No certificate can be made; the message is one line for the user."""


@dataclass(frozen=True)
class Certificate:
    """Three PEM files: the server's key and certificate, and the issuer that the client trusts."""

    key: Path
    certificate: Path
    issuer: Path


def make(folder: Path) -> Certificate:
    """A new certificate in `folder`. Raises TlsError without trustme, OSError as the files do."""
    try:
        import trustme
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise TlsError("--tls needs trustme: pip install trustme") from error
    issuer = trustme.CA()
    leaf = issuer.issue_cert(NAME, "127.0.0.1")
    made = Certificate(folder / "key.pem", folder / "cert.pem", folder / "ca.pem")
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    made.certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    issuer.cert_pem.write_to_path(made.issuer)
    return made
