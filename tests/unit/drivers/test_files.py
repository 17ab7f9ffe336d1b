"""asgiws/drivers/files.py: what is sent of a file; how, is in test_file_response.py and
tests/integration/test_gone.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from asgiws.asgi.errors import ApplicationError
from asgiws.drivers import files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


async def test_a_whole_file(path: Path) -> None:
    file, size = await files.open_whole(str(path))
    with file:
        assert size == 10
        assert file.read() == b"0123456789"
    with pytest.raises(ApplicationError, match="Is a directory"):
        await files.open_whole(str(path.parent))


@pytest.mark.parametrize(
    ("content", "position", "size"),
    [
        ({}, 3, 7),
        ({"count": 4}, 3, 4),
        ({"offset": 0}, 0, 10),
        ({"offset": 10}, 10, 0),
        ({"offset": 50}, 50, 0),
        ({"offset": 2, "count": 8}, 2, 8),
        ({"offset": None, "count": None}, 3, 7),
    ],
)
@pytest.mark.parametrize("kind", ["object", "descriptor", "no position"])
def test_a_part(path: Path, kind: str, content: Any, position: int, size: int) -> None:
    class Handle:
        """As what has a descriptor and nothing else."""

        def fileno(self) -> int:
            return file.fileno()

    with path.open("rb") as file:
        if kind == "object":
            file.read(3)  # the descriptor's own position is at the end
        else:
            os.lseek(file.fileno(), 3, os.SEEK_SET)
        given: Any = {"object": file, "descriptor": file.fileno(), "no position": Handle()}[kind]
        part = files.Part({"type": "http.response.zerocopysend", "file": given, **content})
        assert (part.tell(), part.size, part.fileno()) == (position, size, file.fileno())
        part.move_on()
        after = 3 if content.get("offset") is not None else position + size
        if kind == "object":
            assert file.tell() == after
        else:
            assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == after


def test_a_file_that_is_closed_meanwhile(path: Path) -> None:
    with path.open("rb") as file:
        part = files.Part({"type": "http.response.zerocopysend", "file": file})
    part.move_on()
