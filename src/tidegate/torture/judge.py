"""PURE. What a client got, and what that is to be called."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from tidegate.torture.cases import Outcome
from tidegate.wire.ndjson import NdjsonDecoder
from tidegate.wire.openai_chat import ChatAssembler, MalformedChunk, decode_chunk, error_of
from tidegate.wire.sse import SseDecoder, SseEvent

__all__ = ["Choices", "Ending", "Observed", "choices_of", "judged"]

Ending = Literal["whole", "cut", "quiet", "not http"]
"""Of the HTTP body: as its framing says, before that, not at all while it was waited for, unreadable."""

Choices: TypeAlias = dict[int, tuple[Any, ...]]
"""Index -> text, reasoning, refusal, tool calls, finish reason."""

_MOST: Final = 1 << 26

_NDJSON: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})


@dataclass(slots=True)
class Observed:
    """One answer as it came."""

    status: int = 0
    """0: none."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ending: Ending = "quiet"


def choices_of(body: bytes) -> Choices:
    """The choices that a stream carries, up to its end marker; malformed events are left out."""
    return _read(body).choices


@dataclass(slots=True)
class _Stream:
    choices: Choices
    complete: bool
    events: int = 0
    malformed: int = 0
    done: bool = False
    error: bool = False


def _events(body: bytes, kind: str) -> list[SseEvent]:
    if kind not in _NDJSON:
        return SseDecoder(max_event=_MOST).feed(body)
    lines = NdjsonDecoder(max_record=_MOST)
    return [SseEvent(record) for record in lines.feed(body) + lines.close()]


def _read(body: bytes, kind: str = "") -> _Stream:
    whole, found = ChatAssembler(), _Stream({}, False)
    for event in _events(body, kind):
        found.events += 1
        if event.data == b"[DONE]":
            found.done = True
            break
        try:
            chunk = decode_chunk(event.data)
        except MalformedChunk:
            found.malformed += 1
            continue
        if event.event == "error" and error_of(event.data) is not None:
            found.error = True
        whole.feed(chunk)
    found.error = found.error or whole.error is not None
    found.complete = whole.complete
    found.choices = {choice["index"]: _choice(choice) for choice in whole.result()["choices"]}
    return found


def _choice(choice: Mapping[str, Any]) -> tuple[Any, ...]:
    message = choice["message"]
    calls = [
        (call.get("id"), call["function"].get("name"), call["function"].get("arguments"))
        for call in message.get("tool_calls") or ()
    ]
    said = (message.get("content") or "", message.get("reasoning_content") or "", message.get("refusal") or "")
    return (*said, tuple(calls), choice.get("finish_reason"))


def judged(got: Observed, wanted: Choices, *, stream: bool = True, secret: str = "") -> tuple[Outcome, str]:
    """What a client got, and a few words about it.

    :param wanted: the choices that it should get.
    :param secret: the key that the gateway used and the client never had; empty when there is none.
    """
    if secret and (secret in repr(got.headers) or secret.encode() in got.body):
        return Outcome.LEAK, "the gateway's own key came with the answer"
    if got.ending == "not http":
        return Outcome.BROKEN, "not HTTP/1.1"
    if not got.status:
        return (Outcome.HANG, "no answer") if got.ending == "quiet" else (Outcome.BROKEN, "closed without an answer")
    if got.status >= 300:
        return Outcome.ERROR_STATUS, str(got.status)
    body = _decoded(got)
    if body is None:
        return Outcome.BROKEN, "a compressed body that is not valid"
    if got.status != 200:
        return Outcome.EMPTY, f"{got.status}, {len(body)} bytes"
    return _stream(got, body, wanted) if stream else _whole(got, body, wanted)


def _decoded(got: Observed) -> bytes | None:
    if got.headers.get("content-encoding", "identity") == "identity":
        return got.body
    decoder = zlib.decompressobj(47)  # gzip or zlib, by its header
    try:
        body = decoder.decompress(got.body, _MOST)
    except zlib.error:
        return None
    # Clients take what a truncated gzip holds; what the framing says about it counts.
    return body


def _stream(got: Observed, body: bytes, wanted: Choices) -> tuple[Outcome, str]:
    kind = got.headers.get("content-type", "").partition(";")[0].strip().lower()
    found = _read(body, kind)
    tokens = f"{len(''.join(choice[0] for choice in found.choices.values()))} characters"
    if found.error:
        return Outcome.ERROR_EVENT, "then [DONE]" if found.done else ""
    if kind == "application/json" and not found.events:
        return _json_error(body) or (Outcome.NO_STREAM, kind)
    right = _same(found.choices, wanted)
    if found.complete and right:
        # The answer is there in full: how its connection ended is of no interest any more.
        return (Outcome.VERBATIM, f"{found.malformed}") if found.malformed else (Outcome.ANSWER, "")
    if got.ending == "cut":
        return Outcome.BROKEN, f"after {tokens}"
    if got.ending == "quiet":
        return Outcome.HANG, f"after {tokens}"
    if not found.events or found.malformed == found.events:
        plain = not body.strip() or kind == "text/event-stream" or kind in _NDJSON
        return (Outcome.EMPTY, f"{len(body)} bytes") if plain else (Outcome.NO_STREAM, kind or "no content type")
    if found.complete:
        return (Outcome.PARTIAL if _part(found.choices, wanted) else Outcome.ALTERED), tokens
    if found.done:
        return Outcome.FALSE_DONE, tokens
    return (Outcome.SILENT, tokens) if any(choice[0] for choice in found.choices.values()) else (Outcome.EMPTY, "")


def _whole(got: Observed, body: bytes, wanted: Choices) -> tuple[Outcome, str]:
    if got.ending == "cut":
        return Outcome.BROKEN, f"after {len(body)} bytes"
    if got.ending == "quiet":
        return Outcome.HANG, f"after {len(body)} bytes"
    try:
        answer = json.loads(body)
        choices = {choice["index"]: _choice(choice) for choice in answer["choices"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        return _json_error(body) or (Outcome.NO_STREAM, f"200 with {len(body)} bytes that are no answer")
    if _same(choices, wanted):
        return Outcome.ANSWER, ""
    return (Outcome.PARTIAL if _part(choices, wanted) else Outcome.ALTERED), ""


def _json_error(body: bytes) -> tuple[Outcome, str] | None:
    """A 200 whose body is an error object alone: SDKs that were asked for a stream do not look at it."""
    return (Outcome.NO_STREAM, "200 with an error as its body") if error_of(body) is not None else None


def _same(found: Choices, wanted: Choices) -> bool:
    """Equal, but for what gateways may add: a finish reason is compared, an empty choice is not."""
    return {index: choice for index, choice in found.items() if any(choice)} == wanted


def _part(found: Choices, wanted: Choices) -> bool:
    return all(wanted.get(index, ("",))[0].startswith(choice[0]) for index, choice in found.items())
