"""The kind of an application, told from the shape of the callable.

Rules of this file:
- The rest of the package only knows ASGI 3: one callable that takes (scope, receive, send). An ASGI 2
  application, a callable that takes (scope) and returns one that takes (receive, send), is wrapped here.
- Nothing is called to find out: the signature decides. If there is no signature, it is ASGI 3.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from asgiws.asgi.types import ASGIApp, Receive, Scope, Send
from asgiws.config import StartError


class NotAnApplication(StartError):
    """The object is not an ASGI application; the message says what it looks like."""


class DoubleCallable:
    """An ASGI 2 application as an ASGI 3 one."""

    def __init__(self, app: Callable[[Scope], Any]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope, "asgi": {**scope["asgi"], "version": "2.0"}}
        await self.app(scope)(receive, send)


def adapt(app: Any, called: str = "the application") -> ASGIApp:
    """`app` as an ASGI 3 application. Raises NotAnApplication, whose message calls it `called`."""
    if inspect.ismodule(app):
        raise NotAnApplication(f"{called} is a module, not the application in it")
    if not callable(app):
        raise NotAnApplication(
            f"{called} is not an application: {type(app).__name__} is not callable"
        )
    asgi3: ASGIApp = app
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return asgi3
    if _takes(signature, 3):
        return asgi3
    if _takes(signature, 1) and not _is_coroutine_function(app):
        return DoubleCallable(app)
    if _takes(signature, 2):
        raise NotAnApplication(
            f"{called} takes two arguments, like a WSGI application, but asgiws serves ASGI; "
            "asgiref.wsgi.WsgiToAsgi converts one to the other"
        )
    if _takes(signature, 0):
        raise NotAnApplication(
            f"{called} takes no arguments: if it is a function that returns the application, "
            "add --factory"
        )
    raise NotAnApplication(f"{called} is not an ASGI application: its signature is {signature}")


def _takes(signature: inspect.Signature, count: int) -> bool:
    """True if `count` positional arguments are enough and not too many."""
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _is_coroutine_function(app: Any) -> bool:
    if inspect.isclass(app):
        return False  # calling it returns an instance
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(
        getattr(app, "__call__", None)  # noqa: B004
    )
