"""The files of a batch: the input is never held in memory, the outputs are there as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tidegate.batch.journal import Journal
from tidegate.batch.lines import Request, body_of, request_of
from tidegate.errors import InvalidRequest

__all__ = ["Input", "errors_file", "journal_file", "write_outputs"]


class Input:
    """A file of requests, checked as a whole before the first one is sent.

    :raises InvalidRequest: a line is wrong, a ``custom_id`` comes twice, or there is no line.
    :raises OSError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[Request] = []
        seen: dict[str, int] = {}
        offset = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    self._add(line, number, offset, seen)
                offset += len(line)
        if not self.requests:
            raise InvalidRequest(f"{path}: no request in it.")
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def _add(self, line: bytes, number: int, offset: int, seen: dict[str, int]) -> None:
        try:
            request = request_of(line, number, offset)
        except InvalidRequest as error:
            raise InvalidRequest(f"{self.path}, {error.message}") from None
        first = seen.setdefault(request.custom_id, number)
        if first != number:
            raise InvalidRequest(f'{self.path}, line {number}: its "custom_id" is that of line {first}.')
        self.requests.append(request)

    def body(self, request: Request) -> bytes:
        """What to send for it."""
        return body_of(os.pread(self._file, request.length, request.offset), request.number)

    def close(self) -> None:
        os.close(self._file)


def journal_file(output: Path) -> Path:
    """Beside the output."""
    return output.with_name(output.name + ".journal")


def errors_file(output: Path) -> Path:
    """``OUT.jsonl`` -> ``OUT.errors.jsonl``."""
    return output.with_name(f"{output.stem}.errors{output.suffix}")


def write_outputs(requests: Sequence[Request], journal: Journal, output: Path) -> tuple[int, int]:
    """The good answers in the order of the input, the failed ones in a file of their own; how many of each."""
    good = _write(output, requests, journal, True)
    failed = _write(errors_file(output), requests, journal, False)
    if not failed:
        errors_file(output).unlink()
    return good, failed


def _write(path: Path, requests: Sequence[Request], journal: Journal, good: bool) -> int:
    partial = path.with_name(path.name + ".partial")
    count = 0
    with partial.open("wb") as file:
        for request in requests:
            found = journal.line(request)
            if found is not None and found[1] is good:
                file.write(found[0] + b"\n")
                count += 1
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return count
