"""What a load test does, and what it must show. Times in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Framing", "LoadOptions", "Thresholds"]

Framing = Literal["sse", "ndjson"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """The defaults are the acceptance test: 50 concurrent streams, some of them cancelled midway."""

    streams: int = 50
    """Streams that are open at any moment: when one ends, the next begins."""
    duration: float = 30.0
    """No stream begins after this."""
    requests: int = 0
    """End after so many streams; 0 is no limit but the duration."""
    ramp: float = 1.0
    """Seconds over which the first streams begin."""
    model: str = "default"
    max_tokens: int = 0
    """Asked for in each request; 0 leaves it out."""
    prompts: tuple[tuple[Mapping[str, object], ...], ...] = (({"role": "user", "content": "Tell me about the tide."},),)
    """Messages of each prompt, used in turn."""
    framing: Framing = "sse"
    cancel_share: float = 0.2
    """Share of the streams that hang up midway."""
    cancel_after: int = 10
    """Tokens after which they do."""
    idle_timeout: float = 30.0
    """A stream without a byte for so long has failed."""
    fresh: bool = False
    """A connection of its own for each stream, instead of a kept one."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    seed: int = 1
    """Of the choice which streams hang up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What makes a load test fail. Seconds and shares; ``None`` is no limit."""

    ttft_p50: float | None = None
    ttft_p99: float | None = None
    tpot_p99: float | None = None
    gap_p99: float | None = None
    cancel_p99: float | None = 0.2
    """From hanging up to the model server's connection being closed; when there is a simulator to ask."""
    errors: float = 0.0
    """Share of the streams that may fail honestly. None may end dishonestly."""
    memory_growth: float | None = 0.02
    """Share by which the gateway may grow under a load that does not; when its process is known. Ours grows by half a
    percent while it fills what it remembers of ended streams; the medians of a run differ by less than that."""
    tokens_per_second: float | None = None
    """At least."""
