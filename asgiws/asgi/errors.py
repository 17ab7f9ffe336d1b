"""The exceptions that `receive()` and `send()` raise into an application, and those that it raises.

Rules of this file: there are exactly two kinds. ClientDisconnected is caused by the peer; it is an `OSError`,
as the ASGI specification requires of `send()` after the peer has gone. ApplicationError is the application's
own mistake, and names the state and what was expected. In addition, this file says how drivers classify an
application's exceptions.
"""

from __future__ import annotations


class ClientDisconnected(OSError):
    """The peer has gone: what was sent can no longer reach it (ASGI 2.4, "Disconnected Client")."""


class ApplicationError(RuntimeError):
    """The application sent a malformed message, or one that the specification does not allow at this point."""


class ProcessEnds(SystemExit):
    """The server itself ends the process, whatever is running; no driver delays it."""


def comes_from_disconnect(error: BaseException | None) -> bool:
    """True if the application raised ClientDisconnected from `send()`, or another exception because of it:
    frameworks turn it into their own exceptions, and task groups put it into a group. A group that contains
    anything else is an error of its own."""
    return _comes_from_disconnect(error, frozenset())


def _comes_from_disconnect(error: BaseException | None, above: frozenset[int]) -> bool:
    """The same, within the exceptions of those ids: an exception raised while a group was handled may have that
    group as its context, and be one of its members."""
    while error is not None:
        if isinstance(error, ClientDisconnected):
            return True
        if id(error) in above:
            return False
        above |= {id(error)}
        members = _members(error)
        if members:
            # The group's own context does not count: it is one of the members, or irrelevant.
            return all(_comes_from_disconnect(member, above) for member in members)
        error = error.__cause__ or error.__context__
    return False


def _members(error: BaseException) -> list[BaseException]:
    """The members of an exception group; empty for any other exception. Python 3.10 has no type for groups, and
    the libraries that create them there have several."""
    members = getattr(error, "exceptions", None)
    if not isinstance(members, (tuple, list)):
        return []
    return [member for member in members if isinstance(member, BaseException)]
