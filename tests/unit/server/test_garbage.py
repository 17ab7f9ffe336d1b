"""`asgiws/server/garbage.py`, each time in a fresh interpreter: what is frozen stays so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import asgiws

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
