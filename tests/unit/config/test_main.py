"""`python -m asgiws.config`, which is asgiws/config/__main__.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from asgiws.config.reference import reference

ROOT = Path(__file__).resolve().parents[3]


def test_the_reference_page_is_printed() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "asgiws.config"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert result.stdout == reference()
    assert result.stderr == ""
