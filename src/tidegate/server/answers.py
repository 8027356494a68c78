"""Responses that are not streams: JSON, and errors in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tidegate.errors import InternalError, InvalidRequest, LimitReached, MethodNotAllowed, TidegateError
from tidegate.server.admission import Admission
from tidegate.wire.openai_chat import encode_json

__all__ = ["error_response", "http_error", "json_response", "raised", "refused"]


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """``body`` as JSON."""
    return Response(encode_json(body), status, dict(headers or {}), "application/json")


def error_response(error: TidegateError) -> Response:
    """An error as a response of its own."""
    headers = {}
    if error.retry_after is not None:
        # Never too early: whoever comes back when told to shall be let in.
        headers["retry-after"] = str(max(1, ceil(error.retry_after)))
    if isinstance(error, LimitReached):
        headers.update((name.decode(), value.decode()) for name, value in error.headers)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.status in (408, 413):
        # What is left of the body is not worth reading.
        headers["connection"] = "close"
    return json_response(error.public(), error.status, headers)


def refused(admission: Admission, error: TidegateError) -> Response:
    """The answer to a request that does not become a stream; counted."""
    admission.metrics.refused(error.cause if isinstance(error, LimitReached) else error.code)
    return error_response(error)


async def raised(_: Request, error: Exception) -> Response:
    """For errors of our own that a route raised."""
    assert isinstance(error, TidegateError)
    return error_response(error)


async def http_error(request: Request, error: Exception) -> Response:
    """For those that the framework raised: no such path, not that method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return error_response(
            InvalidRequest(f"Unknown path: {request.method} {_shown(request)}.", status=404, code="unknown_url")
        )
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        response = error_response(
            MethodNotAllowed(f"{request.method} is not allowed on {_shown(request)}. Allowed: {allowed}.")
        )
        response.headers["allow"] = allowed
        return response
    if error.status_code < 500:
        return error_response(InvalidRequest(str(error.detail), status=error.status_code))
    return error_response(InternalError("The gateway failed; the details are in its log."))


def _shown(request: Request) -> str:
    path = request.url.path[:200]
    return path if path.isprintable() else ascii(path)
