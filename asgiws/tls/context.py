"""The TLS context, created from the options.

Rules of this file: each way in which certificate, key and the rest can be wrong is a CertificateError of one
line that names the file and what to do; it quotes OpenSSL's own message only if nothing better is known.
"""

from __future__ import annotations

import hashlib
import re
import ssl

from asgiws.config import Config, StartError
from asgiws.tls import x509

#: Session tickets that a client gets after a full handshake (TLS 1.3); each costs about a tenth of it.
TICKETS = 1

VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
CLIENT_CERTIFICATES = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_BEGIN = b"-----BEGIN CERTIFICATE-----"
_CERTIFICATE = re.compile(_BEGIN + rb".*?-----END CERTIFICATE-----", re.DOTALL)


class CertificateError(StartError):
    """The certificate, its key or a related file or option cannot be used."""


class ServerContext(ssl.SSLContext):
    """A context that keeps what OpenSSL does not report again.

    `certificate` is the server's own, as PEM; `suites` has the number of each cipher suite, by OpenSSL's name.
    `binding` is a digest of what a session must not outlive: the names of the certificate, whether clients are
    asked for theirs, and the authorities that these are verified against.
    """

    certificate: str
    suites: dict[str, int]
    binding: bytes


def make_context(config: Config) -> ServerContext | None:
    """The context, or None if no certificate is given. Raises CertificateError."""
    if config.ssl_certfile is None:
        return None
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[config.ssl_minimum_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.num_tickets = TICKETS
    _load_certificate(context, config, config.ssl_certfile)
    authorities = b""
    if config.ssl_ca_certs is not None:
        authorities = _load_authorities(context, config.ssl_ca_certs)
    context.verify_mode = CLIENT_CERTIFICATES[config.ssl_cert_reqs]
    if config.ssl_ciphers is not None:
        try:
            context.set_ciphers(config.ssl_ciphers)
        except ssl.SSLError:
            raise CertificateError(
                f"--ssl-ciphers: OpenSSL knows no cipher in {config.ssl_ciphers!r}"
            ) from None
    # The suite's own number is the lower half of OpenSSL's.
    context.suites = {item["name"]: item["id"] & 0xFFFF for item in context.get_ciphers()}
    context.binding = _binding(context, authorities)
    return context


def _binding(context: ServerContext, authorities: bytes) -> bytes:
    try:
        names = x509.names(ssl.PEM_cert_to_DER_cert(context.certificate))
    except ValueError:
        names = context.certificate.encode()  # then no other certificate has the same
    parts = (names, context.verify_mode.name.encode(), authorities)
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


def _load_certificate(context: ServerContext, config: Config, certfile: str) -> None:
    keyfile = config.ssl_keyfile or certfile
    content = _read(certfile, _BEGIN, "certificate")
    _read(keyfile, b"PRIVATE KEY-----", "private key")
    asked = False

    def password() -> str:
        # Without this, OpenSSL would prompt on the terminal, where nobody may be.
        nonlocal asked
        asked = True
        return config.ssl_keyfile_password or ""

    try:
        context.load_cert_chain(certfile, config.ssl_keyfile, password)
        # OpenSSL uses the first one as the server's own, too.
        block = _CERTIFICATE.search(content)
        der = ssl.PEM_cert_to_DER_cert(block[0].decode("ascii")) if block else b""
    except (ssl.SSLError, ValueError, OSError) as error:
        raise CertificateError(_explain(config, keyfile, error, asked)) from None
    context.certificate = ssl.DER_cert_to_PEM_cert(der)


def _load_authorities(context: ssl.SSLContext, path: str) -> bytes:
    """Load them. Returns what the file contains; if it changes meanwhile, what no other file contains."""
    before = _read(path, _BEGIN, "CA certificate")
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise CertificateError(f"cannot use the CA certificates in {path!r}: {error}") from None
    after = _read(path, _BEGIN, "CA certificate")
    return before if before == after else before + after


def _explain(config: Config, keyfile: str, error: Exception, asked: bool) -> str:
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"the key in {keyfile!r} does not belong to the certificate {config.ssl_certfile!r}"
    if asked and config.ssl_keyfile_password is None:
        return f"the key in {keyfile!r} is encrypted: give --ssl-keyfile-password"
    if asked:
        return f"the password for the key in {keyfile!r} is wrong"
    return (
        f"cannot use the certificate {config.ssl_certfile!r} with the key in {keyfile!r}: {error}"
    )


def _read(path: str, marker: bytes, what: str) -> bytes:
    """The file's content. Raises CertificateError unless it looks like the expected content."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        reason = error.strerror or str(error)
        raise CertificateError(f"cannot read the {what} {path!r}: {reason.lower()}") from None
    if marker not in content:
        raise CertificateError(f"there is no {what} in PEM form in {path!r}")
    return content
