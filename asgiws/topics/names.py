"""What a topic may be called.

Rules of this file: one check, whose error says what is wrong and names the limit.
"""

from __future__ import annotations

import re

#: Characters of the longest topic.
MAX_TOPIC = 255

# C0, DEL and C1; lone surrogates, which UTF-8 cannot encode.
_BAD = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class BadTopic(ValueError):
    """That cannot be a topic."""


def check(topic: object) -> str:
    """`topic` if it can be one. Raises BadTopic."""
    if type(topic) is not str:
        if not isinstance(topic, str):
            raise BadTopic(f"a topic is a str, not {type(topic).__name__}")
        topic = str.__str__(topic)
    if not 1 <= len(topic) <= MAX_TOPIC:
        raise BadTopic(
            f"a topic has 1 to {MAX_TOPIC} characters (max_topic), and this one {len(topic)}"
        )
    if not topic.isascii() or not topic.isprintable():
        bad = _BAD.search(topic)
        if bad is not None:
            what = "a lone surrogate" if bad[0] >= "\ud800" else "a control character"
            raise BadTopic(
                f"a topic has no control characters and is valid UTF-8: {what} in {topic!r:.80}"
            )
    return topic
