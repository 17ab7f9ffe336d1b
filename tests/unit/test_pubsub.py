"""The public names of topics."""

from __future__ import annotations

import asgiws.pubsub
from asgiws.services import pubsub
from asgiws.topics import hub


def test_the_public_names_are_those_that_the_server_uses() -> None:
    for name in asgiws.pubsub.__all__:
        home = hub if name == "TooMuchQueued" else pubsub
        assert getattr(asgiws.pubsub, name) is getattr(home, name)
