"""The grammar of a request head and of a chunked body, as regular expressions.

Rules of this file:
- Each pattern is named after the RFC rule that it implements. The patterns are strict: what a
  recipient MAY tolerate (a bare LF, whitespace around the colon, obs-fold) is not tolerated, because
  each tolerance lets two servers interpret one request differently (RFC 9112 11.2).
- REQUEST_HEAD accepts exactly the heads in which every line passes `check_request_line` or
  `check_field_line`; a test compares the two. The pattern is the fast path for valid heads, the
  functions say what is wrong and where.
- Messages name the place by line number and a byte by its code; bytes of the request are never
  repeated.
"""

from __future__ import annotations

import re

from asgiws.fields import FIELD_VALUE, TCHAR, TOKEN
from asgiws.http.errors import BadRequest

# RFC 9112 3.2 is stricter about the target; semantics.py distinguishes its forms.
REQUEST_TARGET = rb"[\x21-\x7e]+"
CRLF = rb"\r\n"

# RFC 9112 2.3: HTTP-name is case-sensitive.
REQUEST_LINE = rb"(" + TOKEN + rb") (" + REQUEST_TARGET + rb") HTTP/([0-9]\.[0-9])" + CRLF
FIELD_LINE = TOKEN + rb":" + FIELD_VALUE + CRLF

request_line = re.compile(REQUEST_LINE)
request_head = re.compile(REQUEST_LINE + rb"(?:" + FIELD_LINE + rb")*" + CRLF)
field_line = re.compile(rb"(" + TOKEN + rb"):[ \t]*(" + FIELD_VALUE + rb")" + CRLF)
field_value = re.compile(FIELD_VALUE)
token = re.compile(TOKEN)
token_list = re.compile(rb"[ \t]*" + TOKEN + rb"[ \t]*(?:,[ \t]*" + TOKEN + rb"[ \t]*)*")

# RFC 9110 5.6.4
QUOTED_STRING = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
# RFC 9112 7.1.1; more than 16 hexadecimal digits cannot be a meaningful size.
CHUNK_EXT = (
    rb"[ \t]*;[ \t]*" + TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb"|" + QUOTED_STRING + rb"))?"
)
chunk_line = re.compile(rb"([0-9A-Fa-f]{1,16})(?:" + CHUNK_EXT + rb")*" + CRLF)

# RFC 3986 3.2.2 and 3.2.3: host [":" port] without userinfo (RFC 9110 4.2.4); reg-name may be
# empty.
HOST = (
    rb"(?:\[(?:[0-9A-Fa-f:.]+|[vV][0-9A-Fa-f]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+)\]"
    rb"|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)"
)
host = re.compile(HOST + rb"(?::[0-9]*)?")
absolute_form = re.compile(
    rb"[Hh][Tt][Tt][Pp][Ss]?://((?:" + HOST + rb")(?::[0-9]*)?)((?:/[^?#]*)?)(?:\?([^#]*))?"
)
# RFC 9110 8.6
content_length = re.compile(rb"[0-9]{1,18}")

_field_name_end = re.compile(rb"[^" + TCHAR + rb"]")
_control = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_method_start = re.compile(rb"[" + TCHAR + rb"]")


def check_first_byte(data: bytes, pos: int) -> None:
    """Reject data that is not HTTP at all (such as TLS on a plain port) before a line has ended."""
    if _method_start.match(data, pos) is None:
        raise BadRequest(
            f"the request does not start with a method (first byte 0x{data[pos]:02x}); is this TLS?"
        )


def _check_line_end(line: bytes, where: str) -> None:
    """Reject a line, given with its LF, that does not end in CRLF or contains a CR or NUL."""
    if not line.endswith(b"\r\n"):
        raise BadRequest(f"bare LF at the end of {where}")
    if b"\r" in line[:-2]:
        raise BadRequest(f"bare CR in {where}")
    if b"\x00" in line:
        raise BadRequest(f"NUL byte in {where}")


def check_request_line(line: bytes) -> None:
    """Raise BadRequest unless `line` (with its line end) is a request-line (RFC 9112 3)."""
    check_first_byte(line, 0)
    if request_line.fullmatch(line) is not None:
        return
    _check_line_end(line, "the request line")
    parts = line[:-2].split(b" ")
    if len(parts) != 3:
        raise BadRequest("the request line is not 'method target version' with single spaces")
    if token.fullmatch(parts[0]) is None:
        raise BadRequest("invalid character in the method")
    if re.fullmatch(REQUEST_TARGET, parts[1]) is None:
        raise BadRequest("invalid character in the request target")
    raise BadRequest("the request line does not end in an HTTP version such as HTTP/1.1")


def check_field_line(line: bytes, where: str) -> None:
    """Raise BadRequest, saying why, unless `line` (with its line end) is a field-line (RFC 9112 5).

    `where` names the line for the message, as in "header line 3".
    """
    if field_line.fullmatch(line) is not None:
        return
    _check_line_end(line, where)
    if line[0] in b" \t":
        # RFC 9112 2.2 (before the first header) and 5.2 (obs-fold)
        raise BadRequest(f"whitespace at the start of {where} (obsolete line folding)")
    colon = line.find(b":")
    if colon < 0:
        raise BadRequest(f"no colon in {where}")
    if colon == 0:
        raise BadRequest(f"no name before the colon in {where}")
    if line[colon - 1] in b" \t":
        # RFC 9112 5.1: "A server MUST reject, with a response status code of 400"
        raise BadRequest(f"whitespace before the colon in {where}")
    wrong = _field_name_end.search(line, 0, colon)
    if wrong is not None:
        raise BadRequest(f"invalid character 0x{line[wrong.start()]:02x} in the name in {where}")
    wrong = _control.search(line, colon, len(line) - 2)
    assert wrong is not None
    raise BadRequest(f"control character 0x{line[wrong.start()]:02x} in the value in {where}")


def split_fields(head: bytes) -> list[tuple[bytes, bytes]]:
    """The (lower-cased name, value) pairs of a head that `request_head` has accepted."""
    return [
        (name.lower(), value.rstrip(b" \t"))
        for name, value in field_line.findall(head, head.index(b"\r\n") + 2)
    ]
