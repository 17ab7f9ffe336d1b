"""Where built programs and the peers' environment are kept.

Rules of this file: what lies there can be thrown away at any time, and is made again.
"""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "ASGIWS_BENCHMARKS_CACHE"


def cache_folder() -> Path:
    """CACHE_VARIABLE, else asgiws in the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "asgiws" / "benchmarks"
