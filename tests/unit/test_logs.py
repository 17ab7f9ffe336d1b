"""The log: whose loggers are touched, and what a line looks like."""

from __future__ import annotations

import io
import logging
import logging.config
import re
import sys
from collections.abc import Iterator
from pathlib import Path
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


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test's set-up of the log disables is enabled afterwards."""
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            monkeypatch.setattr(logger, "disabled", False)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("way", ["dict", "file"])
def test_an_application_that_sets_up_its_log_does_not_silence_the_server(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, others: None, when: str, way: str
) -> None:
    bystander = logging.getLogger("tests.bystander")
    if when == "after":
        configure()
    if way == "dict":
        logging.config.dictConfig({"version": 1, "root": {"level": "WARNING"}})
    else:
        (tmp_path / "ini").write_text(
            "[loggers]\nkeys=root\n[handlers]\nkeys=\n[formatters]\nkeys=\n"
            "[logger_root]\nhandlers=\nlevel=WARNING\n"
        )
        logging.config.fileConfig(tmp_path / "ini")
    if when == "before":
        configure()
    assert bystander.disabled
    error.error("heard")
    access.info("served")
    text = capsys.readouterr().err
    assert (text.count("heard"), text.count("served")) == (1, 1)


def test_an_application_that_means_our_loggers_has_its_way(
    capsys: pytest.CaptureFixture[str], others: None
) -> None:
    configure()
    config: dict[str, Any] = {
        "version": 1,
        "handlers": {"theirs": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}},
        "loggers": {
            "asgiws.error": {"handlers": ["theirs"], "propagate": False},
            "asgiws.access": {"level": "CRITICAL"},
        },
    }
    logging.config.dictConfig(config)
    error.error("heard")
    access.info("served")
    assert capsys.readouterr() == ("heard\n", "")
    error.disabled = True
    configure()
    error.error("heard again")
    assert capsys.readouterr() == ("", "")
    error.disabled = False
    config["loggers"] = {"asgiws": {"handlers": ["theirs"]}}
    logging.config.dictConfig(config)
    error.error("heard at last")
    assert capsys.readouterr() == ("heard at last\n", "")


def test_a_class_of_loggers_of_the_programs_own_is_kept() -> None:
    class Own(logging.Logger):
        def shout(self) -> str:
            return self.name.upper()

    own = Own("own")
    own.disabled = True
    logs._keep(own)
    logs._keep(own)
    assert (own.shout(), own.disabled) == ("OWN", False)
    own.disabled = True
    assert own.disabled


@pytest.mark.parametrize("stream", [None, "closed"])
def test_without_stderr_nothing_is_written_and_nobody_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stream: Any
) -> None:
    if stream == "closed":
        stream = io.StringIO()
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    configure()
    error.error("unheard")
    logs.tell("Error: unheard")
    monkeypatch.undo()
    assert capsys.readouterr() == ("", "")


def test_what_is_told_stands_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logs.tell("Error: heard")
    assert capsys.readouterr() == ("", "Error: heard\n")


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
