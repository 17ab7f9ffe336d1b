"""Which callables are applications, and of which version."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from asgiws.asgi.interface import NotAnApplication, adapt


async def asgi3(scope: Any, receive: Any, send: Any) -> None: ...


def plain3(scope: Any, receive: Any, send: Any) -> Any:
    return asgi3(scope, receive, send)


async def with_defaults(scope: Any, receive: Any = None, send: Any = None) -> None: ...


async def open_ended(*arguments: Any) -> None: ...


class Instance3:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class Class3:
    """As Starlette's HTTPEndpoint."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __await__(self) -> Any:
        yield


class Falsy(Instance3):
    def __len__(self) -> int:
        return 0


class NoSignature(Instance3):
    __signature__ = "nonsense"


@functools.wraps(asgi3)
def wrapped(*arguments: Any) -> Any:
    return asgi3(*arguments)


@pytest.mark.parametrize(
    "app",
    [
        asgi3,
        plain3,
        with_defaults,
        open_ended,
        Instance3(),
        Class3,
        Falsy(),
        NoSignature(),
        wrapped,
        functools.partial(asgi3),
        Instance3().__call__,
        lambda scope, receive, send: asgi3(scope, receive, send),
    ],
)
def test_asgi3_is_taken_as_it_is(app: Any) -> None:
    assert adapt(app) is app


def function2(scope: Any) -> Any:
    async def instance(receive: Any, send: Any) -> None:
        await send((scope, await receive()))

    return instance


class Class2:
    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        await send((self.scope, await receive()))


class Instance2:
    def __call__(self, scope: Any) -> Any:
        return function2(scope)


@pytest.mark.parametrize("app", [function2, Class2, Instance2(), functools.partial(Class2)])
async def test_asgi2_is_wrapped(app: Any) -> None:
    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.5"}}
    sent: list[Any] = []

    async def receive() -> str:
        return "message"

    async def send(message: Any) -> None:
        sent.append(message)

    await adapt(app)(scope, receive, send)  # type: ignore[arg-type]
    seen, message = sent[0]
    assert message == "message"
    assert seen == {"type": "http", "asgi": {"version": "2.0", "spec_version": "2.5"}}
    assert scope["asgi"]["version"] == "3.0"  # type: ignore[index]


def wsgi(environ: Any, start_response: Any) -> Any: ...


class WSGIInstance:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


def factory() -> Any: ...


async def one(scope: Any) -> None: ...


def many(a: Any, b: Any, c: Any, d: Any) -> None: ...


@pytest.mark.parametrize(
    ("app", "text"),
    [
        (None, "the application is not an application: NoneType is not callable"),
        ("text", "the application is not an application: str is not callable"),
        (functools, "the application is a module, not the application in it"),
        (wsgi, "the application takes two arguments, like a WSGI application"),
        (WSGIInstance(), "the application takes two arguments, like a WSGI application"),
        (factory, "the application takes no arguments: .* add --factory"),
        (Instance3, "the application takes no arguments: .* add --factory"),
        (one, "the application is not an ASGI application: its signature is "),
        (many, "the application is not an ASGI application: its signature is "),
    ],
)
def test_what_is_no_application_is_told_in_one_line(app: Any, text: str) -> None:
    with pytest.raises(NotAnApplication, match=text) as caught:
        adapt(app)
    assert "\n" not in str(caught.value)
