"""The Python client: any OpenAI-compatible endpoint, whole graphemes, honest endings, real backpressure.

``reading`` ``graphemes`` ``core`` ``failure`` ``result`` are PURE and shared; ``stream`` and ``aio`` drive them with
aiohttp, and ``sync`` drives ``aio``.
"""

from __future__ import annotations

from tidegate.client.aio import AsyncStreamClient
from tidegate.client.config import IncrementalFilter, StreamConfig
from tidegate.client.result import StreamResult
from tidegate.client.stream import AsyncStream
from tidegate.client.sync import Stream, StreamClient
from tidegate.errors import Cancelled, StreamTruncated, TidegateError

__all__ = [
    "AsyncStream",
    "AsyncStreamClient",
    "Cancelled",
    "IncrementalFilter",
    "Stream",
    "StreamClient",
    "StreamConfig",
    "StreamResult",
    "StreamTruncated",
    "TidegateError",
]
