"""For the tests of abuse: `abuse`, which serves an application and measures the server meanwhile."""

from __future__ import annotations

import resource
import sys

import pytest

from tests.abuse.harness import Abuse
from tests.support.pki import Certificate, issue

if sys.platform != "linux":
    collect_ignore_glob = ["test_*.py"]  # they measure by /proc

# The abuser has many connections; the usual soft limit, 1024, is too low for it.
_HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (_HARD, _HARD))


@pytest.fixture
def abuse(request: pytest.FixtureRequest) -> Abuse:
    """What is recorded stands under the test's name and the first paragraph of its docstring: the threat."""
    threat = " ".join((request.function.__doc__ or "").partition("\n\n")[0].split())
    assert threat, "a test of abuse says in its docstring what the threat is"
    return Abuse(f"{request.path.name}::{request.node.name}", threat.rstrip("."))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return issue(tmp_path_factory.mktemp("tls"), "localhost")
