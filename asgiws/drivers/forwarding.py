"""What the server believes of a request that came through proxies.

Rules of this file:
- It is the one place where a trusted proxy's word becomes the client, the scheme, the host and the root path of
  a request. All that comes after it, from the check of the host to the access log, sees the result.
- Who is trusted is asked of the peer of the connection, whom the PROXY protocol may have named.
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
    """Where a request came from, and where to, before the proxies: what its scope has in place of the
    connection's own. `secure` is true where it came under TLS."""

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
    """Whom a worker trusts, and in what."""

    def __init__(self, config: Config, trusted: TrustedAddresses) -> None:
        self._trusted = trusted
        self._reader = ForwardedReader(trusted, config.forwarded_header, config.forwarded_fields)
        self._root_path = config.root_path

    def apply(self, head: RequestHead, outlet: Outlet) -> None:
        """Set `head.origin`, and the Host field, to what trusted proxies say, when it is one that asks."""
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
    """None where no proxy is believed."""
    return Forwarding(config, trusted) if config.proxy_headers and trusted else None


def _set_host(head: RequestHead, said: Forwarded, secure: bool) -> tuple[str, int | None] | None:
    """Make the Host field what the client has sent; the server that it means, None where there is no host.

    A port that is given by itself belongs to a host that has none: proxies name it since they have left it out.
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
