"""Listening sockets: where they are, what is said when they cannot be, and what is left behind."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asgiws.config import Config
from asgiws.net import sockets, systemd
from asgiws.net.sockets import BindError, Listener, bind, failure, wrap
from asgiws.net.systemd import Passed


@pytest.fixture
def listen() -> Iterator[Any]:
    made: list[Listener] = []

    def listen(**options: Any) -> list[Listener]:
        made.extend(bind(Config("main:app", **options)))
        return made

    yield listen
    for listener in made:
        listener.close()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")


def test_a_port_is_picked_and_named(listen: Any) -> None:
    [listener] = listen(port=0)
    host, port = listener.address
    assert host == "127.0.0.1"
    assert port > 0
    assert listener.url(False) == f"http://127.0.0.1:{port}"
    assert listener.url(True) == f"https://127.0.0.1:{port}"


def test_nobody_can_connect_before_the_server_listens(listen: Any) -> None:
    [listener] = listen(port=0)
    with socket.socket() as peer, pytest.raises(ConnectionRefusedError):
        peer.connect(listener.address)


def test_a_tcp_socket_is_set_up_for_small_messages(listen: Any) -> None:
    [listener] = listen(port=0)
    sock = listener.sock
    # asyncio sets TCP_NODELAY on what it accepts from such a socket only.
    assert sock.proto == socket.IPPROTO_TCP
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert not sock.getblocking()
    assert not sock.get_inheritable()


@needs_ipv6
def test_ipv6_is_named_in_brackets(listen: Any) -> None:
    [listener] = listen(host="::1", port=0)
    assert listener.url(False) == f"http://[::1]:{listener.address[1]}"


@needs_ipv6
def test_all_addresses_of_a_name_have_the_same_port(listen: Any) -> None:
    listeners = listen(host="", port=0)
    assert {listener.sock.family for listener in listeners} == {socket.AF_INET, socket.AF_INET6}
    assert len({listener.address[1] for listener in listeners}) == 1


def test_a_port_in_use_is_told(listen: Any) -> None:
    [listener] = listen(port=0)
    listener.sock.listen()
    port = listener.address[1]
    with pytest.raises(BindError) as caught:
        listen(port=port)
    assert str(caught.value) == f"cannot listen on 127.0.0.1:{port}: address already in use"


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(BindError, match=r"cannot listen on 192\.0\.2\.1:80\d\d: "):
        bind(Config("main:app", host="192.0.2.1", port=8099))


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 70, "\0"])
def test_a_host_that_cannot_be_resolved_is_told(host: str) -> None:
    with pytest.raises((BindError, ValueError)) as caught:
        bind(Config("main:app", host=host))
    assert "host" in str(caught.value)
    assert "\n" not in str(caught.value)


def resolve(*addresses: Any) -> Any:
    def getaddrinfo(host: object, port: int, **_: object) -> list[Any]:
        return [(*address[:1], socket.SOCK_STREAM, 6, "", *address[1:]) for address in addresses]

    return getaddrinfo


GOOD = (socket.AF_INET, ("127.0.0.1", 0))
ELSEWHERE = (socket.AF_INET, ("192.0.2.1", 0))
UNKNOWN = (99, ("x", 0))


@pytest.mark.parametrize("other", [ELSEWHERE, UNKNOWN])
def test_addresses_of_a_name_that_the_machine_does_not_have_are_left_out(
    listen: Any, monkeypatch: pytest.MonkeyPatch, other: Any
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolve(other, GOOD))
    [listener] = listen(host="name", port=0)
    assert listener.address[0] == "127.0.0.1"


def test_a_name_without_any_address_of_the_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolve(ELSEWHERE, UNKNOWN))
    with pytest.raises(BindError, match="cannot listen on name:8000: it is not an address of this"):
        bind(Config("main:app", host="name"))


def test_a_family_that_the_machine_does_not_have_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolve(UNKNOWN))
    with pytest.raises(BindError, match="cannot listen on name:8000: address family"):
        bind(Config("main:app", host="name"))


def test_a_unix_socket_is_open_to_all_and_removed_at_the_end(listen: Any, tmp_path: Path) -> None:
    path = tmp_path / "s"
    [listener] = listen(uds=str(path))
    assert listener.address == str(path)
    assert listener.url(False) == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    listener.close()
    assert not path.exists()
    listener.close()


def test_a_unix_socket_of_another_server_is_not_removed(listen: Any, tmp_path: Path) -> None:
    path = tmp_path / "s"
    [listener] = listen(uds=str(path))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        listener.close()
        assert path.exists()


def test_a_unix_socket_that_has_gone_is_no_fault(listen: Any, tmp_path: Path) -> None:
    path = tmp_path / "s"
    [listener] = listen(uds=str(path))
    path.unlink()
    listener.close()


def test_a_stale_unix_socket_is_replaced(listen: Any, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    [listener] = listen(uds=str(path))
    listener.sock.listen()
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(path))


def test_a_live_unix_socket_is_refused_and_left(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen(0)
        text = f"cannot listen on unix:{path}: address already in use"
        # The first attempt fills the queue of those who wait; the second finds it full.
        for _ in range(2):
            with pytest.raises(BindError) as caught:
                bind(Config("main:app", uds=str(path)))
            assert str(caught.value) == text
    assert path.exists()


def test_a_file_in_the_way_is_refused_and_left(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(BindError, match=r"unix:.*: a file that is not a socket is in the way"):
        bind(Config("main:app", uds=str(path)))
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("none/s", "no such file or directory"),
        ("x" * 200, "path too long"),
        ("f/s", "not a directory"),
    ],
)
def test_a_path_that_cannot_be_is_told(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(BindError, match=f"cannot listen on unix:.*: .*{text}"):
        bind(Config("main:app", uds=str(tmp_path / name)))


class Probe:
    """A socket whose `connect` fails in a way that is hard to come by."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None: ...

    def setblocking(self, _: bool) -> None: ...

    def connect(self, _: str) -> None:
        raise OSError(errno.EACCES, "Permission denied")


def test_a_unix_socket_that_cannot_be_asked_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
    monkeypatch.setattr(sockets.socket, "socket", Probe)
    with pytest.raises(BindError, match=r"unix:.*: permission denied"):
        bind(Config("main:app", uds=str(path)))


def test_a_stale_unix_socket_that_cannot_be_removed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))

    def unlink(_: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(BindError, match=r"cannot remove the stale socket .*: permission denied"):
        bind(Config("main:app", uds=str(path)))


def test_without_unix_sockets_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_UNIX", None)
    with pytest.raises(BindError, match="this system has none"):
        bind(Config("main:app", uds="x"))


def test_an_inherited_socket_is_listened_on_and_closed(listen: Any) -> None:
    given = socket.create_server(("127.0.0.1", 0))
    address = given.getsockname()
    fd = given.detach()
    [listener] = listen(fd=fd)
    assert listener.address == address
    listener.close()
    with pytest.raises(OSError):
        os.fstat(fd)


def test_a_descriptor_that_is_no_listening_socket_is_told(tmp_path: Path) -> None:
    left, right = socket.socketpair()
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with left, right, datagrams, open(tmp_path / "f", "w") as file:
        closed = os.dup(file.fileno())
        os.close(closed)
        for fd, text in (
            (closed, "bad file descriptor"),
            (file.fileno(), "socket operation on non-socket"),
            (left.fileno(), "it is connected to a peer"),
            (datagrams.fileno(), "it is not a stream socket"),
        ):
            with pytest.raises(BindError) as caught:
                bind(Config("main:app", fd=fd))
            assert str(caught.value) == f"cannot listen on file descriptor {fd}: {text}"
        left.sendall(b"still open")
        assert right.recv(99) == b"still open"


def test_sockets_of_the_caller_are_taken(listen: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        [listener] = wrap([given])
        assert listener.sock is given
        assert given.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_failure_that_comes_late_is_told_alike() -> None:
    text = str(failure("http://h:1", OSError(errno.EADDRINUSE, "Address already in use")))
    assert text == "cannot listen on http://h:1: address already in use"
    assert str(failure("x", OSError("Odd"))) == "cannot listen on x: odd"


# Several, by --bind.


@needs_ipv6
def test_several_are_listened_on_in_their_order(listen: Any, tmp_path: Path) -> None:
    tcp, ipv6, unix, *both = listen(bind=["127.0.0.1:0", "[::]:0", f"unix:{tmp_path / 's'}", "*:0"])
    assert tcp.address[0] == "127.0.0.1"
    assert ipv6.address[0] == "::"
    assert unix.address == str(tmp_path / "s")
    assert {listener.address[0] for listener in both} == {"0.0.0.0", "::"}
    assert len({listener.address[1] for listener in both}) == 1


@needs_ipv6
@pytest.mark.parametrize(("which", "other"), [("[::]", "0.0.0.0"), ("0.0.0.0", "[::]")])
def test_all_of_one_family_is_not_all_of_the_other(listen: Any, which: str, other: str) -> None:
    for left in reversed(range(20)):
        port = listen(bind=f"{which}:0")[-1].address[1]
        try:
            # The port is free for the other family, unless a stranger happens to have it there.
            listen(bind=f"{other}:{port}")
        except BindError:
            assert left, "the port is taken in both families"
        else:
            break


def test_where_one_cannot_be_listened_on_the_others_are_let_go(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = tmp_path / "s"
        with pytest.raises(BindError, match=f"cannot listen on 127.0.0.1:{port}: address already"):
            bind(Config("main:app", bind=[f"unix:{path}", f"127.0.0.1:{port}"]))  # type: ignore[list-item]
    assert not path.exists()


def test_a_unix_socket_has_the_mode_and_the_owner_that_it_is_given(
    listen: Any, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    user, group = os.getuid(), os.getgid()
    if user == 0:
        user, group = 65534, 65533
    listen(bind=f"unix:{path}?mode=640&user={user}&group={group}")
    status = path.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o640, user, group)


def test_names_of_owners_are_looked_up(listen: Any, tmp_path: Path) -> None:
    user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(os.getgid())
    path = tmp_path / "s"
    listen(bind=f"unix:{path}?user={user.pw_name}&group={group.gr_name}")
    assert (path.stat().st_uid, path.stat().st_gid) == (user.pw_uid, group.gr_gid)


@pytest.mark.parametrize("option", ["user", "group"])
def test_an_owner_that_there_is_not_is_told(tmp_path: Path, option: str) -> None:
    path = tmp_path / "s"
    with pytest.raises(BindError) as caught:
        bind(Config("main:app", bind=f"unix:{path}?{option}=no-such-one"))  # type: ignore[arg-type]
    text = f"cannot listen on unix:{path}?{option}=no-such-one: there is no {option} 'no-such-one'"
    assert str(caught.value) == text
    assert not path.exists()


def test_an_owner_that_may_not_be_given_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chown(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", chown)
    path = tmp_path / "s"
    with pytest.raises(BindError, match=r"unix:.*: operation not permitted"):
        bind(Config("main:app", bind=f"unix:{path}?user=0"))  # type: ignore[arg-type]
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "passed", "text"),
    [
        ("", [], "systemd:, a socket of systemd: it has passed none to this process"),
        ("web", [("a", 0), ("b", 1)], "systemd:web, a socket of .*: it has passed only 'a', 'b'"),
    ],
)
def test_a_socket_that_systemd_has_not_passed_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str, passed: list[tuple[str, int]], text: str
) -> None:
    monkeypatch.setattr(systemd, "take_sockets", lambda: [Passed(fd, one) for one, fd in passed])
    with pytest.raises(BindError, match=f"cannot listen on {text}"):
        bind(Config("main:app", bind=f"systemd:{name}"))  # type: ignore[arg-type]


def test_sockets_of_systemd_are_chosen_by_name(
    listen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    addresses = [sock.getsockname() for sock in given]
    passed = [
        Passed(sock.detach(), name) for sock, name in zip(given, ["a", "b", "a"], strict=True)
    ]
    monkeypatch.setattr(systemd, "take_sockets", lambda: passed)
    chosen = listen(bind="systemd:a,127.0.0.1:0,systemd:b")
    order = [addresses[0], addresses[2], addresses[1]]
    assert [listener.address for listener in chosen if listener is not chosen[2]] == order
