"""The process behind the checks: started once, replaced when a job has killed it, never left behind."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.fakes.gateway import run
from tidegate.relay.checks.schemas import MAX_SCHEMA, SchemaChecker, SchemaResult

HOSTILE = json.dumps({"pattern": "^(a+)+$"}).encode()
VICTIM = json.dumps("a" * 60 + "!").encode()


def pid(checker: SchemaChecker) -> int:
    process: Any = checker._process
    return int(process.pid)


def test_one_process_answers_one_after_the_other() -> None:
    async def main() -> None:
        checker = SchemaChecker(20.0)
        try:
            results = await asyncio.gather(*(checker.check(b'{"type":"integer"}', b"%d" % n) for n in range(5)))
            assert results == [SchemaResult()] * 5
            first = pid(checker)
            assert await checker.check(b'{"type":"integer"}', b'"x"') == SchemaResult("type", "type")
            assert pid(checker) == first
        finally:
            await checker.close()
        assert await checker.check(b"{}", b"{}") == SchemaResult(error="closed")
        await checker.close()

    run(main())


def test_a_job_that_runs_away_is_ended_and_the_next_one_is_done() -> None:
    async def main() -> None:
        checker = SchemaChecker(0.3)
        try:
            assert await checker.check(HOSTILE, VICTIM) == SchemaResult(error="timeout")
            assert await checker.check(b"{}", b"{}") == SchemaResult()
        finally:
            await checker.close()

    run(main())


@pytest.mark.parametrize(
    ("schema", "error"),
    [(b'{"a":"' + b"x" * MAX_SCHEMA + b'"}', "too_large"), (b"[" * 50_000 + b"]" * 50_000, "invalid_schema")],
)
def test_a_schema_that_cannot_be_is_not_checked(schema: bytes, error: str) -> None:
    async def main() -> None:
        checker = SchemaChecker(20.0)
        try:
            assert await checker.check(schema, b"{}") == SchemaResult(error=error)
        finally:
            await checker.close()

    run(main())


def test_who_leaves_takes_the_job_along() -> None:
    async def main() -> None:
        checker = SchemaChecker(20.0)
        try:
            await checker.check(b"{}", b"{}")
            task = asyncio.create_task(checker.check(HOSTILE, VICTIM))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await checker.check(b"{}", b"{}") == SchemaResult()
        finally:
            await checker.close()

    run(main())


def test_a_turn_that_does_not_come_is_not_waited_for() -> None:
    async def main() -> None:
        checker = SchemaChecker(0.3)
        try:
            await checker.check(b"{}", b"{}")
            results = await asyncio.gather(*(checker.check(HOSTILE, VICTIM) for _ in range(12)))
            assert {result.error for result in results} <= {"timeout", "busy"}
            assert SchemaResult(error="busy") in results
        finally:
            await checker.close()

    run(main())
