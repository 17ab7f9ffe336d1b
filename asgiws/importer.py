"""From `module:attribute` to the application.

Rules of this file:
- A mistake of the operator is an AppNotFound with one line that says what to correct.
- An error in the application's own code, while it is imported, looked up or created, is an AppRaised:
  it carries the exception, and shows the application's frames of the traceback, not those of the
  import machinery.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from types import TracebackType
from typing import Any

from asgiws.config import Config, StartError, close_to, read_env_file


class AppNotFound(StartError):
    """The application string leads nowhere, or to something that cannot be served."""


class AppRaised(StartError):
    """The application's code raised while it was imported or created. `report()` is the traceback."""

    def __init__(self, what: str, error: BaseException) -> None:
        super().__init__(what)
        self.error = error

    def report(self) -> str:
        """The traceback as text, from the application's first frame on."""
        return "".join(_format(self.error)).rstrip("\n")


def load(config: Config) -> Any:
    """The object that `config.app` names, created by its factory if it is one.

    Puts `config.app_dir` on `sys.path` and the variables of `config.env_file` into `os.environ`.
    Raises AppNotFound and AppRaised.
    """
    if config.env_file is not None:
        for name, value in read_env_file(config.env_file).items():
            os.environ.setdefault(name, value)
    app = config.app
    if isinstance(app, str):
        directory = os.path.abspath(config.app_dir)
        if directory not in sys.path:
            sys.path.insert(0, directory)
        app = import_from_string(app, directory)
    return _make(app, config.app) if config.factory else app


def import_from_string(text: str, directory: str) -> Any:
    """The object at `module:attribute`; the attribute may contain dots.

    `directory` is where messages say that its module is looked for first.
    """
    module_name, colon, path = text.partition(":")
    if module_name.endswith(".py") or "/" in module_name or os.sep in module_name:
        name = module_name.removesuffix(".py").strip("./").replace(os.sep, ".").replace("/", ".")
        hint = f"{name}:{path or 'app'}"
        raise AppNotFound(f"{text!r} names a file; give the module instead, as in {hint!r}")
    if not (colon and module_name and path):
        example = f"{module_name or 'main'}:{path or 'app'}"
        raise AppNotFound(f"{text!r} is not of the form module:attribute, as in {example!r}")
    module = _import(module_name, directory)
    value = module
    for part in path.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:  # noqa: PERF203
            where = f"module {module_name!r}" if value is module else f"{value!r}"
            names = [name for name in dir(value) if not name.startswith("_")]
            raise AppNotFound(f"{where} has no attribute {part!r}{close_to(part, names)}") from None
        except Exception as error:  # a `__getattr__` or a property
            raise AppRaised(f"getting {part!r} for {text!r} failed", error) from error
    return value


def _import(name: str, directory: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        # Without a frame of its own, the error is about the name itself or a package above it; with
        # one, it is about something that the module imports.
        if (name == missing or name.startswith(missing + ".")) and not _frames(error.__traceback__):
            hint = "" if name == missing else f" (for {name!r})"
            raise AppNotFound(
                f"there is no module {missing!r}{hint} in {directory!r} or among the installed ones"
            ) from None
        raise AppRaised(f"importing {name!r} failed", error) from error
    except (TypeError, ValueError) as error:
        if not _frames(error.__traceback__):  # for example "..": the name itself is wrong
            raise AppNotFound(f"{name!r} is not the name of a module") from None
        raise AppRaised(f"importing {name!r} failed", error) from error
    except Exception as error:
        raise AppRaised(f"importing {name!r} failed", error) from error


def _make(factory: Any, called: object) -> Any:
    """The object that the factory returns."""
    if not callable(factory):
        raise AppNotFound(f"{called!r} is not a factory: it cannot be called")
    if inspect.iscoroutinefunction(factory):
        raise AppNotFound(f"{called!r} is not a factory: it is a coroutine function")
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise AppNotFound(
            f"{called!r} is not a factory: called without arguments, {error}"
        ) from None
    except ValueError:
        pass  # a built-in without a signature: then only the call itself can tell
    try:
        return factory()
    except Exception as error:
        raise AppRaised(f"the factory {called!r} failed", error) from error


def _is_machinery(filename: str) -> bool:
    return (
        filename.startswith("<frozen importlib")
        or filename == importlib.__file__
        or filename == __file__
    )


def _frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """The frames of the application in a traceback."""
    return [frame for frame in traceback.extract_tb(trace) if not _is_machinery(frame.filename)]


def _format(error: BaseException) -> list[str]:
    """The traceback of `error` and of those that led to it, without the machinery's frames."""
    shown = traceback.TracebackException.from_exception(error)
    pending: list[traceback.TracebackException | None] = [shown]
    while pending:
        part = pending.pop()
        if part is not None:
            kept = [frame for frame in part.stack if not _is_machinery(frame.filename)]
            part.stack = traceback.StackSummary.from_list(kept)
            pending += [part.__cause__, part.__context__]
    return list(shown.format())
