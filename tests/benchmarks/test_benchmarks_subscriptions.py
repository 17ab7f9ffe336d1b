"""The memory of idle subscriptions: it is measured, and is not more than the documentation says."""

from __future__ import annotations

import sys

import pytest

from benchmarks import subscriptions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the memory is read from /proc")


@pytest.mark.parametrize(("kind", "most"), [("several-each", 260), ("one-each", 360)])
def test_a_subscription_is_small(kind: str, most: int) -> None:
    """Half as much again as the build without a compiler needs: allocators differ."""
    assert 50 < subscriptions.measured(kind) < most
