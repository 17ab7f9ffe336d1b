"""`python -m benchmarks`.

Rules of this file:
- SIGTERM ends a run as Ctrl-C does, so that no server outlives it.
"""

import signal
import sys

from benchmarks.cli import main

signal.signal(signal.SIGTERM, signal.default_int_handler)
sys.exit(main(sys.argv[1:]))
