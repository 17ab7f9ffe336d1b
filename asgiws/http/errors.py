"""What can be wrong with a request, and with a response that the application makes.

Rules of this file:
- HTTPError is the peer's doing (or a limit's); it carries the status to answer with and a message
  that is safe to send back: it never repeats bytes of the request.
- InvalidResponse is the application's own mistake; nothing of the message it stands for was sent.
"""

from __future__ import annotations

from collections.abc import Sequence


class HTTPError(Exception):
    """A request that is refused: `status` is the answer's, `message` its text, `headers` what it has
    beside the usual. `limit` names the option that was exceeded, for the log."""

    status = 400

    def __init__(
        self, message: str, limit: str = "", headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.limit = limit
        self.headers = headers


class BadRequest(HTTPError):
    """Malformed, ambiguous, or framed in a way that two servers could read differently."""


class Forbidden(HTTPError):
    status = 403


class RequestTimeout(HTTPError):
    status = 408


class ContentTooLarge(HTTPError):
    status = 413


class URITooLong(HTTPError):
    status = 414


class ExpectationFailed(HTTPError):
    status = 417


class TooManyRequests(HTTPError):
    status = 429


class HeaderFieldsTooLarge(HTTPError):
    status = 431


class NotImplementedHere(HTTPError):
    status = 501


class ServiceUnavailable(HTTPError):
    status = 503


class VersionNotSupported(HTTPError):
    status = 505


class InvalidResponse(ValueError):
    """A response, or a piece of one, that cannot be sent as it is."""
