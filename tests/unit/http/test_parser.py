from __future__ import annotations

import sys

import pytest

from asgiws.http.parser import HeadParser, make_parser


@pytest.mark.parametrize("name", ["httptools", "h11"])
def test_by_name(name: str) -> None:
    assert make_parser(name).name == name


def test_auto_takes_httptools() -> None:
    assert make_parser("auto").name == "httptools"


def test_auto_takes_h11_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asgiws.http.httptools_adapter", raising=False)
    monkeypatch.setitem(sys.modules, "httptools", None)
    assert make_parser("auto").name == "h11"
    with pytest.raises(ImportError):
        make_parser("httptools")


def test_unknown() -> None:
    with pytest.raises(ValueError, match="no HTTP parser is called 'zttp'"):
        make_parser("zttp")


def test_the_interface_parses_nothing() -> None:
    with pytest.raises(NotImplementedError):
        HeadParser().parse(b"")
