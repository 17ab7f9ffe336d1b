"""Envelopes: what goes in comes out, and what is not ours is seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiws.topics import broker
from asgiws.topics.broker import GAP, HOST, MESSAGE, OVERHEAD, BadEnvelope, Envelope
from tests.support.properties import quick

HERE = b"a" * HOST


@quick
@given(
    st.sampled_from([MESSAGE, GAP]),
    st.binary(min_size=HOST, max_size=HOST),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=100),
)
def test_an_envelope_arrives_as_it_was_made(
    kind: int, host: bytes, number: int, content: bytes
) -> None:
    octets = broker.wrap(kind, host, number, content)
    assert len(octets) == OVERHEAD + len(content)
    assert broker.unwrap(octets) == Envelope(kind, host, number, content)


def test_its_layout_is_that_of_every_host() -> None:
    octets = broker.wrap(MESSAGE, b"hosthost", 258, b"content")
    assert octets == b"\x01hosthost\x02\x01\0\0\0\0\0\0content"


@pytest.mark.parametrize("length", range(OVERHEAD))
def test_what_is_too_short_is_not_ours(length: int) -> None:
    with pytest.raises(BadEnvelope, match="too short"):
        broker.unwrap(broker.wrap(MESSAGE, HERE, 1, b"")[:length])


@pytest.mark.parametrize("kind", [0, 3, 255])
def test_an_unknown_kind_is_not_ours(kind: int) -> None:
    with pytest.raises(BadEnvelope, match=f"the unknown kind {kind}"):
        broker.unwrap(bytes((kind,)) + broker.wrap(MESSAGE, HERE, 1, b"")[1:])


@quick
@given(st.binary(max_size=60))
def test_arbitrary_octets_raise_nothing_else(octets: bytes) -> None:
    try:
        envelope = broker.unwrap(octets)
    except BadEnvelope:
        return
    assert broker.wrap(*envelope) == octets
