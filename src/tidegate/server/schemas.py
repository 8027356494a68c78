"""JSON schemas (2020-12, OpenAPI 3.1's dialect) of everything that the HTTP interface takes and gives.

What is ours is closed: a field that is not here is a fault. What is OpenAI's, or passes through from a model server,
is open: providers add fields, and the gateway carries them as they come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from tidegate.policy.budgets import PERIODS
from tidegate.policy.key_specs import MAX_NAME
from tidegate.relay.endings import Framing
from tidegate.relay.lifecycle import Reason, State
from tidegate.wire.chat_request import MAX_MODEL_CHARS

__all__ = ["SCHEMAS", "ref"]

Schema = dict[str, Any]


_GROUPS: Final = ("key", "tag", "model", "reason", "day")
_COUNTS: Final = ("streams", "unpriced", "unknown")
_TOKENS: Final = ("prompt_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
_SHARES: Final = ("completion_ratio", "cancel_ratio")
_TIMES: Final = tuple(f"{which}_p{percent}" for which in ("ttft", "tpot") for percent in (50, 95, 99))
_PERCEIVED: Final = ("perceived_p50", "perceived_p95")


def ref(name: str) -> Schema:
    """A reference to one of :data:`SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _ours(properties: Mapping[str, Schema], *, optional: Iterable[str] = ()) -> Schema:
    """An object with exactly these fields."""
    required = [name for name in properties if name not in tuple(optional)]
    return {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}


def _open(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    """An object with these fields, and whatever else its maker puts there."""
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _text(about: str = "", **more: Any) -> Schema:
    return {"type": "string", **({"description": about} if about else {}), **more}


def _count(about: str = "") -> Schema:
    return {"type": "integer", "minimum": 0, **({"description": about} if about else {})}


def _seconds(about: str) -> Schema:
    return {"type": "number", "minimum": 0, "description": f"{about} Seconds."}


_FINISH: Final = _or_null(_text("`stop`, `length`, `tool_calls`, `content_filter`, or a provider's own word."))

_MARK: Final[Schema] = {
    **_ours(
        {"reason": _text(), "usage": {"const": "estimated"}, "validation": ref("Validation")},
        optional=("reason", "usage", "validation"),
    ),
    "description": "What the gateway did to this answer: why it ended it, whether the usage is its estimate, and its "
    "verdict on the whole.",
}

_FINDINGS: Final[Schema] = {
    "type": "array",
    "items": _ours(
        {
            "check": _text("`json`, `schema`, `rule`, `finish_reason`; or `size`."),
            "choice": _count(),
            "detail": _text("The schema's keyword, the rule's name, the finish reason; or why it was not checked."),
            "at": _count("Characters before the first that is no JSON."),
            "path": _text("Where in the schema the keyword stands. Only in the answer itself."),
        },
        optional=("at", "path"),
    ),
}

_VALIDATION: Final[Schema] = {
    **_ours(
        {"valid": _or_null({"type": "boolean"}), "failed": _FINDINGS, "unchecked": _FINDINGS},
        optional=("failed", "unchecked"),
    ),
    "description": "The verdict on a whole answer. `valid` is null when nothing failed and something was not checked.",
}

_USAGE: Final = _open(
    {"prompt_tokens": _count(), "completion_tokens": _count(), "total_tokens": _count()},
)

_CHAT_REQUEST: Final[Schema] = {
    **_open(
        {
            "model": _text("A name from `/v1/models`.", minLength=1, maxLength=MAX_MODEL_CHARS),
            "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
        },
        stream={"type": ["boolean", "null"], "description": "Ignored by `/api/v1/chat/stream`, which always streams."},
        stream_options={"type": ["object", "null"], "properties": {"include_usage": {"type": ["boolean", "null"]}}},
    ),
    "description": "OpenAI's chat request. Fields that are not here pass to the model server as they come.",
    "example": {"model": "sim/prose", "messages": [{"role": "user", "content": "Why is the sea salt?"}]},
}

_CHUNK: Final[Schema] = {
    **_open(
        {
            "id": _text(),
            "object": {"const": "chat.completion.chunk"},
            "created": {"type": "integer"},
            "model": _text(),
            "choices": {
                "type": "array",
                "items": _open({"index": _count(), "delta": {"type": "object"}}, finish_reason=_FINISH),
            },
        },
        usage=_or_null(ref("Usage")),
        tidegate=ref("Mark"),
    ),
    "description": "One event of a stream: a piece of the answer, its finish reason, or (no choices) its usage.",
}

_COMPLETION: Final = _open(
    {
        "id": _text(),
        "object": {"const": "chat.completion"},
        "created": {"type": "integer"},
        "model": _text(),
        "choices": {
            "type": "array",
            "items": _open({"index": _count(), "message": {"type": "object"}, "finish_reason": _FINISH}),
        },
    },
    usage=ref("Usage"),
    tidegate=ref("Mark"),
)

_ERROR: Final[Schema] = {
    **_ours(
        {
            "error": _ours(
                {
                    "message": _text("One sentence for a person. Never a key, a prompt or a completion."),
                    "type": _text("OpenAI's error types, and `upstream_error`, `timeout_error`, `cancelled`."),
                    "code": _or_null(_text("For a program.")),
                    "param": _or_null(_text("The request's field at fault.")),
                    "stream_id": _text("When there was a stream."),
                },
                optional=("stream_id",),
            )
        }
    ),
    "description": "The whole body of a response that is not 2xx, or the last event of a stream that began with 200.",
}

_STREAM: Final = _ours(
    {
        "id": _text("32 digits, at random; also in the header `x-stream-id`.", pattern="^[0-9a-f]{32}$"),
        "object": {"const": "tidegate.stream"},
        "client": _text("The key's id, or `anonymous`."),
        "model": _text("As it was asked for."),
        "upstream": _or_null(_text("The name of the model server.")),
        "served_model": _or_null(_text("The model's name there.")),
        "framing": {"enum": [framing.value for framing in Framing]},
        "state": {"enum": [state.value for state in State]},
        "reason": _or_null({"enum": [reason.value for reason in Reason]}),
        "finish_reason": _FINISH,
        "status": _or_null({"type": "integer"}),
        "created": {"type": "number", "description": "Unix time of acceptance."},
        "duration": _seconds("From acceptance until now, or until the end."),
        "ttft": _or_null(_seconds("From acceptance to the first token.")),
        "tpot": _or_null(_seconds("Mean time per token after the first.")),
        "added_latency": _or_null(_seconds("What the gateway added to the first token.")),
        "tokens": _count("Content deltas delivered."),
        "usage": _or_null(_ours({"prompt_tokens": _count(), "output_tokens": _count()})),
        "retries": _count("Further tries before the first token."),
        "bytes_out": _count(),
        "malformed": _count("Events of the upstream that were not valid and were left out."),
        "error": _or_null(_text("The error's code.")),
        "validation": _or_null(ref("Validation")),
        "paused": {"type": "boolean", "description": "The reader is behind, and the model server is not being read."},
        "safety": {
            "type": "array",
            "description": "What safety rules found in the prompt and the answer, when they found something.",
            "items": _ours(
                {
                    "rule": _text("Its name."),
                    "action": {"enum": ["tag", "redact", "block"]},
                    "count": _count("How often."),
                }
            ),
        },
        "reader": ref("SeenReport"),
        "replica": _text("The process that has it, where several share a Redis; for an admin's key."),
    },
    optional=("safety", "reader", "replica"),
)

_PARTIAL: Final[Schema] = {
    "const": True,
    "description": "There may be more: another process did not answer, or what they meet by is away.",
}

_LIMIT: Final = _or_null({"type": "integer", "minimum": 1})
_MOMENT: Final = _or_null(_text(format="date-time"))
_TAGS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}

_KEY: Final = _ours(
    {
        "id": _text(),
        "object": {"const": "tidegate.key"},
        "name": _text(),
        "key": _text("The secret; at creation and rotation only.", pattern="^tg-[0-9A-Za-z]{49}$"),
        "state": {"enum": ["active", "expired", "revoked"]},
        "tags": _TAGS,
        "models": {"type": "array", "items": {"type": "string"}},
        "rpm": _LIMIT,
        "tpm": _LIMIT,
        "concurrent": _LIMIT,
        "budget": _or_null(
            _ours(
                {
                    "amount": {"type": "number", "exclusiveMinimum": 0},
                    "currency": {"const": "USD"},
                    "period": {"enum": list(PERIODS)},
                }
            )
        ),
        "on_disconnect": _or_null({"enum": ["cancel", "drain"]}),
        "safety": _or_null(_text("A profile's name.")),
        "admin": {"type": "boolean"},
        "compression": {"type": "boolean"},
        "obfuscation": {"type": "boolean"},
        "created": _MOMENT,
        "expires": _MOMENT,
        "revoked": _MOMENT,
        "previous_until": _MOMENT,
    },
    optional=("key",),
)

_NEW_KEY: Final[Schema] = {
    **_ours(
        {
            "name": _text(minLength=1, maxLength=MAX_NAME),
            "tags": _or_null(_TAGS),
            "models": _or_null({"type": "array", "items": {"type": "string"}}),
            "rpm": _LIMIT,
            "tpm": _LIMIT,
            "concurrent": _LIMIT,
            "budget": {"description": '`"5.00/day"`, or as a key shows it.', "type": ["string", "object", "null"]},
            "expires": {"description": "`30d`, or a date.", "type": ["string", "integer", "null"]},
            "on_disconnect": _or_null({"enum": ["cancel", "drain"]}),
            "safety": _or_null(_text("A profile's name.")),
            "admin": {"type": ["boolean", "null"]},
            "compression": {"type": ["boolean", "null"]},
            "obfuscation": {"type": ["boolean", "null"]},
        },
        optional=(
            *("tags", "models", "rpm", "tpm", "concurrent", "budget", "expires"),
            *("on_disconnect", "safety", "admin", "compression", "obfuscation"),
        ),
    ),
    "description": "What is left out has no limit.",
    "example": {"name": "web", "rpm": 60, "budget": "5.00/day", "tags": {"team": "search"}},
}

SCHEMAS: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        "ChatRequest": _CHAT_REQUEST,
        "ChatCompletion": _COMPLETION,
        "ChatCompletionChunk": _CHUNK,
        "Usage": _USAGE,
        "Mark": _MARK,
        "Validation": _VALIDATION,
        "Error": _ERROR,
        "Model": _ours(
            {"id": _text(), "object": {"const": "model"}, "created": {"type": "integer"}, "owned_by": _text()}
        ),
        "ModelList": _ours({"object": {"const": "list"}, "data": {"type": "array", "items": ref("Model")}}),
        "Stream": _STREAM,
        "StreamList": _ours(
            {
                "object": {"const": "list"},
                "data": {"type": "array", "items": ref("Stream")},
                "readers": ref("Readers"),
                "partial": _PARTIAL,
            },
            optional=("readers", "partial"),
        ),
        "UsageList": _ours({"object": {"const": "list"}, "data": {"type": "array", "items": ref("UsageGroup")}}),
        "UsageGroup": {
            **_ours(
                {
                    **{name: {"type": "string"} for name in _GROUPS},
                    **{name: _count() for name in _COUNTS},
                    **{name: _or_null(_count()) for name in _TOKENS},
                    "estimated_share": _or_null({"type": "number", "minimum": 0, "maximum": 1}),
                    "cost": {"type": ["number", "null"], "description": "US dollars"},
                    **{name: {"type": "number", "minimum": 0, "maximum": 1} for name in _SHARES},
                    **{name: {"type": ["number", "null"], "description": "Seconds"} for name in _TIMES},
                    "readers": _count("Reports of readers' pages, of the latest 100,000."),
                    "readers_completion_ratio": _or_null({"type": "number", "minimum": 0, "maximum": 1}),
                    **{name: {"type": ["number", "null"], "description": "Seconds"} for name in _PERCEIVED},
                    "timed": _count("Answers, the latest, that the percentiles are of."),
                },
                optional=(*_GROUPS, *_TIMES, "timed"),
            ),
            "description": "One group: the field that it is grouped by, and its figures; by model with percentiles.",
        },
        "StreamTable": {
            **_ours(
                {
                    "live": _count(),
                    "streams": {"type": "array", "items": ref("Stream")},
                    "readers": ref("Readers"),
                    "partial": _PARTIAL,
                },
                optional=("readers", "partial"),
            ),
            "description": "The data of one `streams` event of `/v1/streams/events`; at most 500 rows, the newest.",
        },
        "Readers": {
            **_ours(
                {
                    "reports": _count("Of readers' pages."),
                    "completion_ratio": _or_null({"type": "number", "minimum": 0, "maximum": 1}),
                    "perceived_latency": _or_null({"type": "number", "description": "Median, in seconds."}),
                }
            ),
            "description": "What readers' pages reported of all streams; for an admin's key, once there is a report.",
        },
        "EndedStreams": {
            "type": "array",
            "items": ref("Stream"),
            "description": "The data of one `ended` event: those that ended, or whose reader reported.",
        },
        "SeenReport": {
            "type": "object",
            "additionalProperties": {"type": ["number", "boolean", "null"]},
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": 40},
            "maxProperties": 32,
            "example": {"ttft": 0.21, "tokens": 120},
        },
        "VirtualKey": _KEY,
        "VirtualKeyList": _ours({"object": {"const": "list"}, "data": {"type": "array", "items": ref("VirtualKey")}}),
        "NewVirtualKey": _NEW_KEY,
        "Rotation": _ours(
            {"grace": {"description": "`24h`, or seconds.", "type": ["string", "integer"]}}, optional=("grace",)
        ),
        "Health": _ours({"status": {"const": "ok"}, "version": _text()}),
        "Ready": _ours({"status": {"const": "ready"}}),
        "Draining": _ours({"status": {"const": "draining"}, "live": _count("Streams that have not ended.")}),
    }
)
"""By name: ``components.schemas`` of the document."""
