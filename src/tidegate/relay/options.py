"""What steers one stream's life: ``[stream]`` in the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["StreamOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """Times in seconds, sizes in bytes. Every wait and every buffer of a stream is bounded by a number here."""

    first_token_timeout: float = 30.0
    """From the request being sent until the first token; then the attempt is given up and may be retried."""
    idle_timeout: float = 30.0
    """Silence of the upstream between two tokens. A slow reader or a held text never counts."""
    total_timeout: float = 600.0
    """From acceptance until the end, retries included."""
    stall_timeout: float = 60.0
    """How long a reader may keep its connection full before the stream ends as ``client_stalled``."""
    retry_attempts: int = 2
    """Further tries after the first, before the first token only."""
    retry_delay: float = 0.8
    """Base of the exponential back-off with full jitter between tries."""
    flush_interval: float = 0.0
    """0 writes at once; 0.016 coalesces to one write a frame at 60 Hz."""
    max_buffered_events: int = 50
    """A coalescing buffer is written when it holds this many events, whatever the clock says."""
    high_water: int = 65536
    """Unsent bytes for one reader above which the upstream is no longer read."""
    heartbeat: float = 15.0
    """After so long without a byte the reader gets one, so that no balancer cuts a model that thinks. 0 is off."""
    obfuscation: bool = False
    """Fill events up, so that their sizes on the wire say nothing of token lengths. A request decides for itself with
    `stream_options.include_obfuscation`.
    """
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    """When the reader leaves: stop the model in the same loop turn, or read on for exact usage."""
    drain_seconds: float = 30.0
    """With ``on_disconnect = "drain"``: how long to read on at most."""
    malformed: Literal["skip", "fatal"] = "skip"
    """An event that is not valid: skip and count it, or end the stream with an error."""
    max_event_bytes: int = 8 * 1024 * 1024
    """One event of the upstream. Above every real one (a large tool call or a base64 image is 1-4 MiB)."""
