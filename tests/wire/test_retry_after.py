"""``Retry-After`` in every form that servers send."""

from __future__ import annotations

import pytest

from tidegate.wire.retry_after import retry_after

NOW = 1_767_225_600.0  # 2026-01-01 00:00:00 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:09 GMT"}, 9.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:09"}, 9.0),
        ({"retry-after": "Wed, 31 Dec 2025 23:59:00 GMT"}, 0.0),
        ({"retry-after": "7", "retry-after-ms": "120"}, 0.12),
        ({"retry-after": "7", "retry-after-ms": "x"}, 7.0),
    ],
)
def test_seconds_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now_epoch=NOW) == seconds
