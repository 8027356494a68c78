"""Records for the tests of this room."""

from __future__ import annotations

from typing import Any

from tidegate.events import Usage
from tidegate.telemetry.record import StreamRecord

USAGE = Usage(prompt_tokens=10, output_tokens=100)


def record(**changes: Any) -> StreamRecord:
    """A stream that went well, but for the changes."""
    facts: dict[str, Any] = {
        "stream_id": "0123456789abcdef",
        "client": "my-app",
        "model": "gpt-4o",
        "served_model": "gpt-4o",
        "upstream": "main",
        "reason": "stop",
        "finish_reason": "stop",
        "accepted_at": 1_700_000_000.0,
        "duration": 1.25,
        "queue_time": 0.05,
        "ttft": 0.25,
        "tpot": 0.01,
        "max_gap": 0.03,
        "added_latency": 0.0004,
        "tokens": 101,
        "usage": USAGE,
        "bytes_in": 2000,
        "bytes_out": 2100,
    }
    return StreamRecord(**{**facts, **changes})
