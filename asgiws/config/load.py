"""Where the values of options come from.

Rules of this file: explicit values win over the environment, the environment over the env file, and the
env file over the default. Variables that a container engine sets are not ours, whatever their names. An
error about a value from the environment names the variable.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from asgiws.config.errors import ConfigError
from asgiws.config.kinds import Application
from asgiws.config.options import OPTIONS, Config

#: The value that Kubernetes and Docker links give X_PORT for a service named X.
_SERVICE = re.compile(r"(?:tcp|udp|sctp)://\S+:[0-9]+")

#: The options that say where to listen. Only the first two can be combined.
_WHERE = ("host", "port", "uds", "fd", "bind")


def load(options: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Config:
    """The configuration, from `options`, else from the environment, else from the defaults.

    `options` holds the values from the command line or `asgiws.run`, by field name; `environ`
    is `os.environ` by default. The variables of `env_file` are used as well, with a lower
    precedence than the environment. If nothing says where to listen and systemd has passed sockets to
    this process, the server listens on those. Raises ConfigError for a bad value or an unknown name.
    """
    environ = os.environ if environ is None else environ
    known = {item.name: item for item in OPTIONS}
    for name in options:
        if name not in known:
            raise ConfigError(f"there is no option {name!r}{close_to(name, known)}")
    for name in ("uds", "fd", "bind"):
        for other in ("host", "port"):
            if options.get(name) not in (None, []) and other in options:
                raise ConfigError(f"{name} and {other} exclude each other: give one of them")
    activated = environ.get("LISTEN_PID") == str(os.getpid())  # sd_listen_fds(3)
    env_file = options.get("env_file") or environ.get(known["env_file"].env)
    if env_file:
        environ = {**read_env_file(env_file), **environ}
    values = dict(options)
    if values.get("app") in (None, "") and not environ.get(known["app"].env):
        raise ConfigError(f"no application given; expected {Application.allowed}")
    variables: dict[str, str] = {}
    placed = any(name in options for name in _WHERE)
    for item in OPTIONS:
        text = environ.get(item.env)
        # An explicit address is not combined with one from the environment.
        is_elsewhere = placed and item.name in ("uds", "fd", "bind")
        if not text or item.name in options or is_elsewhere:
            continue
        if item.env.endswith("_PORT") and _SERVICE.fullmatch(text):
            logging.getLogger("asgiws.error").warning(
                "%s=%s is ignored: Kubernetes sets it for a service of that name; it is not a value of %s",
                item.env,
                text,
                item.name,
            )
            continue
        values[item.name] = item.convert(text, item.env)
        variables[item.name] = item.env
    if activated and all(values.get(name) in (None, []) for name in _WHERE):
        values["bind"] = "systemd:"
    try:
        return Config(**values)
    except ConfigError as error:
        text = str(error)
        meant = [env for name, env in variables.items() if re.search(rf"\b{name}\b", text)]
        if not meant:
            raise
        raise ConfigError(f"{text} (from the environment: {', '.join(meant)})") from None


def read_env_file(path: str | os.PathLike[str]) -> dict[str, str]:
    """The variables that an env file sets. Raises ConfigError if python-dotenv or the file is missing."""
    try:
        from dotenv import dotenv_values
    except ImportError:
        raise ConfigError(
            "env_file needs the package python-dotenv: pip install python-dotenv"
        ) from None
    try:
        with open(path, encoding="utf-8") as stream:
            values = dotenv_values(stream=stream)
    except (OSError, ValueError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        reason = getattr(error, "strerror", None) or reason
        raise ConfigError(f"env_file: cannot read {os.fspath(path)!r}: {reason}") from None
    return {name: value for name, value in values.items() if value is not None}


def close_to(name: str, names: Sequence[str] | Mapping[str, Any]) -> str:
    """`; did you mean ...?` when one of `names` is close to `name`, else an empty string."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(names), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""
