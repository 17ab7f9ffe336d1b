"""How often Python's garbage collector runs in a server, and what it looks at.

Rules of this file:
- Only a process of the server's own is treated so. The garbage of a program that serves beside other things is
  its own.
- What the application has set itself stays as it is.
"""

from __future__ import annotations

import gc

#: How many more objects there are than at the last collection when the young ones are collected. What a request
#: or a connection creates lives for a moment, or for hours: Python's own threshold of some hundred is soon
#: reached, and finds nothing.
YOUNG = 10_000

_DEFAULT = gc.get_threshold()


def settle() -> None:
    """Collect what the start has left behind, have later collections leave out what is there now, and have them
    take place less often.

    A full collection visits every object, and nobody is served meanwhile: with a framework's modules loaded
    that takes tens of milliseconds each time, for objects that live as long as the process. Does nothing
    where the application has turned the collector off.
    """
    if gc.isenabled() and hasattr(gc, "freeze"):  # PyPy has neither the pauses nor the function
        gc.collect()
        gc.freeze()
        if gc.get_threshold() == _DEFAULT:
            gc.set_threshold(max(YOUNG, _DEFAULT[0]), *_DEFAULT[1:])
