"""One answer as a whole, and what it is worth."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tidegate.batch.lines import Answer
from tidegate.errors import UpstreamFault, UpstreamProtocolError
from tidegate.upstream.exchange import Exchange, ResponseHead

__all__ = ["Whole", "judged"]


class Whole:
    """Collects one answer (it is a ``Sink``).

    :param limit: bytes of its body.
    """

    def __init__(self, limit: int) -> None:
        self.result: asyncio.Future[tuple[ResponseHead, bytes]] = asyncio.get_running_loop().create_future()
        self.exchange: Exchange | None = None
        self._limit = limit
        self._head: ResponseHead | None = None
        self._parts: list[bytes] = []
        self._size = 0

    def on_head(self, head: ResponseHead) -> None:
        self._head = head

    def on_data(self, data: bytes, framed: bytes | None) -> None:
        self._size += len(data)
        if self._size <= self._limit:
            self._parts.append(data)
            return
        if self.exchange is not None:
            self.exchange.abort()
        self.on_lost(UpstreamProtocolError(f"The answer is larger than {self._limit} bytes."))

    def on_end(self) -> None:
        if self._head is not None and not self.result.done():
            self.result.set_result((self._head, b"".join(self._parts)))

    def on_lost(self, error: UpstreamFault) -> None:
        if not self.result.done():
            self.result.set_exception(error)


def judged(head: ResponseHead, body: bytes) -> Answer:
    """The answer in a response.

    A 200 is good only if it is JSON and, where it has choices, each of them has a finish reason: half an answer that
    says 200 must not end up among the good ones.
    """
    request_id = (head.get(b"x-request-id") or head.get(b"x-stream-id") or b"").decode("latin-1")
    document = _document(body)
    kept = body if document is not None else None
    if head.status != 200:
        message = f"HTTP {head.status}"
        return Answer(head.status, request_id, kept, (f"http_{head.status}", message))
    if document is None:
        return Answer(200, request_id, None, ("not_json", f"200 with {len(body)} bytes that are not a JSON object"))
    error = _fault(document)
    usage = document.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Answer(
        200,
        request_id,
        kept,
        error,
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
        str(document.get("model", "")),
    )


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _fault(document: dict[str, Any]) -> tuple[str, str] | None:
    choices = document.get("choices")
    if isinstance(choices, list) and choices:
        whole = all(isinstance(choice, dict) and choice.get("finish_reason") for choice in choices)
        return None if whole else ("no_finish_reason", "the answer has no finish reason: it was cut")
    if document.get("error"):
        return "error_body", "200 with an error as its body"
    return None


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
