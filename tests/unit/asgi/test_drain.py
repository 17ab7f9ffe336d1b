"""asgiws/asgi/drain.py: what an application sees of the drain."""

from __future__ import annotations

import asyncio

from asgiws.asgi import drain


def test_each_scope_has_the_same_event_in_a_dict_of_its_own() -> None:
    event = asyncio.Event()
    first, second = drain.extension(event), drain.extension(event)
    assert first == second == {"version": "1.0", "event": event}
    assert first is not second
    assert drain.NAME == "asgiws.drain"
