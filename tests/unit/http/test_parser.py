from __future__ import annotations

import pytest

from asgiws.http.parser import HeadParser


def test_the_interface_parses_nothing() -> None:
    with pytest.raises(NotImplementedError):
        HeadParser().parse(b"")
