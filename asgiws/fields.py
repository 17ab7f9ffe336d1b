"""The grammar of names and values of header fields (RFC 9110, 5.5 and 5.6.2), for every part that reads them.

Rules of this file: expressions only; it imports nothing from the package, so that every layer may use it.
"""

from __future__ import annotations

# 5.6.2
TCHAR = rb"!#$%&'*+\-.^_`|~0-9A-Za-z"
TOKEN = rb"[" + TCHAR + rb"]+"
# 5.5: field-vchar, SP and HTAB; all control characters except HTAB are excluded.
FIELD_VALUE = rb"[\t\x20-\x7e\x80-\xff]*"
