"""What steers a simulated model server. Each option can be set for one request too: ``sim/prose?ttft=0&tps=500``."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["SimulatorOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """Times in seconds."""

    ttft: float = 0.2
    """Seconds from the request to the first token."""
    tps: float = 60.0
    """Tokens a second after the first one; 0 is as fast as the socket takes them."""
    jitter: float = 0.2
    """How uneven the pace is: 0 is a metronome, 1 varies each pause between nothing and double."""
    tokens: int = 0
    """Tokens of each answer: longer ones end with finish reason "length", shorter ones repeat. 0: as it is."""
    seed: int = 1
    """Of the jitter."""
    api_key: str = field(default="", repr=False)
    """When set, requests must carry it as their bearer key; others get a 401."""
