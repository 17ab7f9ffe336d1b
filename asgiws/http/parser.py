"""The interface of a head parser, and the choice of one by name.

Rules of this file: a parser is imported only when it is chosen, so that one can serve without the
other.
"""

from __future__ import annotations

from asgiws.http.head import Headers


class ParserRefused(Exception):
    """A parser does not take a head that the grammar passed; its text is the parser's own."""


class HeadParser:
    """Takes a request head apart."""

    __slots__ = ()

    name = ""

    def parse(self, head: bytes) -> tuple[bytes, Headers]:
        """The target and the headers of `head`, a complete one that the grammar passed.

        Header names come lower-cased, values without whitespace around them. Raises ParserRefused.
        """
        raise NotImplementedError


def make_parser(name: str) -> HeadParser:
    """The parser of that name: "httptools", "h11", or "auto" for the first of them that can be
    imported.

    One serves all connections of a worker. Raises ImportError when it is not installed.
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
