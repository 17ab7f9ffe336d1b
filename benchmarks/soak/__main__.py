"""`python -m benchmarks.soak`.

Rules of this file:
- SIGTERM ends a run as Ctrl-C does, so that no server outlives it.
"""

import signal
import sys

from benchmarks.soak.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored
signal.signal(signal.SIGTERM, signal.default_int_handler)
sys.exit(main(sys.argv[1:]))
