"""The preparation in the cache folder, with pip made up; and which client is chosen."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from conformance import client, prepare
from conformance.suite import sdists


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(prepare.CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def commands(monkeypatch):
    """What would have been run; `fail` names the command that fails and how."""

    class Commands(list):
        fail: tuple[str, str] | None = None

    made = Commands()

    def run(command, **options):
        made.append(command)
        words = " ".join(command)
        failed = made.fail is not None and made.fail[0] in words
        if "download" in command and not failed:
            folder = Path(command[command.index("-d") + 1])
            for sdist in sdists.SDISTS:
                (folder / sdist.filename).write_bytes(b"not the pinned archive")
        return prepare.subprocess.CompletedProcess(
            command, int(failed), "", made.fail[1] if failed and made.fail else ""
        )

    monkeypatch.setattr(prepare.subprocess, "run", run)
    return made


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.delenv(prepare.CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert prepare.cache_folder() == tmp_path / "asgiws" / "conformance"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert prepare.cache_folder() == Path.home() / ".cache" / "asgiws" / "conformance"
    monkeypatch.setenv(prepare.CACHE_VARIABLE, str(tmp_path / "named"))
    assert prepare.cache_folder() == tmp_path / "named"


def test_a_prepared_suite_is_taken_as_it_is(cache, commands):
    prepared = prepare.Prepared(cache / prepare.suite_name())
    for path in (prepared.python, prepared.wstest):
        path.parent.mkdir(parents=True)
        path.touch()
    assert prepare.prepare(pytest.fail) == prepared
    assert commands == []
    assert client.of_prepared(prepared).argv == (str(prepared.python), str(prepared.wstest))


def test_the_name_tells_the_python_and_the_sources():
    version = f"py{sys.version_info.major}.{sys.version_info.minor}"
    assert prepare.suite_name().startswith(f"autobahn-25.10.1-{version}-")


def test_pip_is_given_the_hashes_and_what_it_brings_is_checked(cache, commands):
    said: list[str] = []
    with pytest.raises(prepare.PrepareError, match="SHA-256 is"):
        prepare.prepare(said.append)
    download = next(command for command in commands if "download" in command)
    assert "--require-hashes" in download
    assert said[0].startswith("Preparing the Autobahn testsuite 25.10.1")
    assert list(cache.iterdir()) == []  # nothing half made stays


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        (("-m venv", "Error: no ensurepip"), r"environment cannot be made \(Error: no ensurepip"),
        (
            ("install twisted", "WARNING: x\nERROR: No matching distribution\nhint: y"),
            r"could not install the suite's libraries \(ERROR: No matching distribution\)",
        ),
        (("download", ""), r"could not get the Autobahn testsuite 25\.10\.1 \(no output\)"),
        (("wsaccel", "ERROR: no wheel"), "SHA-256 is"),  # done without
    ],
)
def test_what_goes_wrong_is_one_line(cache, commands, fail, message):
    commands.fail = fail
    with pytest.raises(prepare.PrepareError, match=message) as raised:
        prepare.prepare(lambda line: None)
    assert "\n" not in str(raised.value)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(prepare.CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(prepare.PrepareError, match="the cache folder cannot be written"):
        prepare.prepare(pytest.fail)


def test_a_whole_preparation(cache, commands, monkeypatch):
    def read(sdist, folder):
        assert (folder / sdist.filename).exists()
        return {f"{sdist.name}/__init__.py": b""}

    monkeypatch.setattr(sdists, "read", read)
    tree = {"autobahn/__init__.py": b"", "wstest3.py": b"pass"}
    monkeypatch.setattr(prepare.convert, "convert", lambda files: tree)
    prepared = prepare.prepare(lambda line: None)
    assert prepared.wstest.read_bytes() == b"pass"
    assert prepared.folder.name == prepare.suite_name()
    assert not (prepared.folder / "downloads").exists()
    assert [path.name for path in cache.iterdir()] == [prepared.folder.name]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a program on an otherwise empty PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv(client.WSTEST_VARIABLE, raising=False)

    def make(name: str, says: str = "") -> Path:
        path = folder / name
        path.write_text(f"#!{sys.executable}\nprint({says!r})\n")
        path.chmod(0o755)
        return path

    return make


def test_an_installed_wstest_is_preferred(program):
    path = program("wstest", "Autobahn 0.10.9\nAutobahnTestSuite 25.10.1")
    chosen = client.choose(docker=False, say=pytest.fail)
    assert chosen.argv == (str(path),)
    assert chosen.environment == {"PYTHONUNBUFFERED": "1"}


def test_the_variable_comes_first(program, monkeypatch):
    program("wstest", "AutobahnTestSuite 25.10.1")
    other = program("other")
    monkeypatch.setenv(client.WSTEST_VARIABLE, str(other))
    assert client.choose(docker=False, say=pytest.fail).argv == (str(other),)
    monkeypatch.setenv(client.WSTEST_VARIABLE, "missing")
    with pytest.raises(client.ClientError, match="ASGIWS_WSTEST: there is no program 'missing'"):
        client.choose(docker=False, say=pytest.fail)


def test_another_program_called_wstest_is_left_alone(program, monkeypatch):
    program("wstest", "a tutorial")
    said: list[str] = []

    def prepared(say):
        raise prepare.PrepareError("no network")

    monkeypatch.setattr(prepare, "prepare", prepared)
    with pytest.raises(client.ClientError, match="cannot be prepared: no network; ASGIWS_WSTEST"):
        client.choose(docker=False, say=said.append)
    assert said == ["The wstest on PATH is not the Autobahn testsuite's; it is left alone."]


def test_docker_where_it_is_asked_for(program):
    with pytest.raises(client.ClientError, match="no docker on PATH"):
        client.choose(docker=True, say=pytest.fail)
    path = program("docker")
    chosen = client.choose(docker=True, say=pytest.fail)
    assert chosen.argv == (str(path),)
    assert not chosen.checks_certificates
    path.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon.' >&2\nexit 1\n")
    with pytest.raises(client.ClientError, match=r"^--docker: Cannot connect to the Docker daemon"):
        client.choose(docker=True, say=pytest.fail)


def test_the_digest_follows_the_sources(monkeypatch):
    before = prepare.suite_name()
    monkeypatch.setattr(prepare, "LIBRARIES", ("twisted>=99",))
    assert prepare.suite_name() != before
    assert len(before.rpartition("-")[2]) == len(hashlib.sha256().hexdigest()[:12])
