"""What the tests behind proxies share: the programs, or the reason why they are not there."""

from __future__ import annotations

import pytest

from tests.proxies import programs


@pytest.fixture(scope="session")
def installed() -> None:
    """nginx and HAProxy are there. Tests that ask for it get more time for the sake of apt-get."""
    reason = programs.install()
    if reason:
        pytest.skip(reason)
