"""The TLS context, made from the options.

Rules of this file: each way in which certificate and key can be wrong is a CertificateError of one
line that names the file and what to do; OpenSSL's own words stand in it only where nothing better
is known.
"""

from __future__ import annotations

import ssl

from asgiws.config import Config, StartError


class CertificateError(StartError):
    """The certificate or its key cannot be used."""


def make_context(config: Config) -> ssl.SSLContext | None:
    """The context, or None where no certificate is given. Raises CertificateError."""
    if config.ssl_certfile is None:
        return None
    certfile = config.ssl_certfile
    keyfile = config.ssl_keyfile or certfile
    _check(certfile, b"-----BEGIN CERTIFICATE-----", "certificate")
    _check(keyfile, b"PRIVATE KEY-----", "private key")

    asked = False

    def password() -> str:
        # Without this, OpenSSL would ask on the terminal, where nobody may sit.
        nonlocal asked
        asked = True
        return config.ssl_keyfile_password or ""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certfile, config.ssl_keyfile, password)
    except (ssl.SSLError, ValueError, OSError) as error:
        raise CertificateError(_explain(config, keyfile, error, asked)) from None
    return context


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


def _check(path: str, marker: bytes, what: str) -> None:
    """Raise CertificateError unless the file can be read and looks like what it should hold."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        reason = error.strerror or str(error)
        raise CertificateError(f"cannot read the {what} {path!r}: {reason.lower()}") from None
    if marker not in content:
        raise CertificateError(f"there is no {what} in PEM form in {path!r}")
