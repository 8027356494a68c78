"""Entries and rows to begin with."""

from __future__ import annotations

from typing import Any

import msgspec

from tidegate.ledger.entries import Begun, Ended, LegRow, Seen

LEG = LegRow(
    id="",
    stream_id="",
    leg=0,
    final=1,
    instance="here",
    key_id="app",
    tags='{"team":"blue"}',
    model="m",
    served_model="m",
    upstream="main",
    framing="sse",
    started_at=7200.0,
    ended_at=7201.5,
    ttft=0.5,
    tpot=0.01,
    prompt_tokens=10,
    cached_tokens=1,
    output_tokens=5,
    delivered=5,
    cost=1500,
    reason="stop",
    finish_reason="stop",
    status=200,
    bytes_in=100,
    bytes_out=100,
)


def leg_row(number: int, **given: Any) -> LegRow:
    """The only leg of stream ``number``."""
    stream = f"{number:032x}"
    return msgspec.structs.replace(LEG, **{"id": f"{stream}/0", "stream_id": stream, **given})


def ended(number: int, **given: Any) -> Ended:
    """Its end."""
    return Ended(legs=[leg_row(number, **given)])


def begun(number: int, instance: str = "here") -> Begun:
    """Its beginning."""
    return Begun(
        stream_id=f"{number:032x}",
        instance=instance,
        key_id="app",
        tags="{}",
        model="m",
        framing="sse",
        started_at=7200.0,
    )


def seen(number: int, end: str | None = "finished", perceived: float | None = 0.5, at: float = 7201.5) -> Seen:
    """What its reader's page reported."""
    return Seen(f"{number:032x}/0", at, end, perceived)
