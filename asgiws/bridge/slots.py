"""How a Call is created and awaited quickly.

Rules of this file:
- A kind of Call that the application awaits for each message gets the slot where it is defined.
- As with steps.py, this source serves the pure build, and `slots.pxd`, inlined into the modules that cimport
  it, serves the compiled one. There a Call is created without looking at its arguments, and has a slot through
  which `await` gets its result without a StopIteration.
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
