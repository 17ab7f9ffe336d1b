"""What all scopes share cannot be changed by one of them."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import pytest

from asgiws.asgi.extension import Extension

CHANGES: list[Callable[[dict[str, Any]], object]] = [
    lambda content: content.__setitem__("a", 2),
    lambda content: content.__delitem__("a"),
    lambda content: operator.ior(content, {"a": 2}),
    lambda content: content.clear(),
    lambda content: content.pop("a"),
    lambda content: content.popitem(),
    lambda content: content.setdefault("b", 2),
    lambda content: content.update(a=2),
]


@pytest.mark.parametrize("change", CHANGES)
def test_it_cannot_be_changed(change: Callable[[dict[str, Any]], object]) -> None:
    content = Extension(a=1)
    with pytest.raises(TypeError, match="cannot be changed"):
        change(content)
    assert content == {"a": 1}


def test_copies_can_be_changed() -> None:
    content = Extension(a=[1])
    for one in (dict(content), content.copy(), {**content}, content | {}):
        one["b"] = 2
        assert one == {"a": [1], "b": 2}
    assert content == {"a": [1]}


def test_a_deep_copy_of_a_scope_has_the_same() -> None:
    scope = {"extensions": {"x": Extension(a=object())}}
    other = copy.deepcopy(scope)
    assert other["extensions"] is not scope["extensions"]
    assert other["extensions"]["x"] is scope["extensions"]["x"]
