"""The keys of session tickets (RFC 5077, 4; RFC 8446, 4.6.1): the same in all workers, and after a reload.

Rules of this file:
- A client resumes a session with whatever worker it meets, so their keys come from one secret: of the
  supervisor, or of the process if there is none. It is only in memory, and in the channel to a worker.
- The keys change every LIFE seconds, in all workers at the same time: the next secret is a hash of the last,
  which is forgotten, so that nobody who reads a process's memory can decrypt earlier tickets. OpenSSL keeps one
  set of keys; a client whose ticket is from before the change makes a full handshake.
- The keys also depend on what a session has established, the context's `binding`: with another authority for
  clients, or a certificate with other names, no ticket from before is accepted.
- If the keys cannot be set, each context keeps the keys that OpenSSL made for it.
"""

from __future__ import annotations

import hmac
import logging
import os
import struct
import time

from asgiws.tls.context import ServerContext
from asgiws.tls.openssl import Unavailable, set_ticket_keys

logger = logging.getLogger("asgiws.error")

#: Seconds for which one set of keys is used.
LIFE = 12 * 3600.0

#: Octets of a secret.
SECRET = 32

_PACKED = struct.Struct(f"!{SECRET}sd")


class Tickets:
    """A secret, and the time of `time.monotonic()` since when it is in use."""

    def __init__(self, secret: bytes, since: float) -> None:
        self._secret = secret
        self._since = since

    @classmethod
    def fresh(cls) -> Tickets:
        return cls(os.urandom(SECRET), time.monotonic())

    @classmethod
    def unpacked(cls, data: bytes) -> Tickets:
        """What `packed` has packed. Raises ValueError."""
        try:
            return cls(*_PACKED.unpack(data))
        except struct.error:
            raise ValueError(f"{len(data)} octets are no secret") from None

    def packed(self) -> bytes:
        """For another process on this machine: the secret that is due now."""
        self.turn(time.monotonic())
        return _PACKED.pack(self._secret, self._since)

    def turn(self, now: float) -> bool:
        """Forget the secret if its time is over; true if there is another one now."""
        turned = False
        while now - self._since >= LIFE:
            self._secret = hmac.digest(self._secret, b"the next secret", "sha256")
            self._since += LIFE
            turned = True
        return turned

    def keys(self, binding: bytes, size: int) -> bytes:
        """`size` octets for contexts with that binding (HKDF-Expand; RFC 5869, 2.3)."""
        block = keys = b""
        count = 0
        while len(keys) < size:
            count += 1
            info = b"ticket keys " + binding + bytes((count,))
            block = hmac.digest(self._secret, block + info, "sha256")
            keys += block
        return keys[:size]

    def use(self, context: ServerContext) -> bool:
        """Encrypt the tickets of `context` with these keys. False if that is impossible."""
        try:
            set_ticket_keys(context, lambda size: self.keys(context.binding, size))
        except Unavailable as error:
            logger.debug("Sessions are resumed by one worker and certificate only: %s", error)
            return False
        return True
