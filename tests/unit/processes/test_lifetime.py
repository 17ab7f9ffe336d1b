"""When a worker has served for long enough."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from asgiws.config import Config
from asgiws.processes import lifetime as module
from asgiws.processes.lifetime import JITTER, Lifetime, resident


def test_the_age_has_a_tenth_of_jitter() -> None:
    now = 0.0

    def age(seconds: float) -> str | None:
        nonlocal now
        now = 0.0
        life = Lifetime(config, lambda: now)
        now = seconds
        return life.why_over()

    config = Config("a:b", workers=1, max_worker_age=100.0)
    assert JITTER == 0.1
    assert all(age(89.9) is None for _ in range(200))
    assert all(age(110.1) == "it is 110 s old" for _ in range(200))
    assert len({age(100.0) for _ in range(200)}) == 2


def test_the_memory() -> None:
    config = Config("a:b", workers=1, max_worker_rss="64MiB")  # type: ignore[arg-type]
    assert Lifetime(config, resident=lambda: 64 << 20).why_over() is None
    why = Lifetime(config, resident=lambda: 65 << 20).why_over()
    assert why == "it holds 65 MiB of memory"


def test_without_limits_it_never_ends() -> None:
    life = Lifetime(Config("a:b"), iter((0.0, 1e12)).__next__, lambda: 1 << 60)
    assert life.why_over() is None


def test_what_is_resident_grows_with_what_is_held() -> None:
    before = resident()
    assert 1 << 20 < before < 1 << 40
    block = bytearray(b"x" * (64 << 20))
    assert resident() >= before + (32 << 20)
    del block


@pytest.mark.parametrize("content", [None, b"", b"1 two"])
def test_where_the_system_does_not_tell_the_peak_is_taken(
    monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    def opened(*_: Any) -> Any:
        if content is None:
            raise FileNotFoundError
        return io.BytesIO(content)

    monkeypatch.setattr(module, "open", opened, raising=False)
    assert resident() > 1 << 20


def test_windows_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert resident() == 0
