"""What a client sent before its end is delivered, however full the queue was when the end came."""

from __future__ import annotations

from tests.support.raw import BINARY, TEXT, Raw, close_frame, frame
from tests.support.server import serve


def test_small_messages_between_a_large_one_and_the_close_frame() -> None:
    """The large one alone is more than the queue's room for the last messages; the application is not slow."""
    large = b"x" * 30_000
    with (
        serve("apps:app", "--ws-queue-high", "1KiB", "--ws-queue-low", "512") as server,
        Raw.connect(server) as raw,
    ):
        raw.upgrade("/echo?x")
        small = [frame(TEXT, b"%d" % number) for number in range(20)]
        raw.send(frame(BINARY, large) + b"".join(small) + close_frame(4000, "bye"))
        assert raw.message() == large
        assert [raw.message() for _ in range(20)] == [f"{number}" for number in range(20)]
        assert raw.closed_by_server() == (4000, "bye")
