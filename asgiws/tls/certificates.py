"""The certificate in use, and its replacement while the server runs.

Rules of this file:
- `context` is for new connections; open connections keep the context that they were created with.
- A new context is complete before it replaces the old one. If it cannot be created, that is one line in the
  log, and the old one stays.
- All contexts encrypt their session tickets with keys of the same secret: a client may resume a session under
  a new context. See `tickets`.
- The files are checked every second, by one deadline of the worker's ticker. They are loaded once they have
  been the same for two checks, so that no client gets a new certificate with the old key; what could not be
  loaded is not tried again until a file has changed.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from datetime import datetime, timezone

from asgiws.config import Config
from asgiws.tls import x509
from asgiws.tls.context import CertificateError, ServerContext, make_context
from asgiws.tls.tickets import Tickets

logger = logging.getLogger("asgiws.error")

#: Seconds between two checks of the files.
LOOK = 1.0

#: What distinguishes one state of a file from another; None for a file that does not exist.
Mark = tuple[int, int, int, int] | None


class Certificates:
    """The certificate of the options, its key, and the authorities for clients. Raises CertificateError.

    It is an entry of a Ticker: scheduled once, it then checks the files by itself. `secret` is that of the
    session tickets, as `Tickets.packed` returns it; without it, there is a new one.
    """

    def __init__(self, config: Config, secret: bytes = b"") -> None:
        self.bucket = 0
        #: Seconds that a client has for its TLS handshake.
        self.handshake_timeout = config.ssl_handshake_timeout
        self._config = config
        self._tickets = Tickets.unpacked(secret) if secret else Tickets.fresh()
        paths = (config.ssl_certfile, config.ssl_keyfile, config.ssl_ca_certs)
        self._paths = [path for path in paths if path is not None]
        #: The files as they were when last loaded, and at the last check.
        self._loaded = self._found = self._look()
        self.context, _ = self._load()

    def reload(self) -> bool:
        """Reload the files, changed or not; false if they cannot be used. Only from a callback of the event
        loop, or before it runs."""
        # Checked first: a file that changes while it is being loaded is loaded again.
        self._loaded = self._look()
        try:
            self.context, until = self._load()
        except CertificateError as error:
            logger.error("Keeping the certificate in use: %s", error)
            return False
        logger.info(
            "The certificate %r was reloaded; it is valid until %s",
            self._config.ssl_certfile,
            _shown(until),
        )
        return True

    def tick(self, now: float) -> float:
        """Check the files, and load them if they have changed."""
        if self._tickets.turn(time.monotonic()):
            self._tickets.use(self.context)
        found = self._look()
        if found != self._loaded and found == self._found:
            self.reload()
        self._found = found
        return now + LOOK

    def _look(self) -> list[Mark]:
        return [_mark(path) for path in self._paths]

    def _load(self) -> tuple[ServerContext, datetime]:
        """A context from the files as they are, and until when its certificate is valid."""
        context = make_context(self._config)
        assert context is not None
        path = self._config.ssl_certfile
        try:
            first, last = x509.validity(ssl.PEM_cert_to_DER_cert(context.certificate))
        except ValueError as error:
            raise CertificateError(f"cannot read when {path!r} is valid: {error}") from None
        now = datetime.now(timezone.utc)
        if now > last:
            logger.warning(
                "The certificate %r has expired: it was valid until %s", path, _shown(last)
            )
        elif now < first:
            logger.warning("The certificate %r is not valid before %s", path, _shown(first))
        self._tickets.use(context)
        return context, last


def load(config: Config, secret: bytes = b"") -> Certificates | None:
    """The certificates of the options, or None if there are none. Raises CertificateError."""
    return None if config.ssl_certfile is None else Certificates(config, secret)


def _mark(path: str) -> Mark:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _shown(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
