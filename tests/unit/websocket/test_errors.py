"""What a peer does wrong carries what to answer."""

from __future__ import annotations

from asgiws.websocket.errors import HandshakeError, ProtocolError


def test_a_protocol_error_carries_the_close_code() -> None:
    error = ProtocolError(1002, "reserved bit")
    assert (error.code, error.reason) == (1002, "reserved bit")
    assert "reserved bit" in str(error)
    assert not isinstance(error, ValueError)  # those are a caller's own mistakes


def test_a_handshake_error_carries_status_and_headers() -> None:
    error = HandshakeError(426, "other version", [(b"sec-websocket-version", b"13")])
    assert (error.status, error.reason) == (426, "other version")
    assert error.headers == [(b"sec-websocket-version", b"13")]
    assert HandshakeError(400, "bad").headers == []
