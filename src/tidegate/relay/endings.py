"""PURE. The last words of a stream in each framing, and which terminal reason an error is."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

from tidegate import errors
from tidegate.errors import TidegateError
from tidegate.events import Usage
from tidegate.relay.answer import Answer
from tidegate.relay.lifecycle import Reason
from tidegate.wire.ndjson import HEARTBEAT_NDJSON, encode_record
from tidegate.wire.openai_chat import encode_json, usage_json
from tidegate.wire.sse import DONE, HEARTBEAT_SSE, encode_sse

__all__ = [
    "Framing",
    "completion_json",
    "end_marker",
    "error_body",
    "error_event",
    "filtered",
    "filtered_json",
    "reason_of",
    "soft_stop",
    "validation_event",
]


class Framing(StrEnum):
    """How the reader wants its answer."""

    SSE = "sse"
    NDJSON = "ndjson"
    JSON = "json"
    """One body: a request without ``stream``."""
    RAW = "raw"
    """As the upstream framed it: a call that is not chat."""

    @property
    def content_type(self) -> bytes:
        return _CONTENT_TYPES[self]

    @property
    def heartbeat(self) -> bytes:
        """``b""`` where there can be none."""
        return _HEARTBEATS[self]


_CONTENT_TYPES: Final = {
    Framing.SSE: b"text/event-stream; charset=utf-8",
    Framing.NDJSON: b"application/x-ndjson",
    Framing.JSON: b"application/json",
    Framing.RAW: b"application/octet-stream",
}
_HEARTBEATS: Final = {Framing.SSE: HEARTBEAT_SSE, Framing.NDJSON: HEARTBEAT_NDJSON, Framing.JSON: b"", Framing.RAW: b""}

_REASONS: Final[Sequence[tuple[type[TidegateError], Reason]]] = (
    (errors.ConnectTimeout, Reason.CONNECT_TIMEOUT),
    (errors.FirstTokenTimeout, Reason.FIRST_TOKEN_TIMEOUT),
    (errors.IdleTimeout, Reason.IDLE_TIMEOUT),
    (errors.TotalTimeout, Reason.TOTAL_TIMEOUT),
    (errors.UpstreamRefused, Reason.UPSTREAM_REFUSED),
    (errors.UpstreamCut, Reason.UPSTREAM_CUT),
    (errors.InvalidOutput, Reason.INVALID_OUTPUT),
    (errors.UpstreamFault, Reason.UPSTREAM_ERROR),
    (errors.Cancelled, Reason.CLIENT_CANCEL),
    (errors.ShutDown, Reason.SHUTDOWN),
    (errors.RateLimited, Reason.LIMIT),
    (errors.OutOfBudget, Reason.BUDGET),
    (errors.Overloaded, Reason.LIMIT),
    (errors.Draining, Reason.SHUTDOWN),
)


def reason_of(error: TidegateError) -> Reason:
    """The terminal reason that an error is."""
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), Reason.INTERNAL_ERROR)


def end_marker(framing: Framing) -> bytes:
    """Only for an answer that is complete. NDJSON has none: its cleanly ended body is it."""
    return DONE if framing is Framing.SSE else b""


def error_body(error: TidegateError, stream_id: str) -> bytes:
    """The JSON of an error, as a response of its own."""
    return encode_json(error.public(stream_id))


def error_event(error: TidegateError, stream_id: str, framing: Framing) -> bytes:
    """The error inside a stream: the shape on which every official SDK raises."""
    return _framed(error_body(error, stream_id), framing)


def soft_stop(answer: Answer, framing: Framing, *, usage_chunk: bool, model: str, created: int) -> bytes:
    """Finish reason ``stop`` for every choice that has none, usage, end marker; marked as the gateway's doing.

    :param usage_chunk: the reader asked for usage in a chunk of its own; otherwise it stands beside the finish reason.
    """
    ours = {"reason": Reason.SOFT_STOP.value}
    head = _head(answer, model, created)
    return _ended(answer, framing, head, answer.open_choices, "stop", ours, usage_chunk=usage_chunk)


def filtered(
    answer: Answer, framing: Framing, *, finished: set[int], usage_chunk: bool, model: str, created: int
) -> bytes:
    """Finish reason ``content_filter`` for every choice but those that the reader has seen finish, usage, end marker:
    a classifier has ended the answer.
    """
    ours = {"reason": Reason.FILTERED.value}
    seen = {*answer.open_choices, *answer.finished} if answer.finished else answer.open_choices
    choices = sorted(set(seen) - finished)
    head = _head(answer, model, created)
    return _ended(answer, framing, head, choices, "content_filter", ours, usage_chunk=usage_chunk)


def _head(answer: Answer, model: str, created: int) -> dict[str, Any]:
    return {
        "id": answer.id,
        "object": "chat.completion.chunk",
        "created": answer.created or created,
        "model": answer.model or model,
    }


def _ended(
    answer: Answer,
    framing: Framing,
    head: dict[str, Any],
    open_: Sequence[int],
    finish: str,
    ours: dict[str, str],
    *,
    usage_chunk: bool,
) -> bytes:
    usage = answer.usage or Usage(output_tokens=answer.tokens, estimated=True)
    if usage.estimated:
        ours["usage"] = "estimated"
    choices = [{"index": index, "delta": {}, "finish_reason": finish} for index in open_]
    last = {**head, "choices": choices, "tidegate": ours}
    if usage_chunk:
        chunks = [last, {**head, "choices": [], "usage": usage_json(usage), "tidegate": ours}]
    else:
        chunks = [{**last, "usage": usage_json(usage)}]
    return b"".join(_framed(encode_json(chunk), framing) for chunk in chunks) + end_marker(framing)


def validation_event(answer: Answer, framing: Framing, verdict: dict[str, Any]) -> bytes:
    """One more chunk, without choices: the verdict on the whole answer, which has said its model."""
    head = _head(answer, "", 0)
    return _framed(encode_json({**head, "choices": [], "tidegate": {"validation": verdict}}), framing)


def filtered_json(answer: Answer) -> bytes:
    """The one body of an answer that a classifier has ended: nothing of what was said, and why."""
    assert answer.assembler is not None
    whole = answer.assembler.result()
    message = {"role": "assistant", "content": "", "refusal": None}
    for choice in whole["choices"]:
        choice.update(message=message, finish_reason="content_filter", logprobs=None)
    whole["tidegate"] = {"reason": Reason.FILTERED.value}
    return encode_json(whole)


def completion_json(answer: Answer, *, soft_stopped: bool = False, verdict: dict[str, Any] | None = None) -> bytes:
    """The one body of an answer that was collected.

    :param verdict: on the whole answer, where the reader is told.
    """
    assert answer.assembler is not None
    whole = answer.assembler.result()
    if verdict is not None:
        whole["tidegate"] = {"validation": verdict}
    if soft_stopped:
        for choice in whole["choices"]:
            choice["finish_reason"] = choice["finish_reason"] or "stop"
        whole["tidegate"] = {"reason": Reason.SOFT_STOP.value}
        if "usage" not in whole:
            whole["usage"] = usage_json(Usage(output_tokens=answer.tokens, estimated=True))
            whole["tidegate"]["usage"] = "estimated"
    return encode_json(whole)


def _framed(payload: bytes, framing: Framing) -> bytes:
    return encode_sse(payload) if framing is Framing.SSE else encode_record(payload)
