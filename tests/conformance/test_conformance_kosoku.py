"""A second opinion: kosoku runs the Autobahn cases with a protocol implementation of its own.

It is no substitute for the suite: its frames leave at other moments and in other cuts. Where it is
not installed, this is skipped.
"""

from __future__ import annotations

import pytest

from conformance import cases, process, servers

kosoku = pytest.importorskip("kosoku", reason="kosoku is not installed: pip install kosoku")

SECTIONS = "1,2,3,4,5,6,7,10"


@pytest.mark.parametrize("http", ["httptools", "h11"])
async def test_kosoku_finds_nothing_either(tmp_path, http):
    try:
        server = servers.asgiws(http=http, loop=None, pure=False, tls=False)
    except servers.ServerError as error:
        pytest.skip(str(error))
    chosen, port = cases.select(SECTIONS), process.free_port()
    command, environment = server.command(port), servers.environment(server)
    with process.started(command, port, environment, tmp_path / "log"):
        try:
            found = await kosoku.run_fuzzingclient(f"ws://127.0.0.1:{port}", cases=chosen)
        except kosoku.FailureError as error:
            found = error.results
    assert [one.case_id for one in found] == chosen
    informational = {"7.1.6", "7.13.1", "7.13.2"}
    assert {
        one.case_id: (one.behavior.value, one.behavior_close.value)
        for one in found
        if (one.behavior.value, one.behavior_close.value)
        != (("INFORMATIONAL",) * 2 if one.case_id in informational else ("OK", "OK"))
    } == {}
