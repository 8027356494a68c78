"""Newline-delimited JSON, both ways: one JSON text a line, LF or CRLF, blank lines as heartbeats.

The same shape and the same linear cost as :mod:`tidegate.wire.sse`.
"""

from __future__ import annotations

from typing import Final

from tidegate.errors import EventTooLarge

__all__ = ["HEARTBEAT_NDJSON", "MAX_RECORD", "NdjsonDecoder", "encode_record"]

MAX_RECORD: Final = 8 * 1024 * 1024
"""As for an SSE event: real ones reach 2 MiB, and a line that never ends must not fill memory."""

HEARTBEAT_NDJSON: Final = b"\n"
"""An empty line, which readers of NDJSON skip."""


class NdjsonDecoder:
    """Bytes in, records out. A record is its line's bytes without the line end; nobody has parsed them.

    :param max_record: the most bytes that one line may have, its CR included.
    """

    __slots__ = ("_fragments", "_max", "_overflown", "_tail")

    def __init__(self, *, max_record: int = MAX_RECORD) -> None:
        self._max = max_record
        self._overflown = False
        self._fragments: list[bytes] = []
        self._tail = 0

    @property
    def pending(self) -> int:
        """Bytes of a line that has not ended."""
        return self._tail

    def feed(self, data: bytes) -> list[bytes]:
        """The records that ``data`` completes, in order. Blank lines are skipped.

        :raises EventTooLarge: a line is over the limit. Records before it are returned first and the error is raised
            by the next call; the decoder is of no use afterwards.
        """
        records: list[bytes] = []
        self._checked(records)
        cut = data.rfind(b"\n")
        if cut >= 0:
            whole = data[:cut]
            if self._fragments:
                self._fragments.append(whole)
                whole = b"".join(self._fragments)
                self._fragments.clear()
                self._tail = 0
            self._lines(whole.split(b"\n"), records)
            data = data[cut + 1 :]
        if data and not self._overflown:
            self._fragments.append(data)
            self._tail += len(data)
            if self._tail > self._max:
                self._overflow()
        return self._checked(records)

    def close(self) -> list[bytes]:
        """The body has ended: a last line without a line end is a record too.

        :raises EventTooLarge: when the last :meth:`feed` still owes it.
        """
        records: list[bytes] = []
        self._checked(records)
        self._lines([b"".join(self._fragments)], records)
        self._fragments.clear()
        self._tail = 0
        return records

    def _lines(self, lines: list[bytes], records: list[bytes]) -> None:
        for line in lines:
            if len(line) > self._max:
                self._overflow()
                return
            record = line.removesuffix(b"\r")
            if record and not record.isspace():
                records.append(record)

    def _overflow(self) -> None:
        self._overflown = True
        self._fragments.clear()
        self._tail = 0

    def _checked(self, records: list[bytes]) -> list[bytes]:
        if self._overflown and not records:
            raise EventTooLarge(f"The upstream sent a record of more than {self._max} bytes.")
        return records


def encode_record(json: bytes) -> bytes:
    """One record, ready to send. ``json`` may be spread over lines: a raw line end in JSON text is only white space."""
    if b"\n" in json or b"\r" in json:
        json = json.replace(b"\r", b" ").replace(b"\n", b" ")
    return json + b"\n"
