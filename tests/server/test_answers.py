"""server/answers.py: every answer that is no stream has OpenAI's shape, and the headers that its status asks for."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tidegate.errors import InvalidRequest, Overloaded, RequestTimeout, RequestTooLarge, TidegateError, Unauthorized
from tidegate.server.answers import error_response, http_error, json_response, raised


def request(path: str = "/v1/x", method: str = "GET") -> Request:
    return Request({"type": "http", "method": method, "path": path, "headers": [], "query_string": b""})


def answered(error: HTTPException, of: Request | None = None) -> Response:
    return asyncio.run(http_error(of or request(), error))


def error_of(response: Response) -> Any:
    assert response.headers["content-type"] == "application/json"
    body = json.loads(bytes(response.body))
    assert set(body) == {"error"}
    assert {"message", "type", "code", "param"} <= set(body["error"])
    return body["error"]


def test_json_is_compact_and_says_its_length() -> None:
    response = json_response({"a": "ü"}, 201, {"x-y": "z"})
    assert bytes(response.body) == '{"a":"ü"}'.encode()
    assert (response.status_code, response.headers["x-y"]) == (201, "z")
    assert response.headers["content-length"] == "10"


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (InvalidRequest("No.", param="model"), 400, {}),
        (Unauthorized("Who?"), 401, {"www-authenticate": "Bearer"}),
        (RequestTimeout("Slow."), 408, {"connection": "close"}),
        (RequestTooLarge("Large."), 413, {"connection": "close"}),
        (Overloaded("Full.", retry_after=0.1), 503, {"retry-after": "1"}),
        (Overloaded("Full.", retry_after=7.6), 503, {"retry-after": "8"}),
    ],
)
def test_an_error_has_its_status_and_what_belongs_to_it(
    error: TidegateError, status: int, headers: dict[str, str]
) -> None:
    for response in (error_response(error), asyncio.run(raised(request(), error))):
        assert response.status_code == status
        assert error_of(response)["message"] == error.message
        found = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        assert found == headers


def test_an_unknown_path_is_named() -> None:
    error = error_of(answered(HTTPException(404), request("/v2/chat", "POST")))
    assert (error["code"], error["message"]) == ("unknown_url", "Unknown path: POST /v2/chat.")


def test_a_path_is_shown_short_and_printable() -> None:
    """It is the client's own text."""
    message = error_of(answered(HTTPException(404), request("/\x1b[31m" + "x" * 1000)))["message"]
    assert message.isprintable()
    assert len(message) < 300


def test_a_method_that_is_not_allowed_is_told_which_are() -> None:
    response = answered(HTTPException(405, headers={"Allow": "GET, HEAD"}), request("/v1/models", "PUT"))
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")
    assert "PUT is not allowed on /v1/models. Allowed: GET, HEAD." in error_of(response)["message"]


def test_other_refusals_of_the_framework_keep_their_status() -> None:
    response = answered(HTTPException(422, "Odd."))
    assert (response.status_code, error_of(response)["message"]) == (422, "Odd.")


def test_a_failure_of_the_framework_tells_nothing_of_itself() -> None:
    response = answered(HTTPException(500, "secret detail"))
    assert response.status_code == 500
    assert "secret" not in error_of(response)["message"]
