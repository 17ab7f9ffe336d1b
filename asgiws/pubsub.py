"""Topics, for applications: the types and the errors of the extension `asgiws.pubsub` (docs/pubsub.md).

An application finds the hub in its scope, and imports from here only what it names:

    hub: PubSub = scope["extensions"]["asgiws.pubsub"]["hub"]

Rules of this file: public names alone, each with one home.
"""

from asgiws.services.pubsub import Gap, Message, MessagesLost, PubSub, Subscription
from asgiws.topics.hub import TooMuchQueued

__all__ = ["Gap", "Message", "MessagesLost", "PubSub", "Subscription", "TooMuchQueued"]
