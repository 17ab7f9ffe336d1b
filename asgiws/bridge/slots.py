"""How a Call is created and awaited quickly.

Rules of this file:
- A kind of Call that the application awaits for each message is given the slot where it is defined.
- It is a twin, one of the files where the pure and the compiled build differ: this source serves the pure
  build, and `slots.pxd`, inlined into the modules that cimport it, the compiled one. There a Call is made
  without a look at its arguments, and has a slot by which `await` gets its result without a StopIteration.
  The file itself is never compiled. A change of one is a change of both.
"""

from __future__ import annotations

from typing import Any, TypeVar

from asgiws.bridge.calls import Call

Kind = TypeVar("Kind", bound=Call)


def install(kind: type[Call]) -> None:
    """Give `kind` the slot `am_send`."""


def new(kind: type[Kind], owner: Any, message: Any) -> Kind:
    """A Call of that kind."""
    return kind(owner, message)
