"""The seam between a connection and what speaks on it: both sides fill all of it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import asgiws
from asgiws.bridge.outlet import Driver, Outlet
from asgiws.server.wiring import ServedConnection
from tests.support.memory_outlet import MemoryOutlet

#: What has an answer in the interface that fits nearly all.
OPTIONAL = {"conversations"}


def methods(interface: type) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(interface).items()
        if not name.startswith("_") and callable(value) and name not in OPTIONAL
    }


def implementations(interface: type) -> Iterator[type]:
    """All classes of the package, and of these tests, that implement it and that no other of them builds on."""
    for module in pkgutil.walk_packages(asgiws.__path__, "asgiws."):
        if not module.name.endswith(("__main__", "_build", "workers")):
            importlib.import_module(module.name)
    yield from leaves(interface)


def leaves(above: type) -> Iterator[type]:
    for found in above.__subclasses__():
        if found.__module__.startswith("asgiws.") or found is MemoryOutlet:
            below = list(leaves(found))
            yield from below or [found]


def missing(interface: type, implementation: type) -> set[str]:
    """Methods that neither it has itself nor what it builds on."""
    own = implementation.__mro__[: implementation.__mro__.index(interface)]
    return methods(interface).keys() - {name for one in own for name in vars(one)}


@pytest.mark.parametrize(
    ("interface", "names"),
    [
        (Driver, {"HTTPDriver", "ProxyProtocolDriver", "WebSocketSession"}),
        (Outlet, {"ServedConnection", "CountedConnection", "MemoryOutlet"}),
    ],
)
def test_each_implementation_has_every_method(interface: type, names: set[str]) -> None:
    """`Driver.writable` alone has a body of its own; to have it all the same says that it was thought of."""
    found = {one.__qualname__: missing(interface, one) for one in implementations(interface)}
    assert found == {name: set() for name in names}


def test_one_that_lacks_a_method_would_be_found() -> None:
    class Part(Driver):
        def lasts(self) -> bool:
            return False

    class Whole(Part):
        def check(self, now: float) -> float:
            return 0.0

    assert methods(Driver).keys() - missing(Driver, Whole) == {"lasts", "check"}


def test_both_sides_have_methods() -> None:
    assert {"receive_data", "connection_lost", "check"} <= methods(Driver).keys()
    assert {"write", "drain", "close", "hand_over"} <= methods(Outlet).keys()


async def call(function: Any, *arguments: object) -> None:
    result = function(*arguments)
    if inspect.isawaitable(result):
        await result


@pytest.mark.parametrize("name", sorted(methods(Outlet)))
async def test_what_an_outlet_forgets_is_noticed(name: str) -> None:
    arguments: dict[str, tuple[object, ...]] = {
        "write": (b"",),
        "writelines": ([],),
        "check_at": (1.0,),
        "watch_sending": (1.0,),
        "hand_over": (Driver(), b""),
        "proceed_soon": (Driver(),),
        "send_file": (None, 1),
        "introduce": (("a", 1), ("b", 2)),
        "await_rest": (1,),
    }
    with pytest.raises(NotImplementedError):
        await call(getattr(Outlet(), name), *arguments.get(name, ()))


@pytest.mark.parametrize("name", sorted(methods(Driver)))
async def test_what_a_driver_forgets_is_noticed(name: str) -> None:
    arguments: dict[str, tuple[object, ...]] = {
        "connected": (Outlet(),),
        "receive_data": (bytearray(), 0, 0),
        "check": (1.0,),
    }
    if name == "writable":
        # Who never waits for that need not listen to it.
        Driver().writable()
        return
    with pytest.raises(NotImplementedError):
        await call(getattr(Driver(), name), *arguments.get(name, ()))


def test_a_connection_is_an_outlet() -> None:
    assert issubclass(ServedConnection, Outlet)
