"""The sockets that a server listens on: created from the options, named, and cleaned up.

Rules of this file:
- `bind` returns sockets that are bound but not listening yet, so that no client waits in a queue while the
  application starts. Everything that can go wrong is a BindError, with one line that names the address.
- What it has created it also removes: `close` removes the file of a Unix socket that it created, and no other.
- The file of a Unix socket has its mode and its owner before any client can connect.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from collections.abc import Sequence

from asgiws.config import Config, StartError
from asgiws.config.endpoints import (
    Endpoint,
    FDEndpoint,
    SystemdEndpoint,
    TCPEndpoint,
    UnixEndpoint,
)
from asgiws.net import siblings, systemd

#: As in uvicorn: everybody may connect; the directory's mode decides who gets that far.
UDS_MODE = 0o666

_UNIX = getattr(socket, "AF_UNIX", None)


class BindError(StartError):
    """The server cannot listen where the options say."""


class Listener:
    """A socket to listen on, and what is known about it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            # Accepted sockets inherit it on Linux and the BSDs. Event loops set it too, but asyncio does so
            # only if the listening socket was created with IPPROTO_TCP, which the user's own may not be.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        #: Path, device and inode of the socket file to remove at the end.
        self._file: tuple[str, int, int] | None = None

    @property
    def address(self) -> tuple[str, int] | str:
        """(host, port), or the path of a Unix socket."""
        name = self.sock.getsockname()
        if self.sock.family in (socket.AF_INET, socket.AF_INET6):
            return str(name[0]), int(name[1])
        return os.fsdecode(name)

    def url(self, secure: bool) -> str:
        """The address as one would type it: `http://127.0.0.1:8000`, `unix:/run/app.sock`."""
        address = self.address
        if isinstance(address, str):
            return "unix:" + address
        host, port = address
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if secure else 'http'}://{shown}:{port}"

    def owns_file(self, path: str) -> None:
        """Let `close` remove the socket file at `path`, if it is still this one by then."""
        status = os.stat(path)
        self._file = (os.path.abspath(path), status.st_dev, status.st_ino)

    def close(self) -> None:
        """Stop listening. Idempotent."""
        self.sock.close()
        if self._file is not None:
            path, device, inode = self._file
            self._file = None
            try:
                status = os.stat(path)
                if (status.st_dev, status.st_ino) == (device, inode):
                    os.unlink(path)
            except OSError:
                pass  # already gone, or no longer ours to remove


def bind(config: Config) -> list[Listener]:
    """The sockets that the options ask for. Raises BindError."""
    if config.fd is not None:
        endpoints: list[Endpoint] = [FDEndpoint(config.fd)]
    elif config.uds is not None:
        endpoints = [UnixEndpoint(config.uds)]
    else:
        endpoints = config.bind or [TCPEndpoint(config.host, config.port)]
    passed: list[systemd.Passed] = []
    if any(isinstance(endpoint, SystemdEndpoint) for endpoint in endpoints):
        try:
            passed = systemd.take_sockets()
        except OSError as error:
            raise failure("the sockets of systemd", error) from None
    listeners: list[Listener] = []
    try:
        for endpoint in endpoints:
            listeners += _bind(endpoint, passed, config.reuse_port)
    except BindError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _bind(endpoint: Endpoint, passed: list[systemd.Passed], reuse_port: bool) -> list[Listener]:
    if isinstance(endpoint, TCPEndpoint):
        return _bind_tcp(endpoint.host, endpoint.port, reuse_port)
    if isinstance(endpoint, UnixEndpoint):
        return [_bind_unix(endpoint)]
    if isinstance(endpoint, FDEndpoint):
        return [_from_fd(endpoint.fd)]
    chosen = [one for one in passed if endpoint.name in ("", one.name)]
    if not chosen:
        called = ", ".join(repr(one.name) for one in passed)
        why = f"it has passed only {called}" if passed else "it has passed none to this process"
        raise BindError(f"cannot listen on {endpoint}, a socket of systemd: {why}")
    return [_from_fd(one.fd) for one in chosen]


def wrap(sockets: Sequence[socket.socket]) -> list[Listener]:
    """Listeners for sockets that the caller has bound."""
    return [Listener(sock) for sock in sockets]


def failure(where: str, error: OSError) -> BindError:
    """The BindError for an address or a socket that cannot be listened on, from the system's error."""
    return BindError(f"cannot listen on {where}: {_reason(error)}")


def _reason(error: OSError) -> str:
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def _bind_tcp(host: str, port: int, reuse_port: bool) -> list[Listener]:
    """One listener per address of `host`, all with the same port."""
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        reason = _reason(error) if isinstance(error, OSError) else "it is not a host name"
        raise BindError(f"cannot listen on host {host!r}: {reason}") from None
    listeners: list[Listener] = []
    try:
        for family, _, proto, _, address in dict.fromkeys(found):
            try:
                sock = socket.socket(family, socket.SOCK_STREAM, proto)
            except OSError as error:
                # A name may have addresses of a family that the kernel does not support.
                if error.errno == errno.EAFNOSUPPORT and len(found) > 1:
                    continue
                raise
            listeners.append(Listener(sock))
            if sys.platform != "win32":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                siblings.allow(sock)
            if family == socket.AF_INET6:
                # Otherwise the socket for all IPv6 addresses would take the port from the one for all IPv4
                # addresses.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind((address[0], port, *address[2:]))
            except OSError as error:
                # A name may have an address that is switched off on this machine.
                if error.errno == errno.EADDRNOTAVAIL and len(found) > 1:
                    listeners.pop().close()
                    continue
                raise
            if port == 0:
                port = sock.getsockname()[1]
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise failure(_shown(host, port), error) from None
    if not listeners:
        raise BindError(
            f"cannot listen on {_shown(host, port)}: it is not an address of this machine"
        )
    return listeners


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind_unix(endpoint: UnixEndpoint) -> Listener:
    path = endpoint.path
    if _UNIX is None:
        raise BindError("cannot listen on a Unix socket: this system has none")
    owner = _owner(endpoint)
    _remove_stale(path)
    sock = socket.socket(_UNIX, socket.SOCK_STREAM)
    listener = Listener(sock)
    try:
        sock.bind(path)
        listener.owns_file(path)
        if owner != (-1, -1):
            os.chown(path, *owner)
        os.chmod(path, UDS_MODE if endpoint.mode is None else endpoint.mode)
    except OSError as error:
        listener.close()
        raise failure(f"unix:{path}", error) from None
    return listener


def _owner(endpoint: UnixEndpoint) -> tuple[int, int]:
    """The ids of the user and the group that the file must get; -1 leaves what it has."""
    if endpoint.user is None and endpoint.group is None:
        return -1, -1
    if sys.platform == "win32":
        raise BindError(f"cannot listen on {endpoint}: this system has no owners of files")
    import grp
    import pwd

    user, group = endpoint.user, endpoint.group
    try:
        uid = -1 if user is None else int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
    except KeyError:
        raise BindError(f"cannot listen on {endpoint}: there is no user {user!r}") from None
    try:
        gid = -1 if group is None else int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise BindError(f"cannot listen on {endpoint}: there is no group {group!r}") from None
    return uid, gid


def _remove_stale(path: str) -> None:
    """Remove the socket file of a server that is gone. Raises BindError if that server is alive, or if the file
    is not a socket."""
    assert _UNIX is not None
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise failure(f"unix:{path}", error) from None
    if not stat.S_ISSOCK(mode):
        raise BindError(f"cannot listen on unix:{path}: a file that is not a socket is in the way")
    with socket.socket(_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            pass
        except BlockingIOError:  # its queue is full: it is alive
            raise BindError(f"cannot listen on unix:{path}: address already in use") from None
        except OSError as error:
            raise failure(f"unix:{path}", error) from None
        else:
            raise BindError(f"cannot listen on unix:{path}: address already in use")
    try:
        os.unlink(path)
    except OSError as error:
        raise BindError(f"cannot remove the stale socket {path}: {_reason(error)}") from None


def _from_fd(fd: int) -> Listener:
    """The listener for an inherited descriptor, which is closed with it."""
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise failure(f"file descriptor {fd}", error) from None
    problem = _why_not_listening(sock)
    if problem:
        sock.detach()
        raise BindError(f"cannot listen on file descriptor {fd}: {problem}")
    return Listener(sock)


def _why_not_listening(sock: socket.socket) -> str:
    if sock.family not in (socket.AF_INET, socket.AF_INET6, _UNIX) or not (
        sock.type & socket.SOCK_STREAM
    ):
        return "it is not a stream socket"
    try:
        sock.getpeername()
    except OSError:
        return ""
    return "it is connected to a peer"
