"""What the start of a server leaves for Python's garbage collector.

Rules of this file: only a process of the server's own is treated so. The garbage of a program that serves
beside other things is its own.
"""

from __future__ import annotations

import gc


def settle() -> None:
    """Collect what the start has left behind, and have later collections leave out what is there now.

    A full collection visits every object, and nobody is served meanwhile: with a framework's modules loaded
    that takes tens of milliseconds each time, for objects that live as long as the process. Does nothing
    where the application has turned the collector off.
    """
    if gc.isenabled() and hasattr(gc, "freeze"):  # PyPy has neither the pauses nor the function
        gc.collect()
        gc.freeze()
