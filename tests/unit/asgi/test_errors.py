"""What `receive()` and `send()` raise, and what is known by it later."""

from __future__ import annotations

import pytest

from asgiws.asgi.errors import ApplicationError, ClientDisconnected, comes_from_disconnect


def test_the_peers_departure_is_an_oserror_and_a_mistake_is_not() -> None:
    assert issubclass(ClientDisconnected, OSError)
    assert not issubclass(ApplicationError, OSError)


def wrapped(cause: BaseException, explicit: bool) -> BaseException:
    """An exception as a framework raises it in place of another."""
    try:
        try:
            raise cause
        except BaseException as error:
            if explicit:
                raise ValueError("a framework's own") from error
            raise ValueError("a framework's own")  # noqa: B904
    except ValueError as error:
        return error


@pytest.mark.parametrize("explicit", [True, False])
def test_a_departure_is_known_behind_a_frameworks_exception(explicit: bool) -> None:
    assert comes_from_disconnect(wrapped(ClientDisconnected("gone"), explicit))
    assert not comes_from_disconnect(wrapped(OSError("disk full"), explicit))
    assert not comes_from_disconnect(None)
