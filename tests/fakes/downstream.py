"""A reader's side that only writes down what it was told."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.relay.direct import Direct
from tidegate.relay.downstream import Reader

__all__ = ["Written"]


class Written:
    """A downstream without a socket."""

    coded: None = None

    def __init__(self, *, framed: bool = False) -> None:
        self.framed = framed
        self.direct: Direct | None = None
        self.reader: Reader | None = None
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.writes: list[bytes] = []
        self.finished = False
        self.aborted = False

    @property
    def body(self) -> bytes:
        return b"".join(self.writes)

    def bind(self, reader: Reader) -> None:
        self.reader = reader

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]], length: int | None = None) -> None:
        assert not self.status, "two heads"
        assert len(dict(headers)) == len(headers), "a header twice"
        self.status, self.headers = status, dict(headers)
        if length is not None:
            self.headers[b"content-length"] = b"%d" % length

    def write(self, data: bytes) -> None:
        assert self.status, "a body before its head"
        assert not self.over, "after the end"
        self.writes.append(data)

    def write_framed(self, framed: bytes) -> None:
        assert self.framed
        self.write(framed)

    def finish(self, data: bytes = b"") -> None:
        self.write(data)
        self.finished = True

    def abort(self) -> None:
        self.aborted = True

    @property
    def over(self) -> bool:
        return self.finished or self.aborted
