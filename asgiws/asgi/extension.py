"""The contents of an extension that all scopes of a worker share.

Rules of this file: what is shared cannot be changed. Copies can: `dict(content)`, `content.copy()`.
"""

from __future__ import annotations

from typing import Any, NoReturn


class Extension(dict[str, Any]):
    """A dict that cannot be changed. A deep copy is the same object, as its contents are the worker's."""

    __slots__ = ()

    def _refuse(self, *arguments: Any, **named: Any) -> NoReturn:
        raise TypeError(
            "the contents of this extension are those of all scopes, and cannot be changed; copy them"
        )

    __setitem__ = _refuse
    __delitem__ = _refuse
    __ior__ = _refuse
    clear = _refuse
    pop = _refuse
    popitem = _refuse
    setdefault = _refuse
    update = _refuse

    def __deepcopy__(self, memo: dict[int, Any]) -> Extension:
        return self
