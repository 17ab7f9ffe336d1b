"""A handful of the suite's cases, really run against asgiws."""

from __future__ import annotations

import os
import shutil

import pytest

from conformance import cli, prepare, results, servers

# Framing, pings, a message and an illegal frame in one read, UTF-8 inside a frame, a close frame in
# the middle of a message, compression.
CASES = "1.1.1,1.2.8,2.10,3.2,4.1.3,5.15,6.4.3,7.1.5,7.1.6,7.3.1,10,12.1.1,13.3.1"


@pytest.fixture
def can_run():
    try:
        servers.asgiws(http=None, loop=None, pure=False, tls=False)
    except servers.ServerError as error:
        pytest.skip(str(error))
    wstest = os.environ.get("ASGIWS_WSTEST") or shutil.which("wstest")
    if prepare.cached() is None and wstest is None:
        pytest.skip("the suite is not prepared here: python -m conformance --prepare")


@pytest.mark.usefixtures("can_run")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("variant", [[], ["--http", "h11", "--loop", "asyncio", "--pure", "--tls"]])
def test_some_cases(tmp_path, capfd, variant):
    code = cli.main(["--cases", CASES, "--output", str(tmp_path), *variant])
    captured = capfd.readouterr()
    assert code == cli.EXPECTED, captured.out + captured.err
    (server,) = results.read_summary(tmp_path / "summary.json").servers
    assert len(server.cases) == len(server.runs[0].cases) == 13
    assert server.runs[0].tracebacks == 0
    if "--pure" in variant:
        assert "pure" in server.version
