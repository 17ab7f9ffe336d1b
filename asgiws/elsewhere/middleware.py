"""The extension `asgiws.pubsub` on servers other than asgiws, and in the test clients of frameworks.

    app = PubSubMiddleware(app)

On asgiws the extension is there already, and the middleware does nothing.

Rules of this file:
- It refuses to start where other processes are known to serve the same application, which would not be
  reached, or with a broker that cannot be used.
- Everything between the clients of the process is here; `conversation.py` has one WebSocket.
- All event loops of the process reach each other: a test client may have one for each WebSocket. With a broker,
  each has a connection of its own.
"""

from __future__ import annotations

import asyncio
import logging
import weakref

from asgiws.asgi.types import ASGIApp, Receive, Scope, Send
from asgiws.brokers.choice import is_broker, maker
from asgiws.config import Config, StartError
from asgiws.elsewhere import workers
from asgiws.elsewhere.conversation import Conversation
from asgiws.services import present
from asgiws.services.pubsub import NAME, PubSub
from asgiws.services.topics import Topics
from asgiws.topics.hub import Hub
from asgiws.topics.shared import LoopHub, SharedHub

logger = logging.getLogger("asgiws.error")

_WHAT = "asgiws.pubsub.PubSubMiddleware"


class PubSubMiddleware:
    """Gives an application the extension `asgiws.pubsub` where the server does not.

    `max_subscriptions`, `max_message` and `history` are as the options `--pubsub-max-subscriptions`,
    `--pubsub-max-message` and `--pubsub-history`; `max_outbound`, in octets, is what may wait for a client that
    does not read, and for an application that does not receive.

    With the `url` of a broker, and `prefix`, as the options `--pubsub` and `--pubsub-prefix`, topics reach all
    processes and hosts that use the same. The application's startup fails if its package is missing or the URL
    cannot be used, and without a broker if the server has several workers, as far as that can be known. Without
    a lifespan, each call raises StartError or SeveralWorkers. Raises ConfigError for an option that is wrong.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        url: str | None = None,
        prefix: str = "asgiws",
        max_subscriptions: int = 1000,
        max_message: int = 2**20,
        max_outbound: int = 2**20,
        history: int = 64 * 2**20,
    ) -> None:
        self._app = app
        self._config = Config(
            app=app,
            pubsub="host" if url is None else url,
            pubsub_prefix=prefix,
            pubsub_max_subscriptions=max_subscriptions,
            pubsub_max_message=max_message,
            pubsub_history=history,
        )
        self._max_outbound = max_outbound
        self._shared = SharedHub(history)
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Topics, PubSub]] = (
            weakref.WeakKeyDictionary()
        )
        self._make_broker_hub = maker(self._config)
        self._was_checked = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if NAME in scope.get("extensions", {}):
            await self._app(scope, receive, send)
            return
        if not self._was_checked:
            try:
                self._check()
            except (workers.SeveralWorkers, StartError) as error:
                if scope["type"] != "lifespan":
                    raise
                # An exception would mean that the application knows no lifespan.
                logger.error("%s", error)
                await receive()
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            self._was_checked = True
        topics, pubsub = self._of_loop()
        scope = {**scope, "extensions": {**scope.get("extensions", {}), NAME: pubsub.extension()}}
        if scope["type"] == "websocket":
            conversation = Conversation(topics, receive, send, self._max_outbound)
            try:
                await self._app(scope, conversation.receive, conversation.send)
            finally:
                await conversation.end()
        elif scope["type"] == "lifespan":
            try:
                await self._app(scope, receive, send)
            finally:
                pubsub.end()
                await topics.finish()
                topics.close()
                self._loops.pop(topics.loop, None)
        else:
            await self._app(scope, receive, send)

    def _check(self) -> None:
        """Raises SeveralWorkers, and StartError for a broker that cannot be used."""
        if is_broker(self._config):
            from asgiws.brokers.libraries import choose

            choose(self._config)
        else:
            _check_alone()

    def _of_loop(self) -> tuple[Topics, PubSub]:
        """What the connections of the running event loop share."""
        loop = asyncio.get_running_loop()
        with self._shared.lock:
            found = self._loops.get(loop)
            if found is None:
                topics = Topics(self._config, loop, self._make_hub)
                found = self._loops[loop] = (topics, PubSub(topics))
            return found

    def _make_hub(self, topics: Topics) -> Hub:
        if self._make_broker_hub is not None:
            return self._make_broker_hub(topics)
        return LoopHub(self._shared, topics.loop.call_soon_threadsafe)


def _check_alone() -> None:
    server = present.find()
    if server is None:
        workers.check_alone(_WHAT, "give it the URL of a broker, ")
    elif server.topics is None:
        raise workers.SeveralWorkers(
            f"{_WHAT} reaches the clients of one process only, and the server's own topics are off: --pubsub "
            "off, or several workers of gunicorn; give the URL of a broker"
        )
