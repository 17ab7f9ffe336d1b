"""The head of a request, parsed, checked and interpreted.

Rules of this file: values only. A RequestHead is created only in `semantics.py`, so every RequestHead is known
to have passed every check. Afterwards nobody changes it except `drivers/forwarding.py`, which inserts what a
trusted proxy says before anything else reads it.
"""

from __future__ import annotations

from typing import Any

Headers = list[tuple[bytes, bytes]]


class RequestHead:
    """One request's head.

    `headers` are (lower-cased name, value without surrounding whitespace) in the order of arrival.
    `raw_path` is the target's path as sent, b"*" for the asterisk-form; `query` is what follows the
    "?". `content_length` is -1 if the field is absent. `keep_alive` says whether the client wants
    the connection to persist. `expect_continue` is true if it waits for `100 Continue` before it
    sends a body. `upgrade` are the protocols that it asks to upgrade to, lower-cased: empty unless
    the Connection field has the upgrade option too, and in HTTP/1.0 (RFC 9110 7.8). `has_forwarded`
    says that Forwarded or one of X-Forwarded-* is present; `origin` is for the trusted part of
    them, set by the code that knows the proxies, and None until then.
    """

    __slots__ = (
        "chunked",
        "content_length",
        "expect_continue",
        "has_forwarded",
        "headers",
        "http_version",
        "keep_alive",
        "method",
        "origin",
        "query",
        "raw_path",
        "target",
        "upgrade",
    )

    def __init__(
        self,
        method: str,
        target: bytes,
        raw_path: bytes,
        query: bytes,
        http_version: str,
        headers: Headers,
    ) -> None:
        self.method = method
        self.target = target
        self.raw_path = raw_path
        self.query = query
        self.http_version = http_version
        self.headers = headers
        self.content_length = -1
        self.chunked = False
        self.keep_alive = http_version == "1.1"
        self.expect_continue = False
        self.upgrade: list[bytes] = []
        self.has_forwarded = False
        self.origin: Any = None

    def has_body(self) -> bool:
        """RFC 9112 6: there is a body if the framing says so."""
        return self.chunked or self.content_length > 0

    def get(self, name: bytes, default: bytes | None = None) -> bytes | None:
        """The value of the first field with that (lower-cased) name."""
        for field, value in self.headers:
            if field == name:
                return value
        return default

    def get_all(self, name: bytes) -> list[bytes]:
        """The values of all fields with that (lower-cased) name, in order."""
        return [value for field, value in self.headers if field == name]

    def tokens(self, name: bytes) -> list[bytes]:
        """The members of a comma-separated list, over all fields with that name, lower-cased."""
        return list_members(self.get_all(name))

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {self.target!r} HTTP/{self.http_version}>"


def list_members(values: list[bytes]) -> list[bytes]:
    """RFC 9110 5.6.1: the members of a list, lower-cased, without the empty ones."""
    members: list[bytes] = []
    for value in values:
        for member in value.lower().split(b","):
            member = member.strip(b" \t")
            if member:
                members.append(member)
    return members
