"""`asgiws/server/garbage.py`, each time in a fresh interpreter: what is frozen stays so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import asgiws
from asgiws.server.garbage import YOUNG

CODE = """
import gc, weakref
from asgiws.server import garbage

class Node: pass

def circle():
    node = Node()
    node.me = node
    return weakref.ref(node)

{before}
old = circle()
garbage.settle()
new = circle()
print(old() is None, gc.get_freeze_count() > 1000)
gc.collect()
print(new() is None)
"""


def run(before: str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", CODE.format(before=before)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(asgiws.__file__).parents[1],
    )
    return result.stdout.split()


def test_what_is_there_is_left_out_and_what_comes_is_not() -> None:
    assert run("") == ["True", "True", "True"]


def test_a_collector_that_is_off_is_left_alone() -> None:
    assert run("gc.disable()") == ["False", "False", "True"]


def test_the_young_are_collected_less_often_unless_the_application_has_a_say() -> None:
    code = "from asgiws.server import garbage; import gc; {} garbage.settle(); print(gc.get_threshold())"
    for said, threshold in (("", YOUNG), ("gc.set_threshold(5);", 5), ("gc.set_threshold(0);", 0)):
        found = subprocess.run(
            [sys.executable, "-c", code.format(said)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(asgiws.__file__).parents[1],
        )
        assert found.stdout.startswith(f"({threshold},")
