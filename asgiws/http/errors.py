"""Errors in a request, and in a response from the application.

Rules of this file:
- HTTPError is caused by the peer (or a limit); it has the status of the response and a message that is
  safe to send back: it never repeats bytes of the request.
- InvalidResponse is the application's own mistake; nothing of the message that caused it was sent.
"""

from __future__ import annotations

from collections.abc import Sequence


class HTTPError(Exception):
    """A request that is rejected: `status` is the status of the response, `message` its text, `headers`
    are additional headers. `limit` names the option that was exceeded, for the log."""

    status = 400

    def __init__(
        self, message: str, limit: str = "", headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.limit = limit
        self.headers = headers


class BadRequest(HTTPError):
    """Malformed, ambiguous, or framed in a way that two servers could interpret differently."""


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
    """A response, or a part of one, that cannot be sent as it is."""
