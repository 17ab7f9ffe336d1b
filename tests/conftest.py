"""For every test."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# A shell that starts the tests in the background has them ignore SIGINT, and nohup SIGHUP; a server started by
# them would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Where the environment forbids bytecode files, as containers do, each of the hundreds of processes that the
# tests start would compile the same sources again: a third to a half of its start.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure(config: pytest.Config) -> None:
    """Have the assertions of all tests rewritten, where they are not yet. Each of the workers would do it for
    itself, all at the same time: half of what they compute before the first test."""
    here = Path(__file__).parent
    known = (here / "unit" / "__pycache__").glob(f"test_cli.{sys.implementation.cache_tag}-*.pyc")
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if not whole or hasattr(config, "workerinput") or not config.getoption("tx") or any(known):
        return
    folders = {Path(name).name for name in config.getini("testpaths")}
    command = [sys.executable, "-m", "pytest", "-qq", "--collect-only", "-n", "0"]
    running = [
        subprocess.Popen(
            [*command, *(here / name for name in sorted(part))],
            stdout=subprocess.DEVNULL,
        )
        for part in ({"unit"}, folders - {"unit"})
    ]
    for process in running:
        process.wait()  # what cannot be collected, the workers tell


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Have the garbage collector leave alone what there is for good: the modules and thousands of tests. Many
    tests collect garbage, which is quick without these."""
    gc.collect()
    gc.freeze()


def pytest_xdist_auto_num_workers() -> int:
    """Three for each processor: what drives servers and clients waits more than it computes."""
    return 3 * (os.cpu_count() or 1)
