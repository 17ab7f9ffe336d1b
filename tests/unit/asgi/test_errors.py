"""What `receive()` and `send()` raise, and what is known by it later."""

from __future__ import annotations

import sys
from typing import Any

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


class Group(Exception):
    """As the backport for Python 3.10 has it."""

    def __init__(self, message: str, exceptions: Any) -> None:
        super().__init__(message)
        self.exceptions = exceptions


GROUPS: list[Any] = [Group]
if sys.version_info >= (3, 11):
    GROUPS.append(ExceptionGroup)  # noqa: F821  # of 3.11


@pytest.mark.parametrize("group", GROUPS)
def test_a_departure_is_known_in_a_group(group: Any) -> None:
    gone = ClientDisconnected("gone")
    assert comes_from_disconnect(group("one", [gone]))
    assert comes_from_disconnect(group("some", [gone, wrapped(gone, False)]))
    assert comes_from_disconnect(group("nested", [group("one", [gone]), gone]))
    assert comes_from_disconnect(wrapped(group("one", [gone]), True))


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_with_anything_else_is_an_error(group: Any) -> None:
    gone = ClientDisconnected("gone")
    assert not comes_from_disconnect(group("both", [gone, ValueError("mine")]))
    assert not comes_from_disconnect(group("nested", [gone, group("one", [KeyError("mine")])]))
    assert not comes_from_disconnect(group("one", [ValueError("mine")]))
    both = group("both", [gone, ValueError("mine")])
    both.__context__ = gone
    assert not comes_from_disconnect(both)


def test_what_is_no_group_may_have_such_an_attribute() -> None:
    error = ValueError("mine")
    error.exceptions = 5  # type: ignore[attr-defined]
    assert not comes_from_disconnect(error)
    error.exceptions = ["none", 1]  # type: ignore[attr-defined]
    assert not comes_from_disconnect(error)


def test_a_group_whose_member_was_raised_while_it_was_handled() -> None:
    """anyio and asyncio make such circles: the member has the group for its context."""
    for member, expected in ((ValueError(), False), (ClientDisconnected(), True)):
        group = Group("", [member])
        member.__context__ = group
        assert comes_from_disconnect(group) is expected
    circle, other = ValueError(), KeyError()
    circle.__context__, other.__context__ = other, circle
    assert not comes_from_disconnect(circle)


def test_members_may_have_the_same_cause() -> None:
    cause = ClientDisconnected()
    first, second = RuntimeError(), RuntimeError()
    first.__cause__ = second.__cause__ = cause
    assert comes_from_disconnect(Group("", [first, second]))
