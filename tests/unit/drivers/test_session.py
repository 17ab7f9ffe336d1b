"""A session as its parts see it: what is not implemented is told by name."""

from __future__ import annotations

import inspect

from asgiws.drivers.session import Session
from asgiws.drivers.websocket import WebSocketSession


def test_a_websocket_session_has_all_that_its_parts_call() -> None:
    # Compiled, it has some that Python does not see: a test of all interfaces looks at the source.
    asked = [name for name in vars(Session) if not name.startswith("_")]
    assert {"ended", "recount", "end_slow", "close"} <= set(asked)
    for name in asked:
        assert getattr(WebSocketSession, name) is not getattr(Session, name), name
        assert inspect.getdoc(getattr(Session, name))
