"""What Python's `ssl` does not offer: OpenSSL's own functions, for the contexts that Python has created.

Rules of this file:
- The functions are those of the library that `ssl` itself uses; a second OpenSSL in the process has others.
- A context is passed to OpenSSL only after `_library` has established, once in a process, that the pointer in
  an SSLContext is what we believe: memory that cannot be read is found by the kernel, so nothing here can
  crash. On any doubt the answer is Unavailable, and the server does without.
"""

from __future__ import annotations

import ctypes
import functools
import os
import ssl
import sys
from collections.abc import Callable
from typing import Any

#: Commands of SSL_CTX_ctrl, from OpenSSL's ssl.h.
GET_TICKET_KEYS, SET_TICKET_KEYS = 58, 59

#: How many octets the keys of tickets have: since OpenSSL 1.1.1; before, and in LibreSSL.
SIZES = (80, 48)

#: A context is at least that large.
_LEAST = 1024

#: Options that mean something for DTLS alone: SSL_OP_NO_QUERY_MTU, SSL_OP_COOKIE_EXCHANGE.
_MARKS = (0x1000, 0x2000)


class Unavailable(Exception):
    """OpenSSL cannot be called for a context. Says why."""


def set_ticket_keys(context: ssl.SSLContext, derive: Callable[[int], bytes]) -> None:
    """Encrypt the session tickets of `context` with `derive(size)`, as many octets as OpenSSL wants.

    Raises Unavailable; then the context is as it was.
    """
    library = _library()
    pointer = ctypes.c_void_p(_address(context))
    size = library.SSL_CTX_ctrl(pointer, SET_TICKET_KEYS, 0, None)
    if size not in SIZES:
        raise Unavailable(f"the keys of tickets have {size} octets")
    keys = derive(size)
    if library.SSL_CTX_ctrl(pointer, SET_TICKET_KEYS, size, keys) != 1:
        raise Unavailable("OpenSSL does not take keys for tickets")


def ticket_keys(context: ssl.SSLContext) -> bytes:
    """The keys that `context` encrypts tickets with. Raises Unavailable."""
    library = _library()
    pointer = ctypes.c_void_p(_address(context))
    size = library.SSL_CTX_ctrl(pointer, GET_TICKET_KEYS, 0, None)
    keys = ctypes.create_string_buffer(max(size, 1))
    if library.SSL_CTX_ctrl(pointer, GET_TICKET_KEYS, size, keys) != 1:
        raise Unavailable("OpenSSL does not give the keys of tickets")
    return keys.raw


@functools.cache
def _outcome() -> tuple[Any, str]:
    """The library, or None and why not. It is looked for once: it stays the same."""
    try:
        return _find(), ""
    except Unavailable as error:
        return None, str(error)
    except (AttributeError, OSError, ImportError, TypeError) as error:
        return None, f"OpenSSL's functions were not found: {error}"


def _library() -> Any:
    library, why = _outcome()
    if library is None:
        raise Unavailable(why)
    return library


def _find() -> Any:
    if sys.implementation.name != "cpython":
        raise Unavailable("this is not CPython")
    import _ssl

    # Its own symbols, and those of the libraries that it was linked with.
    library = ctypes.PyDLL(getattr(_ssl, "__file__", None))
    library.OpenSSL_version_num.restype = ctypes.c_ulong
    library.OpenSSL_version.restype = ctypes.c_char_p
    library.SSL_CTX_get_options.restype = ctypes.c_uint64
    library.SSL_CTX_get_options.argtypes = (ctypes.c_void_p,)
    library.SSL_CTX_ctrl.restype = ctypes.c_long
    library.SSL_CTX_ctrl.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p)
    version = library.OpenSSL_version(0)
    if (
        library.OpenSSL_version_num() != ssl.OPENSSL_VERSION_NUMBER
        or version.decode("ascii", "replace") != ssl.OPENSSL_VERSION
    ):
        raise Unavailable("another OpenSSL than that of Python's ssl was found")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    address = _address(context)
    before = context.options
    for mark in (0, *_MARKS, sum(_MARKS)):
        context.options = before ^ mark
        if library.SSL_CTX_get_options(address) != _unsigned(context.options):
            raise Unavailable("an SSLContext is not laid out as expected")
    return library


def _address(context: ssl.SSLContext) -> int:
    """Where OpenSSL's SSL_CTX is: the first field of an SSLContext. Raises Unavailable if that cannot be."""
    place = id(context) + object.__basicsize__
    address = ctypes.c_void_p.from_address(place).value or 0
    if not address or address % ctypes.sizeof(ctypes.c_void_p) or not _is_readable(address):
        raise Unavailable("an SSLContext does not begin with a pointer")
    return address


def _is_readable(address: int) -> bool:
    """Whether there is memory at `address`; the kernel is asked, which answers with an error if not."""
    reading, writing = os.pipe()
    try:
        return os.write(writing, (ctypes.c_char * _LEAST).from_address(address)) == _LEAST
    except OSError:
        return False
    finally:
        os.close(reading)
        os.close(writing)


def _unsigned(options: int) -> int:
    return options & 0xFFFFFFFFFFFFFFFF
