"""The chaos test for a few seconds, and that it finds what it is there to find.

Rules of this file: no verdict on how fast something was. `python -m tests.chaos` judges that, over minutes.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos import log, report
from tests.chaos.probe import Answer, longest_wait, waits_for_processor
from tests.chaos.run import PLAIN, TLS, Outcome, Settings, chaos
from tests.chaos.styles import STYLES
from tests.chaos.ways import WAYS, fitting

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells what is held"),
    pytest.mark.timeout(180),
]

TRACEBACK = """\
2026-01-31 12:00:00 ERROR    Exception in ASGI application: GET /raises
Traceback (most recent call last):
  File "apps.py", line 1, in app
    raise {0}
{0}
"""


def settings(folder: Path, **more: object) -> Settings:
    values: dict[str, object] = {
        "seconds": 5.0,
        "seed": 1,
        "folder": folder,
        "transports": (PLAIN, TLS),
        "styles": tuple(STYLES),
        "ways": tuple(WAYS),
        "hurry": 0.3,
        "rest": 30.0,
        "options": (
            "--timeout-graceful-shutdown",
            "2",
            *shlex.split(os.environ.get("ASGIWS_TEST_OPTIONS", "")),
        ),
    }
    return Settings(**{**values, **more})  # type: ignore[arg-type]


def run(settings: Settings) -> Outcome:
    return asyncio.run(chaos(settings, lambda line: None))


def test_every_handler_ends_whatever_clients_do(tmp_path: Path) -> None:
    outcome = run(settings(tmp_path))
    assert report.findings(outcome) == []
    assert outcome.visits > 30  # how many there are depends on the machine


def test_what_is_planted_is_found(tmp_path: Path) -> None:
    outcome = run(
        settings(
            tmp_path,
            seconds=5.0,  # one visit of twenty plants them
            transports=(PLAIN,),
            styles=("answers", "sends at times", "ws echo"),
            ways=("FIN", "RST"),
            plant="handler,task,descriptor,log,stop",
            rest=1.0,
            stop=5.0,
        )
    )
    found = "\n".join(report.findings(outcome))
    for what in (
        "have not ended",
        "tasks at the end",
        "descriptors at the end",
        "This is not expected",
        "did not stop within",
    ):
        assert what in found


# What it judges by.


@pytest.mark.parametrize(
    ("text", "unexpected"),
    [
        ("2026-01-31 12:00:00 INFO     asgiws running on http://127.0.0.1:8000\n", []),
        (TRACEBACK.format("tests.chaos.books.Asked"), []),
        (TRACEBACK.format("SystemExit: Asked"), []),
        (TRACEBACK.format("KeyError: 'x'"), ["ERROR    Exception in ASGI application"]),
        (TRACEBACK.format("tests.chaos.books.Asked") + "Exception ignored in: x\n", ["Exception"]),
        (
            TRACEBACK.format("tests.chaos.books.Asked")
            + "\nDuring handling of the above exception, another exception occurred:\n\n"
            + TRACEBACK.format("KeyError: 'x'").partition("\n")[2],
            ["ERROR    Exception in ASGI application"],
        ),
        ("2026-01-31 12:00:00 WARNING  1.2.3.4:5 - took nothing (timeout_send)\n", []),
        ("2026-01-31 12:00:00 WARNING  something else\n", ["WARNING  something else"]),
        ("Fatal Python error: Aborted\n", ["Fatal"]),
    ],
)
def test_what_nobody_expects_in_a_log(text: str, unexpected: list[str]) -> None:
    found = log.unexpected(text)
    assert len(found) == len(unexpected)
    assert all(record.startswith(one) for record, one in zip(found, unexpected, strict=True))


def test_lines_that_differ_in_an_address_alone_are_counted_together() -> None:
    line = "2026-01-31 12:00:00 ERROR    127.0.0.1:{} is odd\n"
    assert log.unexpected(line.format(1234) + line.format(5678)) == Counter(
        {"ERROR    127.0.0.1:* is odd": 2}
    )


def test_an_answer_is_late_by_what_neither_its_control_nor_the_wait_for_a_processor_took(
    tmp_path: Path,
) -> None:
    outcome = Outcome(settings(tmp_path))
    outcome.answers = [
        Answer("plain", "http", 0.0, 0.5, 0.45, 0.0),
        Answer("plain", "http", 0.5, 0.5, 0.05, 0.4),
        Answer("plain", "http", 1.0, 0.2, 0.05, 0.02),
        Answer("plain", "ping", 2.0, float("inf"), 0.05, 0.0),
    ]
    late = report.delays(outcome)
    assert len(late) == 2
    assert "forever" in late[0]
    assert "200.0 ms" in late[1]


@pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="the kernel does not tell who waits"
)
def test_the_wait_for_a_processor_is_measured() -> None:
    code = (
        f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})\nwhile True: pass"
    )
    one = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    try:
        # Two of them cannot run on one processor at once.
        while longest_wait({}, waits_for_processor(one[0].pid)) < 0.05:
            time.sleep(0.01)
    finally:
        for process in one:
            process.kill()
            process.wait()
    assert waits_for_processor(one[0].pid) == {}


def test_every_style_can_be_left_in_several_ways_and_every_way_leaves_some() -> None:
    for tls in (False, True):
        left = [fitting(style, tls, tuple(WAYS)) for style in STYLES.values()]
        assert min(map(len, left)) >= 8
    assert {way.name for ways in left for way in ways} == set(WAYS)


def test_the_page_is_written_between_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"above\n\n{report.BEGIN}\nold\n{report.END}\n\nbelow\n")
    report.write_docs(Outcome(settings(tmp_path)), path)
    text = path.read_text()
    assert text.startswith("above\n")
    assert text.endswith("\n\nbelow\n")
    assert "old" not in text
    assert "seed 1" in text
