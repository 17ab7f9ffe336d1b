from __future__ import annotations

import subprocess
import sys

import pytest

from asgiws.http.parsers import make_parser


@pytest.mark.parametrize("name", ["httptools", "h11"])
def test_by_name(name: str) -> None:
    assert make_parser(name).name == name


def test_auto_takes_httptools() -> None:
    assert make_parser("auto").name == "httptools"


@pytest.mark.parametrize(("name", "found"), [("auto", "h11"), ("httptools", "none")])
def test_where_httptools_is_not_installed(name: str, found: str) -> None:
    code = """
import sys
class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "httptools":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing)
from asgiws.http.parsers import make_parser
try:
    print(make_parser(sys.argv[1]).name)
except ImportError:
    print("none")
"""
    result = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True)
    assert (result.stdout.split(), result.stderr) == ([found], "")


def test_unknown() -> None:
    with pytest.raises(ValueError, match="no HTTP parser is called 'zttp'"):
        make_parser("zttp")
