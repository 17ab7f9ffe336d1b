"""Topics, for applications: the types and the errors of the extension `asgiws.pubsub` (docs/pubsub.md).

An application finds the hub in its scope, and imports from here only what it names:

    hub: PubSub = scope["extensions"]["asgiws.pubsub"]["hub"]

Rules of this file: public names alone, each with one home, which is loaded when the name is first accessed.
An application may import this module under another server, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiws._names import on_access

if TYPE_CHECKING:
    from asgiws.elsewhere.middleware import PubSubMiddleware
    from asgiws.elsewhere.workers import SeveralWorkers
    from asgiws.services.attachment import Attachment
    from asgiws.services.pubsub import Gap, Message, MessagesLost, PubSub, Subscription
    from asgiws.topics.hub import HubUnreachable, TooMuchQueued

__all__ = [
    "Attachment",
    "Gap",
    "HubUnreachable",
    "Message",
    "MessagesLost",
    "PubSub",
    "PubSubMiddleware",
    "SeveralWorkers",
    "Subscription",
    "TooMuchQueued",
]

_HOMES = {
    "Attachment": "asgiws.services.attachment",
    "PubSubMiddleware": "asgiws.elsewhere.middleware",
    "SeveralWorkers": "asgiws.elsewhere.workers",
    "Gap": "asgiws.services.pubsub",
    "HubUnreachable": "asgiws.topics.hub",
    "Message": "asgiws.services.pubsub",
    "MessagesLost": "asgiws.services.pubsub",
    "PubSub": "asgiws.services.pubsub",
    "Subscription": "asgiws.services.pubsub",
    "TooMuchQueued": "asgiws.topics.hub",
}

__getattr__, __dir__ = on_access(__name__, _HOMES, __all__)
