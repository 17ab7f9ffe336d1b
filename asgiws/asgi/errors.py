"""What `receive()` and `send()` raise into an application, and what comes out of one.

Rules of this file: two kinds and no more. ClientDisconnected is the peer's doing, an `OSError` as the ASGI
specification asks of `send()` after the peer has gone; ApplicationError is the application's own mistake
and names the state and what was expected. Beside them stands what the drivers make of an application's
exceptions.
"""

from __future__ import annotations


class ClientDisconnected(OSError):
    """The peer has gone: what was sent can no longer reach it (ASGI 2.4, "Disconnected Client")."""


class ApplicationError(RuntimeError):
    """The application sent a message that the specification does not allow now, or one that is malformed."""


class ProcessEnds(SystemExit):
    """The server itself ends the process, from within whatever runs; no driver holds it up."""


def comes_from_disconnect(error: BaseException | None) -> bool:
    """True when the application raised, or raised because of, what `send()` told it: frameworks turn
    ClientDisconnected into exceptions of their own, and task groups put it into a group. A group that holds
    anything else beside it is an error of its own."""
    return _comes_from_disconnect(error, frozenset())


def _comes_from_disconnect(error: BaseException | None, above: frozenset[int]) -> bool:
    """The same, within the exceptions of those ids: what was raised while a group was handled may have that
    group for its context, and be one of its members."""
    while error is not None:
        if isinstance(error, ClientDisconnected):
            return True
        if id(error) in above:
            return False
        above |= {id(error)}
        members = _members(error)
        if members:
            # Not by what the group was raised in: that is one of its members, or beside the point.
            return all(_comes_from_disconnect(member, above) for member in members)
        error = error.__cause__ or error.__context__
    return False


def _members(error: BaseException) -> list[BaseException]:
    """What a group of exceptions holds, none for any other. Python 3.10 has no type for them, and the
    libraries that make groups there have several."""
    members = getattr(error, "exceptions", None)
    if not isinstance(members, (tuple, list)):
        return []
    return [member for member in members if isinstance(member, BaseException)]
