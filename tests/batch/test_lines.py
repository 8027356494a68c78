"""batch/lines.py: OpenAI's batch format, read strictly and written in one line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.batch.lines import Answer, answer_line, body_of, request_of
from tidegate.errors import InvalidRequest

GOOD: dict[str, Any] = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}, "other": 1.5},
}


def line(**change: Any) -> bytes:
    return json.dumps({name: value for name, value in {**GOOD, **change}.items() if value is not ...}).encode()


def test_a_line_is_a_request_and_never_a_stream() -> None:
    request = request_of(line(), 3, 100)
    assert (request.number, request.offset, request.custom_id, request.path) == (3, 100, "a", "/v1/chat/completions")
    assert json.loads(body_of(line(), 3)) == {"model": "m", "messages": [], "other": 1.5}


def test_the_digest_is_of_the_words_and_not_of_the_line_end() -> None:
    assert request_of(line(), 1, 0).digest == request_of(line() + b"\r\n", 9, 5).digest
    assert request_of(line(), 1, 0).digest != request_of(line(body={}), 1, 0).digest


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"{half", "line 7: not a JSON object"),
        (b"[]", "line 7: not a JSON object"),
        (b"[" * 200_000, "line 7: not a JSON object"),
        (line(custom_id=...), 'line 7: "custom_id" is missing'),
        (line(custom_id=5), 'line 7: "custom_id" is missing'),
        (line(method="GET"), 'line 7: "method" must be POST'),
        (line(url=...), 'line 7: "url" must be a path'),
        (line(url="http://elsewhere/"), 'line 7: "url" must be a path'),
        (line(url="/v1 HTTP/1.1\r\nx: y"), 'line 7: "url" must be a path'),
        (line(body="secret"), 'line 7: "body" must be an object'),
    ],
)
def test_what_is_wrong_is_named_by_its_line_and_not_repeated(bad: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        request_of(bad, 7, 0)
    assert "secret" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=4), st.sampled_from([None, 2, "\t"]))
def test_a_body_passes_on_as_it_came_in_one_line(body: dict[str, Any], indent: Any) -> None:
    request = request_of(line(), 1, 0)
    raw = json.dumps(body, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return  # half a surrogate pair is not JSON in UTF-8, and `judged` keeps no such body
    found = answer_line(request, Answer(200, "r", raw))
    assert b"\n" not in found
    assert json.loads(found)["response"] == {"status_code": 200, "request_id": "r", "body": body}


def test_a_failure_has_its_error_and_what_answer_there_was() -> None:
    request = request_of(line(), 1, 0)
    lost = json.loads(answer_line(request, Answer(error=("lost", "closed"))))
    assert (lost["response"], lost["error"]) == (None, {"code": "lost", "message": "closed"})
    refused = json.loads(answer_line(request, Answer(404, "", b'{"error": {}}', ("http_404", "HTTP 404"))))
    assert refused["response"]["body"] == {"error": {}}
    assert refused["id"] == f"batch_req_{request.digest}"
