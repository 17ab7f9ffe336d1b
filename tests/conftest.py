"""For every test."""

from __future__ import annotations

import gc
import os
import signal
import sys

import pytest

# A shell that starts the tests in the background has them ignore SIGINT, and nohup SIGHUP; a server started by
# them would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


# Where the environment forbids bytecode files, as containers do, each of the hundreds of processes that the tests
# start would compile the same sources again: a third to a half of its start.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Have the garbage collector leave alone what there is for good: the modules and thousands of tests. Many
    tests collect garbage, which is quick without these."""
    gc.collect()
    gc.freeze()


def pytest_xdist_auto_num_workers() -> int:
    """Three for each processor: what drives servers and clients waits more than it computes."""
    return 3 * (os.cpu_count() or 1)
