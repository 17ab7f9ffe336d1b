"""User and password for a broker, from a file.

Rules of this file:
- The file is read for each connection, so that a password can be changed while the server runs.
- It has one line: the password, or the user, a colon and the password; a colon first if the password has one.
  What is in it appears nowhere else.
"""

from __future__ import annotations

from asgiws.topics.broker import BrokerError

#: The most octets of a file.
MOST = 65536


class Secret:
    """What is in the file at `path`, None for no file."""

    def __init__(self, path: str | None) -> None:
        self._path = path

    def read(self) -> dict[str, str]:
        """`password`, and `username` if the file has one; empty without a file. Raises BrokerError."""
        if self._path is None:
            return {}
        try:
            with open(self._path, encoding="utf-8") as file:
                text = file.read(MOST).strip()
        except OSError as error:
            raise BrokerError(f"cannot read pubsub_password_file: {error}") from None
        except UnicodeDecodeError:  # whose text has a part of it
            raise BrokerError("pubsub_password_file is not UTF-8") from None
        user, colon, password = text.partition(":")
        if not text or "\n" in text:
            raise BrokerError("pubsub_password_file needs one line: PASSWORD, or USER:PASSWORD")
        if not colon:
            return {"password": text}
        return {"username": user, "password": password} if user else {"password": password}
