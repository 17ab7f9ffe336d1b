"""The groups of options."""

from __future__ import annotations

from asgiws.config import OPTIONS
from asgiws.config.groups import GROUPS


def test_each_group_has_options_and_each_option_a_group() -> None:
    assert {option.group for option in OPTIONS} == set(GROUPS)
    assert len(set(GROUPS)) == len(GROUPS)
