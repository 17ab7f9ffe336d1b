"""The limit of open files, read and raised."""

from __future__ import annotations

import subprocess
import sys

import pytest

from asgiws.net import descriptors

resource = pytest.importorskip("resource")


def test_the_limit_is_the_processs() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert descriptors.limit() == (sys.maxsize if soft == resource.RLIM_INFINITY else soft)


def test_it_is_raised_to_the_hard_one() -> None:
    code = """
import resource
from asgiws.net import descriptors
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
assert descriptors.limit() == 64
descriptors.raise_limit()
print(resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("True\n", "")
