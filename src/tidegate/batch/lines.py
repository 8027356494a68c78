"""PURE. OpenAI's batch format: requests in, answers out, one JSON object a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tidegate.errors import InvalidRequest
from tidegate.wire.openai_chat import encode_json

__all__ = ["Answer", "Request", "answer_line", "body_of", "request_of"]


@dataclass(frozen=True, slots=True)
class Request:
    """One line of the input. Its body is read again when it is sent: a file may be larger than memory."""

    number: int
    """From 1."""
    offset: int
    length: int
    custom_id: str
    path: str
    digest: str
    """Of the line: an answer belongs to it only if it was asked for with the same words."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request. ``body`` is the server's JSON, or ``None`` when there is none to be had."""

    status: int = 0
    """0: there was no answer."""
    request_id: str = ""
    body: bytes | None = None
    error: tuple[str, str] | None = None
    """Code and message; ``None`` for a good answer."""
    prompt_tokens: int = 0
    output_tokens: int = 0
    model: str = ""


def request_of(line: bytes, number: int, offset: int) -> Request:
    """Read a line.

    :raises InvalidRequest: what is wrong with it, by its number, never by its content.
    """
    document = _document(line, number)
    custom_id, method, path = document.get("custom_id"), document.get("method", "POST"), document.get("url")
    if not isinstance(custom_id, str) or not custom_id:
        raise InvalidRequest(f'line {number}: "custom_id" is missing.')
    if method != "POST":
        raise InvalidRequest(f'line {number}: "method" must be POST.')
    if not isinstance(path, str) or not path.startswith("/") or not path.isascii() or any(c <= " " for c in path):
        raise InvalidRequest(f'line {number}: "url" must be a path, such as /v1/chat/completions.')
    if not isinstance(document.get("body"), dict):
        raise InvalidRequest(f'line {number}: "body" must be an object.')
    digest = hashlib.blake2b(line.strip(), digest_size=12).hexdigest()
    return Request(number, offset, len(line), custom_id, path, digest)


def body_of(line: bytes, number: int) -> bytes:
    """The body to send: as it is in the line, but never as a stream."""
    body = dict(_document(line, number)["body"])
    body.pop("stream", None)
    body.pop("stream_options", None)
    return encode_json(body)


def _document(line: bytes, number: int) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise InvalidRequest(f"line {number}: not a JSON object.")
    return document


def answer_line(request: Request, answer: Answer) -> bytes:
    """The line of the output, without its end."""
    response: Mapping[str, Any] | None = None
    if answer.status:
        body = msgspec.Raw(msgspec.json.format(answer.body, indent=-1)) if answer.body is not None else None
        response = {"status_code": answer.status, "request_id": answer.request_id, "body": body}
    error = {"code": answer.error[0], "message": answer.error[1]} if answer.error is not None else None
    return msgspec.json.encode(
        {"id": f"batch_req_{request.digest}", "custom_id": request.custom_id, "response": response, "error": error}
    )
