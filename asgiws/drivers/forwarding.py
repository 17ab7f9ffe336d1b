"""What the server believes about a request that came through proxies.

Rules of this file:
- This is the only place where what a trusted proxy says becomes the client, the scheme, the host and the root
  path of a request. Everything after it, from the host check to the access log, sees the result.
- Trust is decided by the address of the connection's peer, which the PROXY protocol may have set.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from asgiws.asgi.types import Address
from asgiws.bridge.outlet import Outlet
from asgiws.config import Config
from asgiws.http.head import RequestHead
from asgiws.proxies.addresses import TrustedAddresses
from asgiws.proxies.forwarded import NOTHING, Forwarded, ForwardedReader, split_host

_DEFAULT_PORTS = {True: 443, False: 80}


class Origin:
    """Where a request came from and went to in front of the proxies: its scope has these values in place of the
    connection's own. `secure` is true if the request came over TLS."""

    __slots__ = ("client", "root_path", "secure", "server")

    def __init__(
        self,
        client: Address | None,
        server: tuple[str, int | None] | None,
        secure: bool,
        root_path: str,
    ) -> None:
        self.client = client
        self.server = server
        self.secure = secure
        self.root_path = root_path


class Forwarding:
    """Which proxies a worker trusts, and which of their fields."""

    def __init__(self, config: Config, trusted: TrustedAddresses) -> None:
        self._trusted = trusted
        self._reader = ForwardedReader(trusted, config.forwarded_header, config.forwarded_fields)
        self._root_path = config.root_path

    def apply(self, head: RequestHead, outlet: Outlet) -> None:
        """Set `head.origin` and the Host field to what trusted proxies say, if the peer is one of them."""
        peer = outlet.client
        if (peer[0] if peer else None) not in self._trusted:
            return
        said = self._reader.read(head.headers)
        if said == NOTHING:
            return
        secure = outlet.secure if said.scheme is None else said.scheme == "https"
        server = outlet.server
        if said.host is not None or said.port is not None:
            server = _set_host(head, said, secure) or server
        root_path = self._root_path
        if said.prefix is not None:
            root_path = unquote_to_bytes(said.prefix).decode("utf-8", "replace")
        head.origin = Origin(said.client or peer, server, secure, root_path)


def forwarding(config: Config, trusted: TrustedAddresses) -> Forwarding | None:
    """The Forwarding of a worker; None if no proxy is trusted."""
    return Forwarding(config, trusted) if config.proxy_headers and trusted else None


def _set_host(head: RequestHead, said: Forwarded, secure: bool) -> tuple[str, int | None] | None:
    """Set the Host field to what the client sent. Returns the server that it names, None if there is no host.

    A separate port belongs to a host without one: proxies send it because they left it out of the host.
    """
    host = said.host or head.get(b"host")
    if not host:
        return None
    name, port = split_host(host)
    if port is None:
        port = said.port or _DEFAULT_PORTS[secure]
        if port != _DEFAULT_PORTS[secure]:
            host = b"%b:%d" % (name, port)
    head.headers = [(b"host", host), *(field for field in head.headers if field[0] != b"host")]
    return name.decode("ascii").removeprefix("[").removesuffix("]"), port
