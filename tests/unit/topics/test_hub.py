"""The interface of hubs is filled by the hub of one process."""

from __future__ import annotations

from asgiws.topics.hub import Hub, TooMuchQueued
from asgiws.topics.local import LocalHub
from tests.support.topics import Turns


def test_a_local_hub_is_a_hub() -> None:
    hub: Hub = LocalHub(Turns().call_soon, 0)
    hub.close()
    hub.close()


def test_too_much_is_an_error_of_its_own() -> None:
    assert issubclass(TooMuchQueued, RuntimeError)
