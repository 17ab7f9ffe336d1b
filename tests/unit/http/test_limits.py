from __future__ import annotations

import dataclasses

import pytest

from asgiws.config import Config
from asgiws.http.limits import DEFAULT_LIMITS


def test_limits_are_shared_and_so_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT_LIMITS.header_count = 1  # type: ignore[misc]


def test_defaults() -> None:
    assert dataclasses.asdict(DEFAULT_LIMITS) == {
        "request_line": 8192,
        "header_bytes": 65536,
        "header_count": 100,
        "request_body": -1,
        "leading_empty_lines": 4,
        "chunk_line": 1024,
        "drain": 65536,
    }


def test_the_options_have_the_same_defaults() -> None:
    config = Config("main:app")
    assert config.limit_request_line == DEFAULT_LIMITS.request_line
    assert config.limit_header_bytes == DEFAULT_LIMITS.header_bytes
    assert config.limit_header_count == DEFAULT_LIMITS.header_count
