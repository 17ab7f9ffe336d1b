"""The application of `pubsub_workers_app.py` with topics for any server: the broker is in PUBSUB_URL."""

from __future__ import annotations

import os

from asgiws.pubsub import PubSubMiddleware
from tests.integration.pubsub_workers_app import app as inner

app = PubSubMiddleware(inner, url=os.environ["PUBSUB_URL"])
