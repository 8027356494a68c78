"""What the model server saw, when it is a simulator: cancel latency and added TTFT, measured from outside the gateway.

Its times are ``time.monotonic``, so it has to run on this machine.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

from tidegate.bench.histogram import Histogram
from tidegate.errors import InvalidRequest, TidegateError
from tidegate.upstream.client import UpstreamClient
from tidegate.upstream.options import UpstreamOptions

__all__ = ["FarEnd", "Seen", "compare"]

_GRACE: Final = 0.25
"""Seconds in which a generation may end by itself after its reader left: nobody can say whether it would have been
stopped."""
_MOST: Final = 256 * 1024 * 1024
"""Bytes of its answer: 20,000 truths are some 5 MB."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reader saw of one stream. Times are ``time.monotonic``."""

    tag: str
    requested_at: float
    first_token_at: float | None
    cancelled_at: float | None
    tokens: int


@dataclass(slots=True)
class Compared:
    """Both ends of the streams, held against each other."""

    cancel: Histogram
    """From hanging up to the model server's connection being closed."""
    added_ttft: Histogram
    """What the reader waited for its first token beyond the model's own time."""
    never_aborted: int
    """Generations that ran on although their reader had left."""


def compare(seen: Sequence[Seen], truths: Sequence[Mapping[str, Any]]) -> Compared:
    """Hold the streams that a reader saw against a simulator's truths."""
    cancel, added, never = Histogram(), Histogram(), 0
    by_tag = {truth["tag"]: truth for truth in truths}
    for one in seen:
        truth = by_tag.get(one.tag)
        if truth is None:
            continue
        if one.first_token_at is not None and truth["first_token_at"] is not None:
            own = truth["first_token_at"] - truth["request_at"]
            added.add(max(0.0, one.first_token_at - one.requested_at - own))
        if one.cancelled_at is None:
            continue
        if truth["aborted"]:
            cancel.add(max(0.0, truth["ended_at"] - one.cancelled_at))
        elif truth["ended_at"] is None or truth["ended_at"] > one.cancelled_at + _GRACE:
            never += 1  # else it was over before it could be stopped
    return Compared(cancel, added, never)


class FarEnd:
    """A simulator's statistics.

    :param url: its base URL, with or without ``/v1``.
    """

    def __init__(self, url: str) -> None:
        text = url if "://" in url else f"http://{url}"
        parts = urlsplit(text)
        self.url = f"{parts.scheme}://{parts.netloc}"
        self._client = UpstreamClient(UpstreamOptions(name="simulator", base_url=self.url, trust_env=False))

    async def stats(self) -> dict[str, Any]:
        """Its counts and truths.

        :raises InvalidRequest: nobody answers there, or it is no simulator.
        """
        try:
            head, body = await self._client.fetch("/sim/stats", limit=_MOST, timeout=10.0)
            document = json.loads(body) if head.status == 200 else None
        except (TidegateError, ValueError, TimeoutError) as error:
            raise InvalidRequest(f"{self.url} does not answer as a simulator does.") from error
        if not isinstance(document, dict) or "truths" not in document:
            raise InvalidRequest(f"{self.url} is not a simulator: it has no /sim/stats.")
        return document

    async def settled(self, tags: set[str], seconds: float = 3.0) -> list[dict[str, Any]]:
        """The truths of the streams with these tags, once all of them have ended or ``seconds`` have passed."""
        deadline = monotonic() + seconds
        while True:
            truths = [truth for truth in (await self.stats())["truths"] if truth["tag"] in tags]
            if all(truth["ended_at"] is not None for truth in truths) or monotonic() > deadline:
                return truths
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Leave no connection behind."""
        await self._client.close()
