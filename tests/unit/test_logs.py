"""The log: whose loggers are touched, and what a line looks like."""

from __future__ import annotations

import io
import logging
import logging.config
import re
from collections.abc import Iterator
from typing import Any

import pytest

from asgiws import logs
from asgiws.config import Config


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """The loggers as they were, afterwards."""
    every = [logging.getLogger(name) for name in (*logs.NAMES, None)]
    kept = [(item.handlers[:], item.level, item.propagate, item.disabled) for item in every]
    yield
    for item, (handlers, level, propagate, disabled) in zip(every, kept, strict=True):
        item.handlers[:] = handlers
        item.setLevel(level)
        item.propagate = propagate
        item.disabled = disabled


def configure(**options: Any) -> None:
    logs.configure(Config("main:app", **options))


error = logging.getLogger("asgiws.error")
access = logging.getLogger("asgiws.access")


def test_a_line_has_time_level_and_text_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    error.warning("%d things", 3)
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d WARNING  3 things\n", err)


def test_a_traceback_follows_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    try:
        raise ValueError("oops")
    except ValueError:
        error.exception("It failed")
    text = capsys.readouterr().err
    assert "ERROR    It failed\nTraceback (most recent call last):\n" in text
    assert text.endswith("ValueError: oops\n")


@pytest.mark.parametrize("level", list(logs.LEVELS))
def test_levels(capsys: pytest.CaptureFixture[str], level: str) -> None:
    configure(log_level=level)
    for name, number in logs.LEVELS.items():
        error.log(number, "at %s", name)
    shown = re.findall(r"at (\w+)", capsys.readouterr().err)
    names = list(logs.LEVELS)
    assert shown == names[: names.index(level) + 1]


def test_trace_has_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    configure(log_level="trace")
    error.log(logs.TRACE, "deep")
    assert " TRACE    deep" in capsys.readouterr().err


def test_the_root_logger_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    root.addHandler(handler)
    before = (root.handlers[:], root.level)
    configure()
    configure()
    assert (root.handlers, root.level) == before
    error.error("once")
    assert capsys.readouterr().err.count("once") == 1
    assert "once" not in stream.getvalue()


@pytest.mark.parametrize("name", logs.NAMES)
def test_handlers_of_others_are_kept_and_not_doubled(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger(name).addHandler(handler)
    configure()
    logging.getLogger(name).error("theirs")
    assert stream.getvalue() == "theirs\n"
    assert "theirs" not in capsys.readouterr().err


def test_an_application_that_disables_loggers_does_not_silence_the_server(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):  # all that the next line disables
            monkeypatch.setattr(logger, "disabled", False)
    logging.config.dictConfig({"version": 1})
    assert error.disabled
    configure()
    error.error("heard")
    assert "heard" in capsys.readouterr().err


def test_configured_twice_the_last_counts(capsys: pytest.CaptureFixture[str]) -> None:
    configure(log_level="debug")
    configure(log_level="error")
    error.warning("no")
    error.error("yes")
    text = capsys.readouterr().err
    assert "no" not in text
    assert text.count("yes") == 1


def test_a_peer_cannot_break_a_line_of_the_access_log(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    access.info('"GET %s"', "/a\r\nERROR forged\x1b[31m\x9b\u2028")
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert r"/a\x0d\x0aERROR forged\x1b[31m\x9b\x2028" in text


def test_colours_are_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    configure(use_colors=True)
    error.error("red")
    assert "\x1b[31mERROR   \x1b[0m red" in capsys.readouterr().err
    error.log(33, "unknown level")
    assert " Level 33 unknown level" in capsys.readouterr().err
    configure(use_colors=False)
    error.error("plain")
    assert "\x1b" not in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("choice", "environ", "stream", "result"),
    [
        (None, {}, Terminal(), True),
        (None, {}, io.StringIO(), False),
        (None, {"NO_COLOR": "1"}, Terminal(), False),
        (None, {"NO_COLOR": ""}, Terminal(), True),
        (True, {"NO_COLOR": "1"}, io.StringIO(), True),
        (False, {}, Terminal(), False),
    ],
)
def test_when_colours_are_wanted(
    choice: bool | None, environ: dict[str, str], stream: io.StringIO, result: bool
) -> None:
    assert logs.wants_colors(choice, environ, stream) is result


def test_each_process_is_told_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Config("main:app"), "worker 3")
    logging.getLogger("asgiws.error").info("ready")
    logging.getLogger("asgiws.access").info("served")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(" INFO     worker 3: ready")
    assert second.endswith(" INFO     served")
