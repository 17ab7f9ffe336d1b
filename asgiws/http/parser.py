"""The interface of a head parser."""

from __future__ import annotations

from asgiws.http.head import Headers


class ParserRefused(Exception):
    """A parser rejects a head that passed the grammar; the text is the parser's own."""


class HeadParser:
    """Takes a request head apart."""

    __slots__ = ()

    name = ""

    def parse(self, head: bytes) -> tuple[bytes, Headers]:
        """The target and the headers of `head`, a complete one that passed the grammar.

        Header names are lower-cased, values have no whitespace around them. Raises ParserRefused.
        """
        raise NotImplementedError
