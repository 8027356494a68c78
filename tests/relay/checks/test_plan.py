"""What ``response_format`` promises."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tidegate.relay.checks.plan import Promise, promise_of


def promised(value: Any) -> Promise | None:
    return promise_of({"response_format": msgspec.Raw(json.dumps(value).encode())})


@pytest.mark.parametrize(
    ("value", "promise"),
    [
        ({"type": "json_object"}, Promise("object", None)),
        ({"type": "json_object", "schema": {"type": "object"}}, Promise("object", b'{"type": "object"}')),
        ({"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}, Promise("any", b'{"type": "array"}')),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, Promise("any", None)),
        ({"type": "json_schema", "json_schema": {"schema": None}}, Promise("any", None)),
        ({"type": "json_schema"}, Promise("any", None)),
        ({"type": "text"}, None),
        ({}, None),
        ("json", None),
        ({"type": 3}, None),
    ],
)
def test_what_is_promised(value: Any, promise: Promise | None) -> None:
    assert promised(value) == promise


def test_who_asks_for_nothing_is_promised_nothing() -> None:
    assert promise_of({}) is None
