"""The public names of topics."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import asgiws.pubsub
from asgiws.elsewhere import middleware, workers
from asgiws.services import attachment, pubsub
from asgiws.topics import hub

HOMES = {
    "Attachment": attachment,
    "PubSubMiddleware": middleware,
    "SeveralWorkers": workers,
    "TooMuchQueued": hub,
}


def test_the_public_names_are_those_that_the_server_uses() -> None:
    for name in asgiws.pubsub.__all__:
        home = HOMES.get(name, pubsub)
        assert getattr(asgiws.pubsub, name) is getattr(home, name)


def test_they_are_loaded_when_they_are_used() -> None:
    """In a new interpreter: the import itself brings in no event loop and no other part of the server."""
    code = (
        "import sys, asgiws.pubsub\n"
        "assert 'PubSub' in dir(asgiws.pubsub)\n"
        "print(sorted({'asyncio', 'ssl', 'asgiws.services', 'asgiws.topics'} & sys.modules.keys()))\n"
        "from asgiws.pubsub import *\n"
        "print(Gap('room', 3), TooMuchQueued.__name__)\n"
    )
    # What is required to be compiled is looked for, and so imported, at the start.
    mode = "no" if os.environ.get("ASGIWS_EXTENSIONS") == "no" else "auto"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ASGIWS_EXTENSIONS": mode},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == ["[]", "Gap(topic='room', lost=3) TooMuchQueued"]


def test_there_are_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Hub'"):
        asgiws.pubsub.Hub  # noqa: B018
