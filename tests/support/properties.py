"""How many examples the property tests try.

Rules of this file: a number given is that of a thorough run (ASGIWS_TEST_THOROUGH=1, as CI has with the newest
CPython); by default a quarter of them are tried, so that the tests are over soon. How long an example takes is
no verdict.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings

THOROUGH = os.environ.get("ASGIWS_TEST_THOROUGH") == "1"


def examples(thorough: int, **more: Any) -> settings:
    """The settings of a property test that tries so many examples when it is thorough."""
    return settings(deadline=None, max_examples=thorough if THOROUGH else thorough // 4, **more)


#: Of most.
quick = examples(200)
