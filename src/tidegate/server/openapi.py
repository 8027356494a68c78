"""``GET /openapi.json``: the HTTP interface as an OpenAPI 3.1 document, beside the routes that it describes.

One table, :data:`OPERATIONS`, has a row for every route of ``app.py``; a test holds the two together, and real answers
against the schemas.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from tidegate import __version__
from tidegate.errors import TidegateError
from tidegate.server.schemas import SCHEMAS, ref

__all__ = ["OPERATIONS", "Operation", "document", "error_codes"]

JSON: Final = "application/json"
SSE: Final = "text/event-stream"
NDJSON: Final = "application/x-ndjson"
_LINES: Final = "One JSON object a line; an empty line is a heartbeat. A finish reason and a clean end: it is complete."
_EVENTS: Final = (
    "Server-sent events, each `data:` one JSON object; a line that begins with a colon is a heartbeat. "
    "`data: [DONE]` only after a complete answer; an error event is the last."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    id: str
    summary: str
    tag: str
    answers: Mapping[str, str | None]
    """Media type -> the name of the schema of the body, or of one event of it; ``None``: text."""
    status: int = 200
    about: str = ""
    takes: str | None = None
    """The schema of the JSON body."""
    errors: tuple[int, ...] = ()
    more: Mapping[int, str] = field(default_factory=dict)
    """Further statuses that are answers and not errors, with their schema."""
    streams: bool = False
    """The response carries ``x-stream-id``."""
    needs_key: bool = True
    query: Mapping[str, str] = field(default_factory=dict)
    """Parameters of the query -> what they say."""


_CHAT_ERRORS: Final = (400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504)
_STREAM_ERRORS: Final = (401, 404, 503)
_ADMIN_ERRORS: Final = (401, 403, 409, 503)

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = MappingProxyType(
    {
        ("/v1/chat/completions", "POST"): Operation(
            id="createChatCompletion",
            summary="A chat answer, as OpenAI has it",
            tag="Chat",
            about="`stream: true` is server-sent events, or NDJSON with `Accept: application/x-ndjson`; else one body.",
            takes="ChatRequest",
            answers={SSE: "ChatCompletionChunk", NDJSON: "ChatCompletionChunk", JSON: "ChatCompletion"},
            errors=_CHAT_ERRORS,
            streams=True,
        ),
        ("/api/v1/chat/stream", "POST"): Operation(
            id="streamChat",
            summary="A chat answer, always streamed",
            tag="Chat",
            about="The same body; NDJSON unless `Accept: text/event-stream`.",
            takes="ChatRequest",
            answers={NDJSON: "ChatCompletionChunk", SSE: "ChatCompletionChunk"},
            errors=_CHAT_ERRORS,
            streams=True,
        ),
        ("/v1/models", "GET"): Operation(
            id="listModels",
            summary="The models that this key may use",
            tag="Models",
            answers={JSON: "ModelList"},
            errors=(401,),
        ),
        ("/v1/models/{id}", "GET"): Operation(
            id="getModel",
            summary="One of them",
            tag="Models",
            answers={JSON: "Model"},
            errors=(401, 404, 503),
        ),
        **{
            ("/v1/{call}", method): Operation(
                id=f"{method.lower()}Call",
                summary="Any other call of OpenAI's API, passed to the upstream of its model",
                tag="Calls",
                about="As it came, and so is the answer; `call` may have slashes. A call without a model goes where "
                "the header `x-tidegate-upstream` or `[server] default_upstream` says.",
                answers={JSON: None, SSE: None, "application/octet-stream": None},
                errors=_CHAT_ERRORS,
                streams=True,
            )
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        },
        ("/v1/streams", "GET"): Operation(
            id="listStreams",
            summary="Live streams: the key's own, an admin's all",
            tag="Streams",
            answers={JSON: "StreamList"},
            errors=(401, 503),
        ),
        ("/v1/streams/events", "GET"): Operation(
            id="watchStreams",
            summary="The live table as an event stream",
            tag="Streams",
            about="A `streams` event whenever the live ones changed, an `ended` event with those that ended, at most "
            "two of each a second. At first all that are still known come.",
            answers={SSE: "StreamTable"},
            errors=(401, 503),
        ),
        ("/v1/streams/{id}", "GET"): Operation(
            id="getStream",
            summary="One stream, live or among the last 1,000 of its process that ended",
            tag="Streams",
            answers={JSON: "Stream"},
            errors=_STREAM_ERRORS,
        ),
        ("/v1/streams/{id}", "DELETE"): Operation(
            id="cancelStream",
            summary="Cancel: the model stops, a reader who is there gets an error event",
            tag="Streams",
            about="Again is the same.",
            answers={JSON: "Stream"},
            errors=_STREAM_ERRORS,
        ),
        ("/v1/streams/{id}/stop", "POST"): Operation(
            id="stopStream",
            summary="Soft stop: the model stops, the answer so far ends cleanly",
            tag="Streams",
            about="Again is the same.",
            answers={JSON: "Stream"},
            errors=_STREAM_ERRORS,
        ),
        ("/v1/streams/{id}/seen", "POST"): Operation(
            id="reportSeen",
            summary="Figures that the reader's page measured",
            tag="Streams",
            about="Numbers and booleans by name, 1 KiB at most; kept with the stream as `reader`.",
            takes="SeenReport",
            answers={},
            status=204,
            errors=(400, *_STREAM_ERRORS, 408, 413),
        ),
        ("/admin/keys", "GET"): Operation(
            id="listKeys",
            summary="Every virtual key, without its secret",
            tag="Keys",
            answers={JSON: "VirtualKeyList"},
            errors=_ADMIN_ERRORS,
        ),
        ("/admin/keys", "POST"): Operation(
            id="createKey",
            summary="A new virtual key; its secret is in this answer and kept nowhere",
            tag="Keys",
            takes="NewVirtualKey",
            answers={JSON: "VirtualKey"},
            status=201,
            errors=(400, *_ADMIN_ERRORS, 408, 413),
        ),
        ("/admin/keys/{id}", "GET"): Operation(
            id="getKey",
            summary="One virtual key, by its id or its name",
            tag="Keys",
            answers={JSON: "VirtualKey"},
            errors=(400, 404, *_ADMIN_ERRORS),
        ),
        ("/admin/keys/{id}", "DELETE"): Operation(
            id="revokeKey",
            summary="Revoke: good for no further request",
            tag="Keys",
            about="With `?cut=true` its live streams end too. Again is the same.",
            answers={JSON: "VirtualKey"},
            errors=(400, 404, *_ADMIN_ERRORS),
        ),
        ("/admin/keys/{id}/rotate", "POST"): Operation(
            id="rotateKey",
            summary="A new secret, in this answer and kept nowhere",
            tag="Keys",
            about="The old one stays good for `grace`: `24h` when nothing is said.",
            takes="Rotation",
            answers={JSON: "VirtualKey"},
            errors=(400, 404, *_ADMIN_ERRORS, 408, 413),
        ),
        ("/admin/usage", "GET"): Operation(
            id="usage",
            summary="Who used what, what it cost, how it ended",
            tag="Usage",
            about="By `key` when nothing is said. Costs are in US dollars; `null` where nothing has a price.",
            query={
                "by": "`key`, `tag`, `model`, `reason` or `day`",
                "since": "`30d`, `12h`, `today`, a date or a time",
                "reason": "Only streams that ended so",
            },
            answers={JSON: "UsageList"},
            errors=(400, 401, 403, 409, 503),
        ),
        ("/healthz", "GET"): Operation(
            id="healthz",
            summary="The process answers",
            tag="Operation",
            answers={JSON: "Health"},
            needs_key=False,
        ),
        ("/readyz", "GET"): Operation(
            id="readyz",
            summary="200 while new streams are welcome, 503 once the process is about to stop",
            tag="Operation",
            answers={JSON: "Ready"},
            more={503: "Draining"},
            needs_key=False,
        ),
        ("/metrics", "GET"): Operation(
            id="metrics",
            summary="Prometheus",
            tag="Operation",
            answers={"text/plain": None},
            needs_key=False,
        ),
        ("/openapi.json", "GET"): Operation(
            id="openapi",
            summary="This document",
            tag="Operation",
            answers={JSON: None},
            needs_key=False,
        ),
        ("/", "GET"): Operation(
            id="page",
            summary="The page: try a model, watch the streams",
            tag="Page",
            errors=(404,),
            answers={"text/html": None},
            needs_key=False,
        ),
        ("/static/page.js", "GET"): Operation(
            id="pageScript",
            summary="The page's script",
            tag="Page",
            errors=(404,),
            answers={"text/javascript": None},
            needs_key=False,
        ),
        ("/static/worker.js", "GET"): Operation(
            id="pageWorker",
            summary="The page's worker",
            tag="Page",
            errors=(404,),
            answers={"text/javascript": None},
            needs_key=False,
        ),
        ("/static/page.css", "GET"): Operation(
            id="pageStyle",
            summary="The page's style",
            tag="Page",
            errors=(404,),
            answers={"text/css": None},
            needs_key=False,
        ),
    }
)
"""Path and method of every route."""

_BESIDE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"ChatCompletionChunk": ("Error",), "StreamTable": ("EndedStreams",)}
)
"""Schema of a stream's usual event -> those of the others that may come in it."""

_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "/v1/streams": "`x-stream-id`",
        "/v1/models": "The model's name",
        "/v1/{call}": "`embeddings`, `responses`, `audio/transcriptions`, `files/{id}/content`, …",
        "/admin/keys": "The key's id, or its name",
    }
)
"""Start of a path -> what the parameter in it is."""

_STREAM_ID: Final = {"x-stream-id": {"description": "The stream's id.", "schema": {"type": "string"}}}
_RATES: Final = {
    f"x-ratelimit-{what}-{kind}": {
        "description": f"{about} {kind} per minute, of the limit with the least left.",
        "schema": {"type": "string" if what == "reset" else "integer"},
    }
    for what, about in (("limit", "The limit of"), ("remaining", "What is left of"), ("reset", "Until there are all"))
    for kind in ("requests", "tokens")
}
_RETRY_AFTER: Final = {"retry-after": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}


def document(root: str = "") -> dict[str, Any]:
    """The document.

    :param root: where the application is mounted (ASGI's ``root_path``).
    """
    paths: dict[str, Any] = {}
    for (path, method), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = _operation(path, operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate",
            "version": __version__,
            "summary": "A streaming gateway for LLM responses.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": root or "/"}],
        "paths": paths,
        "components": {
            "schemas": copy.deepcopy(dict(SCHEMAS)),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "`tg-…`, from the operator."}
            },
        },
    }


def error_codes() -> Iterator[type[TidegateError]]:
    """Every kind of error that can reach a client, in the order of the tree."""
    open_kinds = [TidegateError]
    while open_kinds:
        kind = open_kinds.pop(0)
        below = kind.__subclasses__()
        open_kinds[:0] = below
        if not below or ("default_code" in vars(kind) and kind is not TidegateError):
            yield kind


def _operation(path: str, operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": _responses(operation),
        # An empty requirement: `[auth] anonymous` may let in who has no key.
        "security": [{"key": []}, {}] if operation.needs_key else [],
    }
    if operation.about:
        found["description"] = operation.about
    for name in ("id", "call"):
        if f"{{{name}}}" in path:
            about = next(about for start, about in _PARAMETERS.items() if path.startswith(start))
            schema = {"type": "string"}
            found["parameters"] = [
                {"name": name, "in": "path", "required": True, "description": about, "schema": schema}
            ]
    if operation.query:
        found["parameters"] = [
            {"name": name, "in": "query", "description": about, "schema": {"type": "string"}}
            for name, about in operation.query.items()
        ]
    if operation.takes is not None:
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": ref(operation.takes)}}}
    return found


def _responses(operation: Operation) -> dict[str, Any]:
    good: dict[str, Any] = {"description": operation.summary}
    if operation.answers:
        good["content"] = {media: _content(media, name) for media, name in operation.answers.items()}
    if operation.streams:
        good["headers"] = _STREAM_ID | _RATES
    found = {str(operation.status): good}
    for status, name in operation.more.items():
        found[str(status)] = {"description": name, "content": {JSON: {"schema": ref(name)}}}
    for status in operation.errors:
        headers = (_RATES | _RETRY_AFTER) if status == 429 else _RETRY_AFTER if status == 503 else {}
        found[str(status)] = {
            "description": _ERRORS[status],
            "content": {JSON: {"schema": ref("Error")}},
            **({"headers": headers} if headers else {}),
        }
    return found


def _content(media: str, name: str | None) -> dict[str, Any]:
    if name is None:
        return {"schema": {"type": "object" if media == JSON else "string"}}
    if media == JSON:
        return {"schema": ref(name)}
    # OpenAPI 3.1 has no word for "a sequence of": the body is text, and the schema beside it is that of one event.
    about = _EVENTS if media == SSE else _LINES
    events = [ref(each) for each in (name, *_BESIDE.get(name, ()))]
    return {"schema": {"type": "string", "description": about, "contentSchema": {"anyOf": events}}}


_ERRORS: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "The request cannot be served as it is",
        401: "No key, or one that is not known",
        403: "The key is good, but not for this",
        404: "No such model or stream, or not for this key; a page that is not built",
        408: "The body did not arrive in time",
        409: "It cannot be done as things are: there is no ledger, or the key is revoked",
        413: "The body is too large",
        429: "A limit or a budget of the key, its tags, the model or the gateway is used up, or the model server "
        "refuses for now; any other 4xx of its own passes on likewise",
        500: "A bug of the gateway",
        502: "The model server failed",
        503: "A limit of the gateway is reached, or it is about to stop",
        504: "The model server was too slow",
    }
)
