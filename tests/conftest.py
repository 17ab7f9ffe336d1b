"""For every test."""

from __future__ import annotations

import signal

# A shell that starts the tests in the background has them ignore SIGINT, and nohup SIGHUP; a server started by
# them would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
