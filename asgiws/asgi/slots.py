"""How a Call is made and awaited quickly.

Rules of this file: as with steps.py, this source serves the pure build, and `slots.pxd`, inlined into the
modules that cimport it, the compiled one: there a Call is made without a look at its arguments, and has a slot
by which `await` gets its result without a StopIteration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from asgiws.asgi.calls import Call

Kind = TypeVar("Kind", bound="Call")


def install(kind: type) -> None:
    """Give `kind`, which is Call, the slot `am_send`."""


def new(kind: type[Kind], owner: Any, message: Any) -> Kind:
    """A Call of that kind."""
    return kind(owner, message)
