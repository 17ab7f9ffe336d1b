"""The environment of the peers: one that cannot be installed stops no other."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import peers, servers

# A pip that knows a package or two.
PIP = """
import pathlib, sys
here = pathlib.Path(__file__).parent
if sys.argv[-1].partition("==")[0] not in (here / "known").read_text().split():
    sys.exit("ERROR: No matching distribution found for " + sys.argv[-1])
with (here / "installed").open("a") as installed:
    print(sys.argv[-1], file=installed)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install with the pip above, which knows these packages; what was said, and what was installed."""
    (tmp_path / "pip.py").write_text(PIP)
    (tmp_path / "peers.txt").write_text("# peers\none==1\ntwo==2; python_version > '3'  # new\n")
    monkeypatch.setattr(peers, "REQUIREMENTS", tmp_path / "peers.txt")

    def run(known: str) -> tuple[list[str], list[str]]:
        (tmp_path / "known").write_text(known)
        said: list[str] = []
        peers._install([sys.executable, str(tmp_path / "pip.py")], tmp_path, said.append)
        return said, (tmp_path / "installed").read_text().splitlines()

    return run


def test_all_are_installed_once(install, tmp_path):
    assert install("one two") == ([], ["one==1", "two==2; python_version > '3'"])
    assert (tmp_path / "complete").exists()


def test_one_that_cannot_be_installed_is_told_and_tried_again(install, tmp_path):
    said, installed = install("two")
    assert said == ["one==1 cannot be installed: ERROR: No matching distribution found for one==1"]
    assert installed == ["two==2; python_version > '3'"]
    assert not (tmp_path / "complete").exists()


def test_none_at_all_is_an_error(install):
    with pytest.raises(peers.PeersError, match=r"cannot be installed .*--peers-bin"):
        install("three")


def test_each_python_has_an_environment_of_its_own():
    assert peers.python_version(Path(sys.executable)) == servers.PYTHON
    assert peers.environment("3.11") != peers.environment("3.13")
    with pytest.raises(peers.PeersError, match="cannot be run"):
        peers.python_version(Path("/no/python"))


@pytest.mark.parametrize(
    ("name", "python", "why"),
    [
        ("weft", "3.11", "weft: it is for Python from 3.12, and this is 3.11"),
        ("granian-rust", "3.13", "granian-rust: it is for Python before 3.12, and this is 3.13"),
        ("weft", "3.13", "weft: there is no weft in "),
    ],
)
def test_a_peer_that_is_not_for_a_python(tmp_path, name, python, why):
    with pytest.raises(servers.ServerError, match=why):
        servers.peer(name, tmp_path, python)


def test_a_peer_of_a_further_python_has_it_in_its_name(tmp_path):
    (tmp_path / "weft").write_text("#!/bin/sh\n")
    (tmp_path / "weft").chmod(0o755)
    server = servers.peer("weft", tmp_path, "3.13", further=True)
    assert (server.name, server.python) == ("weft@3.13", "3.13")
    assert "--tls-cert" in server.tls_argv
