"""asgiws/drivers/carrier.py: what a carrier has to have, and that HTTP/1.1's has all of it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from asgiws.bridge.exchange import Exchange
from asgiws.drivers.carrier import Carrier
from asgiws.drivers.http_carrier import HTTPCarrier
from asgiws.http.errors import BadRequest

#: Each method, and something to call it with.
METHODS: dict[str, tuple[Any, ...]] = {
    "ask_for_body": (),
    "body_taken": (True,),
    "cancel": (),
    "client": (),
    "done": (),
    "done_early": (),
    "drain": (),
    "end_file": (1, False),
    "expects_trailers": (),
    "fail": (),
    "has_started": (),
    "inform": (103, []),
    "is_closing": (),
    "is_full": (),
    "left": (Exchange(),),
    "reject": (BadRequest("no"),),
    "respond": (200, [], b""),
    "scope": (),
    "send": (b"", False),
    "send_file": (None, 1),
    "send_trailers": ([],),
    "sends_body": (),
    "sends_files": (),
    "start": (200, [], False),
    "start_file": (1, False),
}


def test_these_are_all() -> None:
    found = {name for name, _ in inspect.getmembers(Carrier, callable) if not name.startswith("_")}
    assert found == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
async def test_it_has_no_behaviour(name: str) -> None:
    class Partial(Carrier):
        """One that lacks all of it."""

    method = getattr(Partial(), name)
    if name in ("drain", "send_file"):
        with pytest.raises(NotImplementedError):
            await method(*METHODS[name])
    else:
        with pytest.raises(NotImplementedError):
            method(*METHODS[name])


@pytest.mark.parametrize("name", METHODS)
def test_http_1_1_has_all_of_it(name: str) -> None:
    assert name in vars(HTTPCarrier)
