"""Public names that are loaded on access."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from asgiws._names import on_access


def test_a_name_is_loaded_when_it_is_accessed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("shop")
    monkeypatch.setitem(sys.modules, "shop", module)
    load, names = on_access("shop", {"Fraction": "fractions", "gone": "fractions"}, ["Fraction"])
    module.__getattr__ = load  # type: ignore[method-assign]  # as a module defines it
    assert "Fraction" not in vars(module)
    assert "Fraction" in names()
    assert module.Fraction(1, 2) == 0.5
    assert "Fraction" in vars(module)
    with pytest.raises(AttributeError, match="module 'shop' has no attribute 'other'"):
        module.other  # noqa: B018
    with pytest.raises(AttributeError, match="fractions"):
        module.gone  # noqa: B018
