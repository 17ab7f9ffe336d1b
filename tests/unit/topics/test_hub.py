"""The interface of hubs is filled by the hub of one process."""

from __future__ import annotations

from asgiws.topics.hub import JOIN, HostHub, Hub, HubUnreachable, TooMuchQueued
from asgiws.topics.local import LocalHub
from asgiws.topics.relayed import RelayedHub
from tests.support.topics import Turns


def test_a_local_hub_is_a_hub() -> None:
    hub: Hub = LocalHub(Turns().call_soon, 0)
    assert hub.is_up
    hub.close()
    hub.close()


def test_two_hubs_can_serve_others() -> None:
    hubs: list[HostHub] = [
        LocalHub(Turns().call_soon, 0),
        RelayedHub(Turns().call_soon, 1000, 1000),
    ]
    assert [hub.is_up for hub in hubs] == [True, False]


def test_too_much_is_an_error_of_its_own() -> None:
    assert issubclass(TooMuchQueued, RuntimeError)


def test_a_subscription_that_takes_too_long_is_an_error_of_its_own() -> None:
    error = HubUnreachable("a" * 1000)
    assert isinstance(error, RuntimeError)
    assert not isinstance(error, TooMuchQueued)
    assert f"within {JOIN:g} s" in str(error)
    assert len(str(error)) < 300
