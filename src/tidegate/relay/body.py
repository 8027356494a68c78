"""PURE. What kind of body an upstream's answer has, told from its head and its first bytes; and those held whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from tidegate.errors import EventTooLarge, TidegateError, UpstreamFailed, UpstreamProtocolError, UpstreamRefused
from tidegate.relay.answer import Answer
from tidegate.relay.lane import Lane, NdjsonLane, SseLane
from tidegate.relay.template import NEVER
from tidegate.wire.openai_chat import MalformedChunk
from tidegate.wire.openai_chat.chunk import decode_object

__all__ = ["Head", "Redactor", "Refusal", "WholeBody", "lane_of", "text_bytes"]

MAX_REFUSAL: Final = 65536
"""Bytes of an error body that are looked at."""

MAX_MESSAGE: Final = 2000
"""Characters of an upstream's message that pass on."""

_NDJSON: Final = frozenset(
    {b"application/x-ndjson", b"application/ndjson", b"application/jsonl", b"application/x-jsonlines"}
)


class Head(Protocol):
    """An upstream's response head; names in lower case."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]: ...

    def get(self, name: bytes) -> bytes | None: ...


class Redactor(Protocol):
    """Removes the upstream's secrets."""

    @property
    def shortest(self) -> int: ...

    @property
    def longest(self) -> int: ...

    def found(self, data: bytes) -> bool: ...

    def redact(self, text: str) -> str: ...

    def redact_bytes(self, data: bytes) -> bytes: ...


class WholeBody:
    """One JSON body in place of a stream: held until it is whole."""

    __slots__ = ("_answer", "_max", "_parts", "pending")

    def __init__(self, answer: Answer, *, max_body: int) -> None:
        self._answer = answer
        self._max = max_body
        self._parts: list[bytes] = []
        self.pending = 0

    def feed(self, data: bytes) -> bytes:
        """Nothing leaves yet."""
        self._parts.append(data)
        self.pending += len(data)
        if self.pending > self._max:
            self._parts.clear()
            self._answer.end(EventTooLarge(f"The upstream's answer is one body of more than {self._max} bytes."))
        return b""

    def body(self) -> bytes:
        """All of it."""
        return b"".join(self._parts)


class Refusal:
    """The body of an answer whose status is not 2xx.

    :param retry_after: seconds that its head asks to wait.
    """

    __slots__ = ("_head", "_parts", "_retry_after", "pending")

    def __init__(self, head: Head, retry_after: float | None) -> None:
        self._head = head
        self._retry_after = retry_after
        self._parts: list[bytes] = []
        self.pending = 0

    def feed(self, data: bytes) -> bytes:
        """Nothing leaves; what is over the limit is dropped."""
        if self.pending < MAX_REFUSAL:
            self._parts.append(data[: MAX_REFUSAL - self.pending])
            self.pending += len(self._parts[-1])
        return b""

    def error(self, redact: Redactor | None) -> TidegateError:
        """The refusal as one of our errors; its message is the upstream's own, without the upstream's secrets."""
        status = self._head.status
        told = _error_object(b"".join(self._parts))
        message = _message(told, redact)
        code, param = told.get("code") or told.get("type"), told.get("param")
        code = str(code)[:MAX_MESSAGE] if isinstance(code, str | int) else None
        if 400 <= status < 500:
            return UpstreamRefused(
                message or f"The upstream refused the request with status {status}.",
                status=status,
                code=_clean(code, redact),
                param=_clean(param[:MAX_MESSAGE], redact) if isinstance(param, str) else None,
                retry_after=self._retry_after,
            )
        if status >= 500:
            said = f": {message}" if message else "."
            return UpstreamFailed(f"The upstream failed with status {status}{said}", retry_after=self._retry_after)
        return UpstreamProtocolError(
            f"The upstream answered with status {status} where an answer was expected; is its base_url right?",
            retryable=False,
        )


def lane_of(
    head: Head, data: bytes, answer: Answer, *, ndjson: bool, max_event: int, redact: Redactor | None, fast: bool
) -> Lane | WholeBody | UpstreamProtocolError:
    """The lane for a body that begins with ``data``, or why there is none.

    The first byte decides before the ``content-type`` does: servers that ignore ``stream: true``, and pages of a proxy
    on the way, do not always say what they send.

    :param ndjson: the framing that the reader wants.
    :param fast: the lane may recognise events without decoding them.
    """
    kind = (head.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind in _NDJSON:
        return NdjsonLane(answer, ndjson=ndjson, max_event=max_event, redact=redact)
    first = data.lstrip(b" \t\r\n\xef\xbb\xbf")[:1]
    if first == b"{":
        return WholeBody(answer, max_body=max_event)
    if first == b"<":
        return UpstreamProtocolError("The upstream answered with a page of HTML or XML in place of a stream.")
    return SseLane(answer, ndjson=ndjson, max_event=max_event, redact=redact, fast=fast)


def text_bytes(lane: Lane | WholeBody | Refusal | None, size: int, tokens: int) -> int:
    """About how many bytes of ``size`` are text, told from the shape of its events; 0: it cannot be told.

    :param size: bytes of events with a token.
    """
    if isinstance(lane, WholeBody):
        return size
    if not isinstance(lane, SseLane) or lane.template is NEVER:
        return 0
    return max(0, size - tokens * (len(lane.template.prefix) + len(lane.template.suffix) + 2))


def _error_object(body: bytes) -> dict[str, Any]:
    try:
        whole = decode_object(body)
    except MalformedChunk:
        return {}
    error = whole.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {"message": error}
    return whole


def _message(told: dict[str, Any], redact: Redactor | None) -> str:
    message = told.get("message") or told.get("detail")
    return _clean(message[:MAX_MESSAGE], redact) or "" if isinstance(message, str) else ""


def _clean(text: str | None, redact: Redactor | None) -> str | None:
    return text if text is None or redact is None else redact.redact(text)
