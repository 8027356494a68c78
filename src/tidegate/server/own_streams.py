"""What may be done with a stream of this process, by whoever asked for it and wherever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tidegate.policy.keys import Principal
from tidegate.relay.registry import Registry
from tidegate.shared.messages import Operation, Report
from tidegate.telemetry.prometheus import PrometheusHook

__all__ = ["OwnStreams"]


class OwnStreams:
    """The registry, and who counts what readers report.

    :param account_seen: puts a report into the books, by the stream's id.
    """

    def __init__(self, registry: Registry, metrics: PrometheusHook, account_seen: Callable[[str], None]) -> None:
        self.registry = registry
        self.metrics = metrics
        self._account_seen = account_seen

    def do(self, operation: Operation, stream_id: str, who: Principal, report: Report | None = None) -> dict[str, Any]:
        """``stop``, ``cancel``, ``seen``, or only look (``one``); returns what the API tells of the stream then.

        :raises StreamNotFound: there is none, or it belongs to somebody else.
        """
        if operation == "seen":
            if self.registry.saw(stream_id, who, report or {}):
                self.metrics.seen(report or {})
                self._account_seen(stream_id)
        elif operation in ("stop", "cancel"):
            stream = self.registry.live(stream_id, who)
            if stream is not None:
                stream.soft_stop() if operation == "stop" else stream.cancel()
        return self.registry.get(stream_id, who)
