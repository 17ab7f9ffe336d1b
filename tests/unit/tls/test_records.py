"""asgiws/tls/records.py: octets of the socket in, octets of the application out."""

from __future__ import annotations

import ssl
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from asgiws.tls.context import make_context
from asgiws.tls.records import Records
from tests.support.pki import Authority


class Client:
    """The other end, by Python's own SSLObject."""

    def __init__(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        self.up, self.down = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(
            self.down, self.up, server_hostname="localhost", session=session
        )

    def shake(self, records: Records) -> None:
        is_done = False
        for _ in range(10):
            try:
                self.ssl.do_handshake()
            except ssl.SSLWantReadError:
                pass
            if not is_done:
                records.feed(memoryview(self.up.read()))
                is_done = records.shake()
            self.down.write(records.to_send())
        assert is_done


class Public:
    """An SSLObject of which nothing private is there, as another Python may have it."""

    def __init__(self, connection: ssl.SSLObject) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._connection, name)


class PublicContext:
    """A context whose connections are Public."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def wrap_bio(self, *arguments: Any, **options: Any) -> Public:
        return Public(self._context.wrap_bio(*arguments, **options))


@pytest.fixture(params=["TLSv1.2", "TLSv1.3", "TLSv1.3, public"])
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Records, Client]:
    authority = Authority(tmp_path)
    context = make_context(authority.config(ssl_minimum_version="TLSv1.2"))
    assert context is not None
    trust = authority.client()
    version, _, public = request.param.partition(", ")
    trust.maximum_version = {"TLSv1.2": ssl.TLSVersion.TLSv1_2}.get(version, ssl.TLSVersion.TLSv1_3)
    served: Any = PublicContext(context) if public else context
    records, client = Records(served), Client(trust)
    client.shake(records)
    assert records.connection.version() == version
    return records, client


def read(records: Records, room: memoryview) -> bytes:
    count = records.read(room)
    return bytes(room[:count])


def test_there_and_back(ends: tuple[Records, Client]) -> None:
    records, client = ends
    room = memoryview(bytearray(100_000))
    client.ssl.write(b"hello")
    records.feed(memoryview(client.up.read()))
    assert read(records, room) == b"hello"
    assert read(records, room) == b""
    assert not records.ended
    records.write(b"and ")
    records.write(memoryview(b"goodbye"))
    assert records.made() > 11
    client.down.write(records.to_send())
    assert records.made() == 0
    assert client.ssl.read(100) + client.ssl.read(100) == b"and goodbye"


def test_several_records_fill_the_room_and_the_rest_stays(ends: tuple[Records, Client]) -> None:
    records, client = ends
    payload = bytes(range(256)) * 200
    for start in range(0, len(payload), 1000):
        client.ssl.write(payload[start : start + 1000])
    records.feed(memoryview(client.up.read()))
    room = memoryview(bytearray(30_500))
    assert read(records, room) == payload[:30_500]
    assert records.holds_some()
    assert read(records, room) == payload[30_500:]
    assert not records.holds_some()


@pytest.mark.parametrize("size", [1000, 16384, 60_000])
def test_many_records_at_once(ends: tuple[Records, Client], size: int) -> None:
    records, client = ends
    payload = bytes(range(256)) * 240
    for start in range(0, len(payload), size):
        client.ssl.write(payload[start : start + size])
    data = memoryview(client.up.read())
    room = memoryview(bytearray(100_000))
    # All but the last octets: the record that these end is not there yet.
    count = records.take(data[:-3], room)
    assert count < len(payload)
    count += records.take(data[-3:], room[count:])
    assert room[:count] == payload
    assert not records.holds_some()


def test_more_than_the_room_waits(ends: tuple[Records, Client]) -> None:
    records, client = ends
    payload = bytes(range(256)) * 240
    client.ssl.write(payload)
    room = memoryview(bytearray(20_000))
    count = records.take(memoryview(client.up.read()), room)
    got = bytes(room[:count])
    while records.holds_some():
        got += read(records, room)
    assert got == payload


def test_an_end_and_a_fault_come_behind_what_was_sent_before(
    ends: tuple[Records, Client],
) -> None:
    records, client = ends
    client.ssl.write(b"x" * 40_000)
    sound = client.up.read()
    client.ssl.write(b"y" * 40_000)
    spoilt = bytearray(client.up.read())
    spoilt[-1] ^= 1
    room = memoryview(bytearray(100_000))
    count = records.take(memoryview(sound + spoilt), room)
    assert room[:40_000] == b"x" * 40_000
    assert 40_000 <= count < 80_000
    assert records.holds_some()
    with pytest.raises(ssl.SSLError):
        records.take(memoryview(b""), room)


def test_a_record_in_pieces(ends: tuple[Records, Client]) -> None:
    records, client = ends
    client.ssl.write(b"x" * 5000)
    data = client.up.read()
    room = memoryview(bytearray(10_000))
    for octet in data[:-1]:
        records.feed(memoryview(bytes((octet,))))
        assert read(records, room) == b""
    records.feed(memoryview(data[-1:]))
    assert read(records, room) == b"x" * 5000


def test_the_peers_close_comes_behind_what_it_sent(ends: tuple[Records, Client]) -> None:
    records, client = ends
    client.ssl.write(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        client.ssl.unwrap()
    records.feed(memoryview(client.up.read()))
    room = memoryview(bytearray(100))
    assert read(records, room) == b"last words"
    assert read(records, room) == b""
    assert records.ended
    assert records.take(memoryview(b"behind it"), room) == 0
    # Our side is open all the same.
    records.write(b"the answer")
    records.close()
    client.down.write(records.to_send())
    assert client.ssl.read(100) == b"the answer"


def test_our_close_is_said_once_and_waits_for_nothing(ends: tuple[Records, Client]) -> None:
    records, client = ends
    records.write(b"bye")
    records.close()
    client.down.write(records.to_send())
    assert client.ssl.read(100) == b"bye"
    assert client.ssl.read(100) == b""  # close_notify


def test_what_came_before_a_fault_is_given_out_first(ends: tuple[Records, Client]) -> None:
    records, client = ends
    client.ssl.write(b"fine")
    records.feed(memoryview(client.up.read()))
    client.ssl.write(b"spoilt")
    spoilt = bytearray(client.up.read())
    spoilt[-1] ^= 1
    records.feed(memoryview(spoilt))
    room = memoryview(bytearray(100))
    assert read(records, room) == b"fine"
    for _ in range(2):
        with pytest.raises(ssl.SSLError):
            records.read(room)
    assert records.made()  # an alert


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_session_does_not_outlive_the_certificate_of_its_client(
    version: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    context = make_context(authority.config(ssl_ca_certs=authority.roots, ssl_cert_reqs="required"))
    assert context is not None
    end = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=3)
    trust = authority.client(authority.issue(not_after=end))
    trust.maximum_version = ssl.TLSVersion[version]
    session = None
    for _ in range(2):
        records, client = Records(context), Client(trust, session)
        client.shake(records)
        records.write(b"x")
        client.down.write(records.to_send())
        assert client.ssl.read(1) == b"x"
        assert client.ssl.session_reused == (session is not None)
        session = client.ssl.session
    while datetime.now(timezone.utc) <= end:
        time.sleep(0.1)  # until the certificate has expired
    records, client = Records(context), Client(trust, session)
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        client.shake(records)
    assert caught.value.verify_message == "certificate has expired"


def test_what_is_no_tls_is_refused(tmp_path: Path) -> None:
    context = make_context(Authority(tmp_path).config())
    assert context is not None
    records = Records(context)
    records.feed(memoryview(b"GET / HTTP/1.1\r\n\r\n"))
    with pytest.raises(ssl.SSLError, match="http request"):
        records.shake()
