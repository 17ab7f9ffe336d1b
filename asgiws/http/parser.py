"""The interface of a head parser."""

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
