"""The application, in a server that listens to who goes on sending behind its end for a tenth of the time.

Rules of this file: half a minute is long for a test, and nothing but the constant differs.
"""

from __future__ import annotations

from asgiws.net import ending
from tests.abuse.app import app

__all__ = ["app"]
ending.LINGER_MOST /= 10
