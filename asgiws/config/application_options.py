"""The first options of the server: the application, and where to listen.

Rules of this file: those of `options.py`, whose `Config` begins with these options.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asgiws.config.endpoints import Endpoint
from asgiws.config.groups import (
    APPLICATION,
    SOCKET,
)
from asgiws.config.option import option
from asgiws.config.option_types import (
    Application,
    BindAddress,
    Choice,
    Directory,
    Flag,
    Integer,
    Optional,
    OptionType,
    RootPath,
    Several,
    Text,
)


@dataclass(slots=True, frozen=True)
class ApplicationOptions:
    """The options of the groups Application and Socket, as they were given; `Config` checks them."""

    app: str | Callable[..., Any] = option(  # noqa: RUF009
        "",
        Application(),
        APPLICATION,
        "The application to serve, as module:attribute.",
        spelling="",
        kw_only=False,
    )
    factory: bool = option(
        False,
        Flag(negative=False),
        APPLICATION,
        "Treat the attribute as a function without arguments that returns the application.",
    )
    app_dir: str = option(
        "",
        Directory(),
        APPLICATION,
        "Look for the module in this directory first. Default: the current directory.",
    )
    env_file: str | None = option(
        None,
        Optional(Text("FILE")),
        APPLICATION,
        "Set environment variables from this file unless already set (needs python-dotenv).",
    )
    lifespan: str = option(
        "auto",
        Choice("auto", "on", "off"),
        APPLICATION,
        "Run the lifespan protocol: auto if the application supports it, on to require it, off never.",
    )
    root_path: str = option(
        "",
        RootPath(),
        APPLICATION,
        "The path prefix under which a proxy mounts the application (root_path in the ASGI scope).",
    )
    loop: str = option(
        "auto",
        Choice("auto", "uvloop", "asyncio"),
        APPLICATION,
        "The event loop; auto uses uvloop if it is installed.",
    )
    tune_gc: bool = option(
        True,
        Flag(),
        APPLICATION,
        "Keep what the application has loaded out of garbage collections, and collect less often.",
    )

    host: str = option(
        "127.0.0.1",
        OptionType(),
        SOCKET,
        'Listen on this address or name; 0.0.0.0 is all of IPv4, :: all of IPv6, "" both.',
    )
    port: int = option(8000, Integer(0, 65535), SOCKET, "Listen on this port; 0 picks a free port.")
    uds: str | None = option(
        None, Optional(Text("PATH")), SOCKET, "Listen on a Unix socket at this path instead."
    )
    fd: int | None = option(
        None,
        Optional(Integer(0, 2**20)),
        SOCKET,
        "Listen on the socket inherited as this file descriptor instead.",
    )
    bind: list[Endpoint] = option(  # noqa: RUF009
        [],
        Several(BindAddress()),
        SOCKET,
        "Listen on this address instead; repeatable. HOST:PORT, [::]:PORT (all of IPv6), *:PORT (both), "
        "unix:PATH?mode=660&user=NAME&group=NAME, fd://NUMBER, systemd: (the sockets systemd passed).",
    )
    backlog: int = option(
        2048,
        Integer(1, 65535),
        SOCKET,
        "The number of connections that the kernel queues before they are accepted.",
    )
