"""Which styles of applications there are.

Rules of this file:
- A style is known by its name; its path is the name with hyphens.
- `whole` says that a client that stays must get the whole of it: the response with its status, or a WebSocket
  that ends by a close frame.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.chaos import frameworks, http_styles, websocket_styles
from tests.chaos.calls import Call

HTTP, WEBSOCKET = "http", "websocket"


class Style(NamedTuple):
    name: str
    kind: str
    handler: Callable[[Call], Awaitable[None]]
    method: str = "GET"
    uploads: bool = False
    whole: bool = True
    status: int = 200

    @property
    def path(self) -> str:
        return "/" + self.name.replace(" ", "-")


def _http(name: str, handler: Callable[[Call], Awaitable[None]], **more: object) -> Style:
    return Style(name, HTTP, handler, **more)  # type: ignore[arg-type]


def _websocket(name: str, handler: Callable[[Call], Awaitable[None]], **more: object) -> Style:
    return Style(f"ws {name}", WEBSOCKET, handler, **more)  # type: ignore[arg-type]


_h, _w = http_styles, websocket_styles
_ALL = [
    _http("answers", _h.answers),
    _http("only sends", _h.only_sends),
    _http("sends empty", _h.sends_empty),
    _http("sends at times", _h.sends_at_times),
    _http("listens and is silent", _h.listens_and_is_silent),
    _http("deaf", _h.deaf),
    _http("only receives", _h.only_receives),
    _http("generator", _h.generator),
    _http("head", _h.head, method="HEAD"),
    _http("no content", _h.no_content, status=204),
    _http("not modified", _h.not_modified, status=304),
    _http("reads upload", _h.reads_upload, method="POST", uploads=True),
    _http("reads upload slowly", _h.reads_upload_slowly, method="POST", uploads=True),
    _http("leaves upload", _h.leaves_upload, method="POST", uploads=True, status=413),
    _http("reads upload once", _h.reads_upload_once, method="POST", uploads=True),
    _http("answers within upload", _h.answers_within_upload, method="POST", uploads=True),
    _http("path send", _h.path_send),
    _http("zero copy send", _h.zero_copy_send),
    _http("task group", _h.task_group),
    _http("group that only sends", _h.group_that_only_sends),
    _http("nested tasks", _h.nested_tasks),
    _http("sends at once", _h.sends_at_once),
    _http("receives at once", _h.receives_at_once),
    _http("gives up receiving", _h.gives_up_receiving),
    _http("outlived", _h.outlived),
    _http("outlived by listener", _h.outlived_by_listener),
    _http("threads", _h.threads),
    _http("works in threads", _h.works_in_threads),
    _http("blocks", _h.blocks),
    _http("forks", _h.forks),
    _http("forks and exits", _h.forks_and_exits),
    _http("multiprocesses", _h.multiprocesses),
    _http("terminates process", _h.terminates_process),
    _http("raises", _h.raises, status=500),
    _http("raises behind head", _h.raises_behind_head, whole=False),
    _http("raises within body", _h.raises_within_body, whole=False),
    _http("raises behind response", _h.raises_behind_response),
    _http("raises in finally", _h.raises_in_finally, whole=False),
    _http("raises from group", _h.raises_from_group, status=500),
    _http("raises base", _h.raises_base, whole=False),
    _http("exits", _h.exits, status=500),
    _http("cancels itself", _h.cancels_itself, whole=False),
    _http("raises cancelled", _h.raises_cancelled, whole=False),
    _http("takes back cancellation", _h.takes_back_cancellation),
    _http("holds on", _h.holds_on),
    _http("never answers", _h.never_answers, status=500),
    _http("answers in part", _h.answers_in_part, whole=False),
    *(
        _http(name, frameworks.framework, whole=name != "starlette raising stream")
        if name != "starlette upload"
        else _http(name, frameworks.framework, method="POST", uploads=True)
        for name in frameworks.PAGES
    ),
    _websocket("echo", _w.echo),
    _websocket("only sends", _w.only_sends),
    _websocket("only sends tiny", _w.only_sends_tiny),
    _websocket("sends at times", _w.sends_at_times),
    _websocket("only receives", _w.only_receives),
    _websocket("receives slowly", _w.receives_slowly),
    _websocket("deaf", _w.deaf),
    _websocket("floods then listens", _w.floods_then_listens),
    _websocket("answers late", _w.answers_late),
    _websocket("task group", _w.task_group),
    _websocket("group that only sends", _w.group_that_only_sends),
    _websocket("nested tasks", _w.nested_tasks),
    _websocket("gives up receiving", _w.gives_up_receiving),
    _websocket("receives at once", _w.receives_at_once),
    _websocket("outlived", _w.outlived),
    _websocket("threads", _w.threads),
    _websocket("blocks", _w.blocks),
    _websocket("forks", _w.forks),
    _websocket("closes", _w.closes),
    _websocket("closes and listens", _w.closes_and_listens),
    _websocket("returns", _w.returns),
    _websocket("refuses", _w.refuses, status=403),
    _websocket("denies", _w.denies, status=401),
    _websocket("never answers", _w.never_answers, status=500),
    _websocket("raises", _w.raises, status=500),
    _websocket("raises later", _w.raises_later),
    _websocket("raises in finally", _w.raises_in_finally),
    _websocket("raises base", _w.raises_base),
    _websocket("exits", _w.exits),
    _websocket("cancels itself", _w.cancels_itself),
    _websocket("holds on", _w.holds_on),
    *(Style(name, WEBSOCKET, frameworks.framework) for name in frameworks.SOCKETS),
]

STYLES = {style.name: style for style in _ALL}
