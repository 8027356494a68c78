"""PURE. What the answers to one request are checked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tidegate.safety.classifier import Classifier, ClassifierOptions
from tidegate.safety.json_prefix import Root
from tidegate.safety.validation import UserRules, ValidationOptions

if TYPE_CHECKING:
    from tidegate.relay.checks.schemas import SchemaChecker

__all__ = ["CheckPlan", "Promise", "Seat", "promise_of"]


class Seat(NamedTuple):
    """A classifier, and how it is used."""

    options: ClassifierOptions
    classifier: Classifier


class Promise(NamedTuple):
    """What ``response_format`` asks an answer to be."""

    root: Root
    schema: bytes | None
    """JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPlan:
    """All of it, for one request."""

    options: ValidationOptions
    rules: UserRules | None = None
    promise: Promise | None = None
    schemas: SchemaChecker | None = None
    """``None``: schemas are not checked."""
    report: bool = False
    validates: bool = False
    """There is a verdict on the whole answer."""
    seats: tuple[Seat, ...] = ()


def promise_of(fields: Mapping[str, msgspec.Raw]) -> Promise | None:
    """What a request's ``response_format`` promises; ``None`` when it asks for no JSON, or in words that we do not
    know.
    """
    raw = fields.get("response_format")
    if raw is None:
        return None
    try:
        asked = msgspec.json.decode(raw, type=_ResponseFormat)
    except (msgspec.DecodeError, RecursionError):
        return None
    if asked.type == "json_object":
        return Promise("object", _schema(asked.schema))
    if asked.type == "json_schema":
        return Promise("any", _schema(asked.json_schema.schema))
    return None


def _schema(raw: msgspec.Raw) -> bytes | None:
    return bytes(raw) if bytes(raw) not in (b"", b"null") else None


class _JsonSchema(msgspec.Struct, frozen=True):
    schema: msgspec.Raw = msgspec.Raw(b"")


class _ResponseFormat(msgspec.Struct):
    type: str = ""
    json_schema: _JsonSchema = _JsonSchema()
    schema: msgspec.Raw = msgspec.Raw(b"")
    """Beside ``json_object``: llama.cpp's and Together's way."""
