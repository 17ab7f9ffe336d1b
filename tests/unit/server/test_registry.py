"""The set that tells when it has become empty."""

from __future__ import annotations

from typing import Any

from asgiws.server.registry import Registry


def test_it_tells_when_the_last_one_has_gone() -> None:
    told: list[Any] = []
    registry = Registry(lambda: told.append(True))
    registry.add("a")
    registry.add("b")
    registry.discard("a")
    assert told == []
    registry.discard("b")
    assert told == [True]
    registry.add("a")
    registry.add("b")
    registry.remove("a")
    assert told == [True]
    registry.remove("b")
    assert told == [True, True]


def test_it_tells_of_each_that_is_added_while_somebody_listens() -> None:
    added: list[Any] = []
    registry = Registry(lambda: None)
    registry.add("a")
    registry.added = added.append
    registry.add("b")
    registry.add("a")
    registry.added = None
    registry.add("c")
    assert added == ["b", "a"]
    assert registry == {"a", "b", "c"}
