from __future__ import annotations

import dataclasses

import pytest

from asgiws.http.limits import DEFAULT_LIMITS


def test_limits_are_shared_and_so_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT_LIMITS.header_count = 1  # type: ignore[misc]


def test_defaults() -> None:
    assert dataclasses.asdict(DEFAULT_LIMITS) == {
        "request_line": 8192,
        "header_bytes": 65536,
        "header_count": 100,
        "leading_empty_lines": 4,
        "chunk_line": 1024,
        "drain": 65536,
    }
