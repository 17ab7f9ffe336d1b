"""The checks that a request must pass before the application is called, in this order.

Rules of this file:
- It decides and sends nothing: head and facts go in, a verdict for the request's driver comes out.
- A health probe is answered before anything else is checked. What trusted proxies say is applied before the
  host is checked.
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
    """Where a request that is not answered at once goes."""

    SERVE = "to the application"
    UPGRADE = "to the WebSocket handshake"


SERVE: Final = Way.SERVE
UPGRADE: Final = Way.UPGRADE

#: Where the request goes, an HTTPError to reject it with, or a complete response that is not in the access log.
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
        """Decide on a request from the connection `outlet`, which is already counted among the worker's
        connections."""
        runtime = self._runtime
        if self._health is not None:
            answer = self._health.answer(head, runtime.is_ready())
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
        # RFC 9110, 7.8: an Upgrade may be ignored. It is ignored for every other protocol, and for a request
        # with a body, which would come between the handshake and the WebSocket's first byte.
        if (
            head.upgrade
            and b"websocket" in head.upgrade
            and head.method == "GET"
            and not head.has_body()
        ):
            return UPGRADE
        return SERVE
