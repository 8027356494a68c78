"""What has been answered, on disk before it counts: a batch goes on after a crash, and pays for nothing twice.

One JSON object a line, only ever appended to. An answer is handed to the kernel in the moment in which it is there, so
it outlives a killed process, and to the disk (fsync) right after, for a machine that loses its power. A line that the
end cut off is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidegate.batch.lines import Answer, Request, answer_line
from tidegate.errors import InvalidRequest

__all__ = ["Journal"]


class Journal:
    """Belongs to one process at a time.

    :raises InvalidRequest: another one has it, or the file is no journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, tuple[str, int, int, bool]] = {}
        """custom_id -> digest, offset and length of its answer in the file, whether it is good."""
        self.begun: dict[str, str] = {}
        """custom_id -> digest of requests that were sent and have no answer here."""
        self.prompt_tokens = 0
        self.output_tokens = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise InvalidRequest(f"{path}: another batch is writing it.") from None
        self._end = 0
        self._dirty = asyncio.Event()
        self._syncing: asyncio.Task[None] | None = None
        self._flushing: asyncio.Future[None] | None = None
        try:
            self._load()
        except BaseException:
            os.close(self._file)
            raise

    def _load(self) -> None:
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if self._end == 0 and not line.startswith(b'{"journal":'):
                    raise InvalidRequest(f"{self.path}: not a journal of tidegate batch.")
                self._remember(line)
                self._end += len(line)
        os.ftruncate(self._file, self._end)
        if self._end == 0:
            self._append({"journal": "tidegate batch", "version": 1})

    def _remember(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
        except ValueError:
            raise InvalidRequest(f"{self.path}: damaged at byte {self._end}.") from None
        if "sent" in entry:
            self.begun[entry["sent"]] = entry["digest"]
        elif "answered" in entry:
            start = line.index(b'"line":') + len(b'"line":')
            self._note(entry["answered"], entry["digest"], self._end + start, len(line) - start - 2, entry["good"])
            self.prompt_tokens += entry["prompt_tokens"]
            self.output_tokens += entry["output_tokens"]

    def _note(self, custom_id: str, digest: str, offset: int, length: int, good: bool) -> None:
        self.begun.pop(custom_id, None)
        self.done[custom_id] = (digest, offset, length, good)

    def is_good(self, request: Request) -> bool:
        """Whether it has its answer, asked for with the same words."""
        known = self.done.get(request.custom_id)
        return known is not None and known[3] and known[0] == request.digest

    def in_doubt(self, request: Request) -> bool:
        """Whether it was sent and never answered: its server may have charged for it."""
        return self.begun.get(request.custom_id) == request.digest

    def sent(self, request: Request) -> None:
        """It is about to be sent."""
        self.begun[request.custom_id] = request.digest
        self._append({"sent": request.custom_id, "digest": request.digest})

    def answered(self, request: Request, answer: Answer) -> None:
        """It has its answer, or has failed for good."""
        line = answer_line(request, answer)
        entry = {
            "answered": request.custom_id,
            "digest": request.digest,
            "good": answer.error is None,
            "prompt_tokens": answer.prompt_tokens,
            "output_tokens": answer.output_tokens,
        }
        head = json.dumps(entry, separators=(",", ":")).encode()[:-1] + b',"line":'
        offset = self._end + len(head)
        self._write(head + line + b"}\n")
        self._note(request.custom_id, request.digest, offset, len(line), answer.error is None)
        self.prompt_tokens += answer.prompt_tokens
        self.output_tokens += answer.output_tokens
        self._dirty.set()

    def line(self, request: Request) -> tuple[bytes, bool] | None:
        """Its line of the output and whether it is good; ``None`` when it has none."""
        known = self.done.get(request.custom_id)
        if known is None or known[0] != request.digest:
            return None
        return os.pread(self._file, known[2], known[1]), known[3]

    def _append(self, entry: Mapping[str, Any]) -> None:
        self._write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        self._end += len(data)

    async def __aenter__(self) -> Journal:
        self._syncing = asyncio.create_task(self._sync())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._syncing is not None
        self._syncing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._syncing
        if self._flushing is not None:
            # The lock is the file's, and a thread that is in the middle of it would keep the file open.
            await asyncio.wait([self._flushing])
        os.fsync(self._file)
        os.close(self._file)

    async def _sync(self) -> None:
        """To the disk, in a thread: all answers that came during one fsync share the next one."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            self._flushing = asyncio.ensure_future(asyncio.to_thread(os.fsync, self._file))
            await asyncio.shield(self._flushing)
