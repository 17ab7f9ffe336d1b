from __future__ import annotations

import pytest

from asgiws.http.parser import HeadParser
from asgiws.http.parsers import make_parser


@pytest.fixture(params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest) -> HeadParser:
    return make_parser(request.param)
