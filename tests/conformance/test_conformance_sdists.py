"""The pinned archives: nothing is read from one that is not the pinned one."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile

import pytest

from conformance.suite import sdists


def archive(files: dict[str, bytes]) -> bytes:
    """A .tar.gz with those files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


def pinned(data: bytes) -> sdists.Sdist:
    return sdists.Sdist("made", "1.0", hashlib.sha256(data).hexdigest(), re.compile(r"pkg/\w+\.py"))


def test_only_kept_files_are_read(tmp_path):
    data = archive(
        {
            "made-1.0/pkg/a.py": b"a",
            "made-1.0/pkg/b.txt": b"b",
            "made-1.0/pkg/../../evil.py": b"c",
            "made-1.0/setup.py": b"d",
            "/pkg/a.py/../x.py": b"e",
        }
    )
    (tmp_path / "made-1.0.tar.gz").write_bytes(data)
    assert sdists.read(pinned(data), tmp_path) == {"pkg/a.py": b"a"}


def test_another_hash_is_an_error(tmp_path):
    data = archive({"made-1.0/pkg/a.py": b"a"})
    (tmp_path / "made-1.0.tar.gz").write_bytes(data + b"\0")
    with pytest.raises(sdists.SdistError, match=r"made-1\.0\.tar\.gz: SHA-256 is [0-9a-f]{64}"):
        sdists.read(pinned(data), tmp_path)


def test_the_pins_are_hashes():
    for sdist in sdists.SDISTS:
        assert re.fullmatch(r"[0-9a-f]{64}", sdist.sha256)
        assert sdist.requirement == f"{sdist.name}=={sdist.version} --hash=sha256:{sdist.sha256}"


def test_what_is_kept_of_the_suite():
    suite, library = sdists.SDISTS
    kept = suite.keep.fullmatch
    assert kept("autobahntestsuite/case/case1_1_1.py")
    assert kept("autobahntestsuite/testdata/data1.json")
    assert not kept("autobahntestsuite/case/case9_9_1.py")
    assert not kept("autobahntestsuite/wstest.py")
    assert library.keep.fullmatch("autobahn/websocket/protocol.py")
    assert not library.keep.fullmatch("autobahn/websocket/test/test_x.py")
