"""What processes ask of one another about streams, and answer, as it goes over a bus.

What comes is checked as if a stranger had sent it: types, sizes, and that an id is one. A field that a newer version
adds is passed over, one that an older version does not send has its default: versions mix while a deployment rolls.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tidegate.shared.bus import TAG_DIGITS

__all__ = [
    "MAX_ROW",
    "MOST_PARTS",
    "MOST_ROWS",
    "Answer",
    "Operation",
    "Question",
    "Report",
    "Row",
    "decode",
    "decode_row",
    "encode",
]

MOST_ROWS: Final = 200
"""In one message."""

MOST_PARTS: Final = 2000
"""Of one answer."""

MAX_ROW: Final = 4096
"""Bytes."""

Operation = Literal["list", "table", "one", "stop", "cancel", "seen"]
Tag = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{{TAG_DIGITS}}}\Z")]
QuestionId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
StreamId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
Text = Annotated[str, Meta(max_length=256)]
Count = Annotated[int, Meta(ge=0)]
Seconds = float | None
Name = Annotated[str, Meta(max_length=40, pattern=r"^[A-Za-z_][A-Za-z0-9_]*\Z")]
Report = Annotated[dict[Name, int | float | bool | None], Meta(max_length=32)]
"""Figures that a reader's page measured."""


class Question(Struct, frozen=True, kw_only=True, tag="question", tag_field="kind"):
    """:param client: who wants to know, and may see only its own streams, unless it is an admin.
    :param after: of a table: by tag, which news of each are known already.
    """

    id: QuestionId
    sender: Tag
    operation: Operation
    client: Text
    admin: bool = False
    stream: StreamId | None = None
    after: Annotated[dict[Tag, Count], Meta(max_length=1000)] = {}
    report: Report | None = None


class Answer(Struct, frozen=True, kw_only=True, tag="answer", tag_field="kind"):
    """One message of an answer.

    :param rows: live streams, or the one that was asked for; none: no such stream.
    :param ended: of a table: streams that ended, or whose reader reported.
    :param live: of a table: how many are live; there may be fewer rows.
    :param told: of a table: what to ask with the next time.
    :param reader_ends: of a list or a table: how streams ended for readers, as their pages reported.
    :param perceived: of these: how many readers saw the first text in which bucket of time.
    :param part: its number, from 0.
    :param last: there is no part with a higher one.
    """

    id: QuestionId
    sender: Tag
    rows: Annotated[list[msgspec.Raw], Meta(max_length=MOST_ROWS)] = []
    ended: Annotated[list[msgspec.Raw], Meta(max_length=MOST_ROWS)] = []
    live: Count = 0
    told: Count = 0
    reader_ends: Annotated[dict[Name, Count], Meta(max_length=32)] = {}
    perceived: Annotated[list[Count], Meta(max_length=64)] = []
    part: Annotated[int, Meta(ge=0, lt=MOST_PARTS)] = 0
    last: bool = True


class Tokens(Struct, frozen=True):
    """Of a row."""

    prompt_tokens: Count
    output_tokens: Count


class Hits(Struct, frozen=True):
    """Of a row: how often a rule of the safety profile found something."""

    rule: Text
    action: Text
    count: Count


class Row(Struct, frozen=True, kw_only=True):
    """A stream, as ``GET /v1/streams`` shows it."""

    id: StreamId
    object: Literal["tidegate.stream"]
    client: Text
    model: Text
    upstream: Text | None
    served_model: Text | None
    framing: Text
    state: Text
    reason: Text | None
    finish_reason: Text | None
    status: int | None
    created: float
    duration: float
    ttft: Seconds
    tpot: Seconds
    tokens: Count
    usage: Tokens | None
    retries: Count
    bytes_out: Count
    added_latency: Seconds
    malformed: Count
    error: Text | None
    validation: dict[str, Any] | None = None
    paused: bool
    safety: Annotated[list[Hits], Meta(max_length=1000)] | UnsetType = UNSET
    reader: Report | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Question | Answer).decode
_decode_row = msgspec.json.Decoder(Row).decode


def encode(message: Question | Answer) -> bytes:
    """As it goes over the bus."""
    return _encode(message)


def decode(data: bytes) -> Question | Answer | None:
    """What came; ``None``: nothing that we know."""
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def decode_row(raw: msgspec.Raw) -> dict[str, Any] | None:
    """A row, as the API gives it; ``None``: it is none."""
    data = bytes(raw)
    if len(data) > MAX_ROW:
        return None
    try:
        found: dict[str, Any] = msgspec.to_builtins(_decode_row(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found
