"""The choice of a head parser by name.

Rules of this file: a parser is imported only if it is chosen, so that either can serve without the other.
"""

from __future__ import annotations

from asgiws.http.parser import HeadParser


def make_parser(name: str) -> HeadParser:
    """The parser with that name: "httptools", "h11", or "auto" for the first of them that can be
    imported.

    One parser serves all connections of a worker. Raises ImportError if it is not installed.
    """
    if name == "auto":
        try:
            return make_parser("httptools")
        except ImportError:
            return make_parser("h11")
    if name == "httptools":
        from asgiws.http.httptools_adapter import HttptoolsParser

        return HttptoolsParser()
    if name == "h11":
        from asgiws.http.h11_adapter import H11Parser

        return H11Parser()
    raise ValueError(f"no HTTP parser is called {name!r}")
