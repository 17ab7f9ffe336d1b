"""What the tests of real processes share.

Rules of this file: a server serves all the tests of a module; each test has a name of its own, by which
`apps.py` tells its connections from others.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pki import Certificate, issue
from tests.support.raw import Desk, unused_name
from tests.support.server import RunningServer, serve
from tests.support.service_manager import Manager


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """`apps.py`, served with the OPTIONS of the test's module."""
    with serve("apps:app", *getattr(request.module, "OPTIONS", ())) as server:
        yield server


@pytest.fixture(scope="module")
def faulty(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """The same for applications that raise: tracebacks in the log are expected."""
    options = getattr(request.module, "OPTIONS", ())
    with serve("apps:app", *options, expect_errors=True) as server:
        yield server


@pytest.fixture
def desk(server: RunningServer) -> Desk:
    return Desk(server)


@pytest.fixture
def name() -> str:
    return unused_name()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return issue(tmp_path_factory.mktemp("tls"), "localhost", "127.0.0.1")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    result = Manager(str(tmp_path / "notify"))
    yield result
    result.close()
