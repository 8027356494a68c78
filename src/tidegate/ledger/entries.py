"""What the gateway tells the ledger of a stream, as it stands in the spool: JSON, one entry a line."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

__all__ = ["Begun", "Ended", "Item", "LegRow", "Seen", "clean", "decode", "digest", "encode", "tags_json"]

MAX_NAME = 256
"""Characters of a word that an upstream or a client chose."""

GATEWAY_CRASH = "gateway_crash"
"""The reason of a stream whose gateway died before it could say how it ended."""


class Begun(msgspec.Struct, frozen=True, tag="begun", tag_field="is"):
    """A stream has begun."""

    stream_id: str
    instance: str
    key_id: str
    tags: str
    model: str
    framing: str
    started_at: float


class LegRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of ``tables.legs``; the fields are its columns, in their order. ``None``: nobody knows."""

    id: str
    stream_id: str
    leg: int
    final: int
    instance: str
    key_id: str
    tags: str
    model: str
    served_model: str
    upstream: str
    framing: str
    started_at: float
    ended_at: float
    ttft: float | None = None
    tpot: float | None = None
    prompt_tokens: int | None = 0
    cached_tokens: int | None = 0
    output_tokens: int | None = 0
    reasoning_tokens: int | None = 0
    audio_tokens: int | None = 0
    delivered: int | None = 0
    estimated: int = 0
    cost: int | None = None
    reason: str
    finish_reason: str | None = None
    status: int | None = 0
    error_code: str | None = None
    retries: int | None = 0
    bytes_in: int | None = 0
    bytes_out: int | None = 0
    safety: str | None = None
    validation: str | None = None


class Ended(msgspec.Struct, frozen=True, tag="ended", tag_field="is"):
    """A stream has ended: all of its legs, in order, and its texts where they are kept."""

    legs: list[LegRow]
    prompt: str | None = None
    answer: str | None = None

    @property
    def stream_id(self) -> str:
        return self.legs[-1].stream_id


class Seen(msgspec.Struct, frozen=True, tag="seen", tag_field="is"):
    """A reader's page has reported of a stream that has ended: one row of ``tables.seen``, in its columns' order."""

    leg_id: str
    """Of the final leg."""
    ended_at: float
    reader_end: str | None
    perceived: float | None


Item: TypeAlias = Begun | Ended | Seen

_FIRST_COLUMNS: Final = 31
"""Columns of a row in the first version."""

_encode = msgspec.json.Encoder().encode
_sorted = msgspec.json.Encoder(order="sorted").encode
_decoder: msgspec.json.Decoder[Item] = msgspec.json.Decoder(Begun | Ended | Seen)


def encode(item: Item) -> bytes:
    """One line, without its end."""
    return _encode(item)


def decode(line: bytes) -> Item:
    """The entry of a line.

    :raises msgspec.DecodeError: it is none.
    """
    return _decoder.decode(line)


def digest(row: LegRow) -> str:
    """What the audit chain remembers of a row: SHA-256 of its columns as a JSON array. Columns that came later are not
    in it where they are empty, so that rows from before them keep their digest.
    """
    values = msgspec.structs.astuple(row)
    while len(values) > _FIRST_COLUMNS and values[-1] is None:
        values = values[:-1]
    return hashlib.sha256(_encode(values)).hexdigest()


def clean(text: str | None) -> str | None:
    """A word that somebody else chose, as every database takes it: no NUL, no half of a character, not endless."""
    if text is None or (text.isascii() and len(text) <= MAX_NAME and "\x00" not in text):
        return text
    return text[:MAX_NAME].replace("\x00", "").encode("utf-8", "replace").decode()


def tags_json(tags: object) -> str:
    """The tags of a key as a JSON object with sorted names; ``{}`` when there are none."""
    return _tags_json(tags) if isinstance(tags, tuple) else _tags_json(tuple(dict(tags or {}).items()))  # type: ignore[call-overload]


@lru_cache(maxsize=1024)
def _tags_json(tags: tuple[tuple[object, object], ...]) -> str:
    pairs = dict(tags)
    return _sorted({str(name): str(value) for name, value in pairs.items()}).decode()
