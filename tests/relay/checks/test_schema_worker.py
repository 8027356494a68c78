"""What the process answers: answers as they should be, and schemas that are none, loop, fetch or run away."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest

from tidegate.relay.checks.schema_worker import MAX_PATH, check, serve

RECURSIVE = {"$ref": "#"}
TREE = {"$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}, "$ref": "#/$defs/node"}


@pytest.mark.parametrize(
    ("schema", "answer", "result"),
    [
        ({"type": "object"}, "{}", {}),
        ({}, "3", {}),
        (TREE, '{"next": {"next": {}}}', {}),
        ({"type": "object"}, "[]", {"keyword": "type", "path": "type"}),
        ({"required": ["a"]}, "{}", {"keyword": "required", "path": "required"}),
        (
            {"properties": {"a": {"items": {"minimum": 3}}}},
            '{"a": [4, 2]}',
            {"keyword": "minimum", "path": "properties/a/items/minimum"},
        ),
        (
            TREE,
            '{"next": {"next": 3}}',
            {"keyword": "type", "path": "properties/next/properties/next/type"},
        ),
        ({"type": "object"}, "{", {"keyword": "json"}),
        ({"type": "no-such-type"}, "{}", {"error": "invalid_schema"}),
        ({"pattern": "("}, '"a"', {"error": "invalid_schema"}),
        ([], "{}", {"error": "invalid_schema"}),
        (True, "{}", {"error": "invalid_schema"}),
        (RECURSIVE, "{}", {"error": "too_deep"}),
        ({"$ref": "http://127.0.0.1:9/schema.json"}, "{}", {"error": "unresolved_reference"}),
        ({"$ref": "file:///etc/passwd"}, "{}", {"error": "unresolved_reference"}),
        ({"$ref": "#/nowhere"}, "{}", {"error": "unresolved_reference"}),
    ],
)
def test_an_answer_against_a_schema(schema: Any, answer: str, result: dict[str, str]) -> None:
    assert check(schema, answer) == result


def test_a_path_has_an_end() -> None:
    name = "n" * 1000
    assert len(check({"properties": {name: {"type": "object"}}}, json.dumps({name: 3}))["path"]) == MAX_PATH


def framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(4, "big") + message for message in messages)


def test_jobs_are_answered_in_turn() -> None:
    sink = io.BytesIO()
    deep = b"[1," + b"[" * 100_000 + b"]" * 100_000 + b',"0"]'
    serve(io.BytesIO(framed(b'[1, {}, "1"]', b'[1, {"type": "null"}, "1"]', deep, b"no")), sink)
    bad = b'{"error": "invalid_schema"}'
    assert sink.getvalue() == framed(b"{}", b'{"keyword": "type", "path": "type"}', bad, bad)


def test_a_pattern_that_runs_away_ends_the_process() -> None:
    job = json.dumps([0.2, {"pattern": "^(a+)+$"}, json.dumps("a" * 60 + "!")]).encode()
    process = subprocess.run(
        [sys.executable, "-m", "tidegate.relay.checks.schema_worker"],
        input=framed(job),
        capture_output=True,
        timeout=60,
    )
    assert process.returncode == -14
    assert process.stdout == b""
