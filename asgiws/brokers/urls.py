"""The parts of a broker's URL.

Rules of this file: what is wrong is a StartError, which repeats nothing of the URL: if a password is not
percent-encoded, any part may be one of it.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from asgiws.config import StartError

_WRONG = "pubsub: that URL cannot be used:"


def url_parts(rest: str) -> SplitResult:
    """The parts of a URL, of which `rest` comes behind "://". Raises StartError."""
    try:
        parts = urlsplit(f"redis://{rest}")
    except ValueError:
        raise StartError(f"{_WRONG} it is malformed") from None
    is_password = "@" in parts.query or ("@" in parts.path and "@" not in parts.netloc)
    if (is_password and parts.netloc) or "#" in rest:
        raise StartError(f"{_WRONG} '/', '?', '#' and '@' of a password are percent-encoded")
    return parts


def address(text: str, default: int) -> tuple[str, int]:
    """Host and port of `HOST[:PORT]`; `default` is the port if there is none. Raises StartError."""
    try:
        parts = urlsplit(f"//{text}")
        name, port = parts.hostname, parts.port
    except ValueError:
        raise StartError(f"{_WRONG} a port is a number up to 65535") from None
    if text != "localhost" and (not name or parts.path):
        raise StartError(f"{_WRONG} a host is missing")
    return name or "localhost", port or default
