"""Certificates as files, for the tests, and TLS between two ends without sockets."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from asgiws.config import Config


class Authority:
    """An authority, and files of what it has issued.

    `certificate`, `key` and `roots` are paths.
    """

    def __init__(self, directory: Path, **facts: Any) -> None:
        self.ca = trustme.CA()
        self.certificate = str(directory / "certificate.pem")
        self.key = str(directory / "key.pem")
        self.roots = str(directory / "roots.pem")
        self.ca.cert_pem.write_to_path(self.roots)
        self.options: dict[str, Any] = {"ssl_certfile": self.certificate, "ssl_keyfile": self.key}
        self.renew(**facts)

    def issue(self, **facts: Any) -> trustme.LeafCert:
        return self.ca.issue_cert("localhost", **facts)

    def renew(self, **facts: Any) -> None:
        """Put a new certificate and its key where the old ones were, each at once."""
        issued = self.issue(**facts)
        replace(self.key, issued.private_key_pem.bytes())
        replace(self.certificate, b"".join(pem.bytes() for pem in issued.cert_chain_pems))

    def config(self, **options: Any) -> Config:
        return Config("main:app", **self.options, **options)

    @staticmethod
    def stranger() -> trustme.LeafCert:
        """A certificate of an authority that nobody knows."""
        return trustme.CA().issue_cert("localhost")

    def client(self, certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """The context of a client that trusts the authority, and has that certificate."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if certificate is not None:
            certificate.configure_cert(context)
        return context


@dataclass(frozen=True)
class Certificate:
    """The options of a server that has it, and the context of a client that trusts it."""

    options: tuple[str, ...]
    trust: ssl.SSLContext


def issue(directory: Path, *names: str) -> Certificate:
    """A certificate for these names, written to that directory, of an authority of its own."""
    authority = trustme.CA()
    issued = authority.issue_cert(*names)
    chain, key = directory / "certificate.pem", directory / "key.pem"
    replace(str(key), issued.private_key_pem.bytes())
    replace(str(chain), b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    return Certificate(("--ssl-certfile", str(chain), "--ssl-keyfile", str(key)), trust)


def replace(path: str, content: bytes) -> None:
    """Put a new file in the place of an old one, at once."""
    fresh = path + ".new"
    Path(fresh).write_bytes(content)
    os.replace(fresh, path)


def connect(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends, the server's first, once they agree."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = server.wrap_bio(up, down, server_side=True)
    there = client.wrap_bio(down, up, server_hostname="localhost", session=session)
    waiting = [there, here]
    while waiting:
        end = waiting.pop(0)
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(end)
    here.write(b"x")
    there.read(1)  # with it come the tickets of TLS 1.3
    return here, there
