"""Whether another server has several workers (asgiws/elsewhere/workers.py)."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from asgiws.elsewhere.workers import SeveralWorkers, check_alone


@pytest.fixture(autouse=True)
def no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.setattr(sys, "argv", ["pytest"])


@pytest.mark.parametrize(
    "argv",
    [
        ["uvicorn", "app:app", "--workers", "4"],
        ["/usr/bin/uvicorn", "--workers=4", "app:app"],
        ["/x/uvicorn/__main__.py", "app:app", "--workers", "4"],
        ["gunicorn", "-w", "4", "app:app"],
        ["gunicorn", "-w4", "app:app"],
        ["hypercorn", "--workers", "4", "app:app"],
        ["fastapi", "run", "--workers", "4"],
    ],
)
def test_a_command_line_with_several_is_refused(
    argv: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SeveralWorkers, match=r"this reaches .* this server has 4 workers"):
        check_alone("this")


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["uvicorn", "app:app"],
        ["uvicorn", "app:app", "--workers", "1"],
        ["uvicorn", "app:app", "--workers"],
        ["uvicorn", "app:app", "--workers", "many"],
        ["manage.py", "something", "--workers", "4"],
    ],
)
def test_others_are_not(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    check_alone("this")


def test_the_environment_counts_unless_the_command_line_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    check_alone("this")  # no server
    monkeypatch.setattr(sys, "argv", ["gunicorn", "app:app"])
    with pytest.raises(SeveralWorkers, match="2 workers"):
        check_alone("this")
    monkeypatch.setattr(sys, "argv", ["gunicorn", "app:app", "-w", "1"])
    check_alone("this")


@pytest.mark.parametrize(
    ("module", "code", "holder"),
    [
        ("uvicorn.lifespan.on", "def call(self, check): check('this')", {"config": {"workers": 3}}),
        ("uvicorn.config", "def call(self, check): check('this')", {"workers": 3}),
        ("gunicorn.workers.base", "def call(self, check): check('this')", {"cfg": {"workers": 3}}),
        ("hypercorn.run", "def call(config, check): check('this')", {"workers": 3}),
    ],
)
def test_a_server_on_the_stack_is_asked(module: str, code: str, holder: dict[str, Any]) -> None:
    def space(values: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(
            **{key: space(one) if isinstance(one, dict) else one for key, one in values.items()}
        )

    names: dict[str, Any] = {"__name__": module}
    exec(code, names)
    with pytest.raises(SeveralWorkers, match="3 workers"):
        names["call"](space(holder), check_alone)
    names["__name__"] = "mine"
    names["call"](space(holder), check_alone)
