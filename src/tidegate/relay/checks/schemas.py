"""Answers held against JSON Schemas, in a process of their own (:mod:`tidegate.relay.checks.schema_worker`).

The process is started with the first check, used for one job at a time, and replaced when a job has killed it. Jobs
that would have to wait longer than they may take are not made.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Final, NamedTuple

import structlog

__all__ = ["SchemaChecker", "SchemaResult"]

START: Final = 15.0
"""Seconds for the process to start."""

GRACE: Final = 0.5
"""Seconds beyond a job's own alarm, after which the process is killed from outside."""

MAX_SCHEMA: Final = 256 * 1024
"""Bytes. OpenAI takes schemas of 5,000 properties and 120,000 characters of names at most."""

MAX_RESULT: Final = 65536

_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
"""What the process gets of ours: no key."""

_log = structlog.get_logger()


class SchemaResult(NamedTuple):
    """What became of one check. All ``None``: the answer is as the schema wants it."""

    keyword: str | None = None
    """The schema's keyword that it fails."""
    path: str | None = None
    error: str | None = None
    """Why the check was not made: ``timeout``, ``busy``, ``too_large``, ``invalid_schema``, ``unavailable``, …"""


class SchemaChecker:
    """One process at most.

    :param timeout: seconds for one job, and for its turn to come.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._reapers: set[asyncio.Task[None]] = set()
        self._closed = False

    async def check(self, schema: bytes, answer: bytes) -> SchemaResult:
        """Hold an answer (JSON) against a schema (JSON). Takes a bounded time, and never raises."""
        if self._closed:
            return SchemaResult(error="closed")
        if len(schema) > MAX_SCHEMA:
            return SchemaResult(error="too_large")
        try:
            async with asyncio.timeout(START if self._process is None else self._timeout + GRACE):
                await self._turn.acquire()
        except TimeoutError:
            return SchemaResult(error="busy")
        try:
            return await self._job(schema, answer)
        except asyncio.CancelledError:
            self._kill()  # its answer would be taken for the next one's
            raise
        except (TimeoutError, EOFError):  # its alarm, or ours
            self._kill()
            return SchemaResult(error="timeout")
        except OSError:
            self._kill()
            return SchemaResult(error="unavailable")
        finally:
            self._turn.release()

    async def _job(self, schema: bytes, answer: bytes) -> SchemaResult:
        process = await self._running()
        # A stranger's schema is not even parsed here.
        body = b"[%g,%b,%b]" % (self._timeout, schema, json.dumps(answer.decode()).encode())
        async with asyncio.timeout(self._timeout + GRACE):
            return SchemaResult(**json.loads(await _asked(process, body)))

    async def _running(self) -> asyncio.subprocess.Process:
        process = self._process
        if process is not None and process.returncode is None:
            return process
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "tidegate.relay.checks.schema_worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        )
        # Its start is not the first job's time.
        async with asyncio.timeout(START):
            await _asked(process, b'[10, {}, "0"]')
        return process

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            _log.warning("safety.schema_process_ended", pid=process.pid)
            process.kill()
        task = asyncio.get_running_loop().create_task(_reaped(process))
        self._reapers.add(task)
        task.add_done_callback(self._reapers.discard)

    async def close(self) -> None:
        """End the process."""
        self._closed = True
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await _reaped(process)
        if self._reapers:
            await asyncio.wait(self._reapers)


async def _asked(process: asyncio.subprocess.Process, job: bytes) -> bytes:
    """One message there and one back."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(len(job).to_bytes(4, "big") + job)
    await process.stdin.drain()
    size = int.from_bytes(await process.stdout.readexactly(4), "big")
    if size > MAX_RESULT:
        raise EOFError
    return await process.stdout.readexactly(size)


async def _reaped(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    await process.wait()
    # The transport closes itself once its pipes have said their end; nothing of it may be left to the collector.
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
