"""What a request has to pass before the application is called, in this order.

Rules of this file:
- It decides and sends nothing: head and facts in, a verdict out, for whoever carries the request.
- A probe of the worker's health is answered before anything else is asked. What trusted proxies say is put in
  place before the host is looked at.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from asgiws.bridge.outlet import Outlet
from asgiws.drivers.forwarding import forwarding
from asgiws.drivers.health import Answer, Health
from asgiws.http.errors import Forbidden, HTTPError
from asgiws.http.head import RequestHead
from asgiws.http.hosts import HostFilter
from asgiws.services.runtime import Runtime


class Way(Enum):
    """Where a request goes on that is not answered at once."""

    SERVE = "to the application"
    UPGRADE = "to the WebSocket handshake"


SERVE: Final = Way.SERVE
UPGRADE: Final = Way.UPGRADE

#: A Way to go on, an HTTPError to reject the request with, or a whole answer, which is for no access log.
Verdict = Way | HTTPError | Answer


class Gate:
    """The checks of one worker."""

    __slots__ = ("_forwarding", "_health", "_hosts", "_limits_concurrency", "_runtime")

    def __init__(self, runtime: Runtime) -> None:
        config = runtime.config
        self._runtime = runtime
        self._health = None if config.health_path is None else Health(config.health_path)
        self._forwarding = forwarding(config, runtime.trusted)
        self._hosts = HostFilter(config.allowed_hosts) if config.allowed_hosts else None
        self._limits_concurrency = config.limit_concurrency is not None

    def judge(self, head: RequestHead, outlet: Outlet) -> Verdict:
        """What is to become of a request on a connection with the addresses of `outlet`, which is counted among
        the worker's."""
        runtime = self._runtime
        if self._health is not None:
            answer = self._health.answer(head, runtime.ready)
            if answer is not None:
                return answer
        if head.has_forwarded and self._forwarding is not None:
            self._forwarding.apply(head, outlet)
        if self._hosts is not None and not self._hosts.allows(head.get(b"host")):
            return Forbidden("this host is not served here", "allowed_hosts")
        if self._limits_concurrency:
            refusal = runtime.admission.request(len(runtime.tasks))
            if refusal is not None:
                return refusal
        # RFC 9110 7.8: an Upgrade may be ignored, and is: every other protocol's, and one behind a
        # body, which would stand between the handshake and the WebSocket's first byte.
        if (
            head.upgrade
            and b"websocket" in head.upgrade
            and head.method == "GET"
            and not head.has_body()
        ):
            return UPGRADE
        return SERVE
