r"""The changes that take the suite from Python 2 to Python 3, as data.

How the Python 2 text model is kept: the cases handle payloads as Python 2 `str`, octets. They stay
`str` here, one character per octet, become bytes where a case calls the protocol (sendFrame,
sendMessage, ...) and `str` again where the protocol calls a case (onMessage, onPong). So the case
files need changes of syntax alone, and the border is one class, `Boundary` in `runtime/py3.py`.

Rules of this file:
- SYNTAX goes over every file of the suite; a pattern may match any number of times.
- PATCHES are exact: each must match `times` times, in its file.
- Search strings are as short as they can be and still match nothing else.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Patch(NamedTuple):
    """In `file`, `old` stands exactly `times` times and becomes `new`."""

    file: str
    old: str
    new: str
    times: int = 1


_SIBLINGS = r"(case\w*|caseset|report|spectemplate)"

SYNTAX = [
    (re.compile(pattern, re.MULTILINE), replacement)
    for pattern, replacement in (
        (r"^(\s*)print[ \t]+(\S.*)$", r"\1print(\2)"),
        (r"^(\s*)print[ \t]*$", r"\1print()"),
        (r"([\w.\[\]]+)\.has_key\(([^()]*)\)", r"(\2 in \1)"),
        (r"\bxrange\(", "range("),
        (r"\bunichr\(", "chr("),
        (r"except (\w+), ?(\w+):", r"except \1 as \2:"),
        (r"^from " + _SIBLINGS + r" import", r"from .\1 import"),
        (r"\.tostring\(\)", ".tobytes()"),
        # Case was an old-style class: (object, Case) has no method resolution order on Python 3
        (r"\(object, Case, ?\)", "(Case,)"),
        (r"\bbinascii\.b2a_hex\(", "_py3.b2a_hex("),
        (
            r'pkg_resources\.resource_filename\(\s*"autobahntestsuite",\s*',
            "_py3.resource_filename(",
        ),
        (r", pkg_resources\b", ""),
        (r"replace\('\.', '\\\.'\)", r"replace('.', '\\\\.')"),
    )
]

_CASE = "autobahntestsuite/case/"
_FUZZING = "autobahntestsuite/fuzzing.py"

PATCHES = (
    # integer division
    Patch(
        _CASE + "case10_1_1.py",
        "len(self.payload) / self.p.autoFragmentSize",
        "len(self.payload) // self.p.autoFragmentSize",
    ),
    Patch(
        "autobahn/websocket/protocol.py",
        "range(payload_len / len(payload))",
        "range(payload_len // len(payload))",
    ),
    # invalid escapes, a warning from Python 3.12 on
    Patch("autobahn/util.py", r"replace('.', '\.')", r"replace('.', '\\.')"),
    Patch("autobahn/wamp/uri.py", r'"\."', r'"\\."'),
    # case 9.9.1 is not in the list of cases and needs an old zope.interface
    Patch(_CASE + "__init__.py", "from .case9_9_1 import *\n", ""),
    # the validator wants octets
    Patch(_CASE + "case6_x_x.py", "v.validate(vss[:i])", "v.validate(_py3.octets(vss[:i]))"),
    # compare values, not pickles: pickle memoises by object identity
    Patch(
        _CASE + "case.py",
        "return pickle.dumps(obj1) == pickle.dumps(obj2)",
        "return obj1 == obj2",
    ),
    # cases 12 and 13 work on real octets (files, SHA-1)
    Patch(
        _CASE + "case12_x_x.py",
        "def onMessage(self, msg, binary):\n",
        "def onMessage(self, msg, binary):\n   msg = _py3.octets(msg)\n",
    ),
    # what is logged and reported
    Patch(_FUZZING, "p = ''.join(payload)", "p = b''.join(payload)"),
    Patch(
        _FUZZING,
        "def binLogData(data, maxlen = 64):\n",
        "def binLogData(data, maxlen = 64):\n   data = _py3.octets(data)\n",
    ),
    Patch(
        _FUZZING,
        'def asciiLogData(data, maxlen = 64, replace = False):\n   ellipses = " ..."\n',
        "def asciiLogData(data, maxlen = 64, replace = False):\n"
        '   data = _py3.octets(data)\n   ellipses = b" ..."\n',
    ),
    Patch(
        _FUZZING,
        "self.http_request_data if hasattr(self, 'http_request_data') else '?'",
        "_py3.text(getattr(self, 'http_request_data', '?'))",
    ),
    Patch(
        _FUZZING,
        "self.http_response_data if hasattr(self, 'http_response_data') else '?'",
        "_py3.text(getattr(self, 'http_response_data', '?'))",
    ),
    Patch(
        _FUZZING,
        '"localCloseReason": self.localCloseReason,',
        '"localCloseReason": _py3.text(self.localCloseReason),',
    ),
    Patch(
        _FUZZING,
        '"remoteCloseReason": self.remoteCloseReason,',
        '"remoteCloseReason": _py3.text(self.remoteCloseReason),',
    ),
    Patch(_FUZZING, "report_filename), 'w')", "report_filename), 'w', encoding = 'utf-8')", 4),
    Patch(
        _FUZZING,
        '(c[0], case[c[0]], c[1])).encode("utf-8"))',
        "(c[0], case[c[0]], c[1])))",
    ),
    Patch(_FUZZING, "ll.encode('utf8')))", "ll))"),
    Patch(_FUZZING, "mmask = _py3.b2a_hex(t[6])", "mmask = t[6]"),
    # wss://: each server of a specification has a context of its own, also after the first
    Patch(_FUZZING, "connectWS(self)", "connectWS(self, contextFactory=self.contextFactory)", 2),
    # the boundary: octets go in and out of the cases as text of one character per octet
    Patch(_FUZZING, "class FuzzingProtocol:\n", "class FuzzingProtocol(_py3.Boundary):\n"),
    Patch(
        _FUZZING,
        "self.runCase.onMessage(msg, binary)",
        "self.runCase.onMessage(_py3.text(msg), binary)",
    ),
    Patch(
        _FUZZING,
        "self.runCase.onPong(payload)",
        "self.runCase.onPong(_py3.text(payload))",
    ),
)
