"""wire/call.py: what is read of a call, and the usage that an answer reports, in every shape of the API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.test_multipart import form
from tidegate.errors import InvalidRequest
from tidegate.events import Usage
from tidegate.wire.call import CallRequest, call_usage, parse_call, usage_in

JSON = b"application/json; charset=utf-8"
FORM = b"multipart/form-data; boundary=abc"


def call(body: bytes = b"", kind: bytes = JSON, path: str = "/embeddings", query: bytes = b"") -> CallRequest:
    return parse_call("POST", path, query, kind, body)


def test_a_json_call_names_its_model_and_passes_byte_for_byte() -> None:
    body = b'{ "model":"small", "input" : [1.50, 2e3], "new": {"x":1}}'
    found = call(body)
    assert (found.model, found.stream, found.once) == ("small", False, False)
    assert found.upstream_body("small") == body
    assert json.loads(found.upstream_body("real")) == {**json.loads(body), "model": "real"}
    assert b"[1.50, 2e3]" in found.upstream_body("real"), "numbers are as they came"
    assert found.body == body


@pytest.mark.parametrize(("stream", "found"), [(b"true", True), (b"false", False), (b"1", False), (b"null", False)])
def test_a_stream_is_one_that_says_true(stream: bytes, found: bool) -> None:
    assert call(b'{"model":"m","stream":' + stream + b"}").stream is found


def test_the_model_of_a_form_is_exchanged_in_its_place() -> None:
    body = form((b'name="file"; filename="f"', b"\xff\0"), (b'name="model"', b"small"), (b'name="stream"', b"true"))
    found = call(body, FORM)
    assert (found.model, found.stream, found.body) == ("small", True, b"")
    assert found.upstream_body("small") is body
    other = form((b'name="file"; filename="f"', b"\xff\0"), (b'name="model"', b"real"), (b'name="stream"', b"true"))
    assert found.upstream_body("real") == other


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", b""),
        (b"\0\1", b"application/octet-stream"),
        (b'{"purpose":"batch"}', JSON),
        (b'{"model":null}', JSON),
        (b'{"model":""}', b""),
        (form((b'name="purpose"', b"batch")), FORM),
        (b"not json", b""),
    ],
)
def test_a_call_without_a_model_has_none(body: bytes, kind: bytes) -> None:
    found = call(body, kind)
    assert (found.model, found.once) == ("", True)
    assert found.upstream_body("") is body
    assert not parse_call("GET", "/files", b"", kind, body).once


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"[]", JSON, "invalid_request"),
        (b"{", JSON, "invalid_json"),
        (b'{"model":{', JSON, "invalid_json"),
        (b'{"model":"\xff"}', JSON, "invalid_json"),
        (b'{"a":' + b"[" * 100_000, b"", "invalid_json"),
        (b'{"model":7}', JSON, "invalid_request"),
        (b'{"model":"a\\nb"}', JSON, "invalid_request"),
        (b'{"model":"' + b"x" * 257 + b'"}', JSON, "invalid_request"),
        (b"nothing", FORM, "invalid_form"),
        (form((b'name="model"', b"\xff")), FORM, "invalid_request"),
    ],
)
def test_what_cannot_be_read_is_refused(body: bytes, kind: bytes, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(body, kind)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        ("/files/a b/ü", b"", "/files/a%20b/%C3%BC"),
        ("/files", b"limit=2&after=x%20y", "/files?limit=2&after=x%20y"),
        ("/models/a?b#c", b"", "/models/a%3Fb%23c"),
        ("/x\r\nhost: y", b"", "/x%0D%0Ahost:%20y"),
    ],
)
def test_a_path_is_escaped(path: str, query: bytes, target: str) -> None:
    assert call(path=path, query=query).path == target


@pytest.mark.parametrize(("path", "query"), [("/../admin", b""), ("/files/./x", b""), ("/x", b"a b"), ("/x", b"\xff")])
def test_a_path_that_leads_elsewhere_is_refused(path: str, query: bytes) -> None:
    with pytest.raises(InvalidRequest):
        call(path=path, query=query)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/completions", "text_completion"),
        ("/embeddings?x=1", "embeddings"),
        ("/responses", "chat"),
        ("/responses/resp_1/cancel", "responses"),
        ("/audio/speech", "speech"),
        ("/audio/translations", "transcription"),
        ("/images/edits", "image_generation"),
        ("/files/x", "files"),
        ("/whatever", "other"),
    ],
)
def test_what_is_done_has_a_word_of_a_short_list(path: str, word: str) -> None:
    path, _, query = path.partition("?")
    assert call(path=path, query=query.encode()).operation == word


@pytest.mark.parametrize(
    ("usage", "found"),
    [
        ({"prompt_tokens": 3, "total_tokens": 3}, Usage(3)),
        ({"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": None}, Usage(3, 4)),
        (
            {
                "input_tokens": 3,
                "input_tokens_details": {"cached_tokens": 1, "audio_tokens": 2},
                "output_tokens": 9,
                "output_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(3, 9, 1, 5, 2),
        ),
        ({"type": "duration", "seconds": 12}, None),
        ({"input_tokens": -1, "output_tokens": "7"}, None),
        ({"input_tokens": 1e300, "output_tokens": 7}, Usage(0, 7)),
        (None, None),
        ([], None),
    ],
)
def test_usage_is_read_in_every_shape(usage: Any, found: Usage | None) -> None:
    assert call_usage(usage) == found


USAGE = b'"usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":1,"x":{"y":0}},"output_tokens":4}'


@pytest.mark.parametrize(
    ("tail", "found"),
    [
        (b'... "usage": 7, ' + USAGE + b"}", Usage(3, 4, 1)),
        (USAGE, Usage(3, 4, 1)),
        (USAGE + b',"metadata":{"a":{}}}', Usage(3, 4, 1)),
        (b'"usage":null}', None),
        (b"nothing", None),
        (b'"usage":{"input_tokens":3', None),
        (b'"usage":{x}}}}}', None),
        (b"{}", None),
    ],
)
def test_the_usage_at_the_end_of_a_long_answer_is_found(tail: bytes, found: Usage | None) -> None:
    assert usage_in(tail, whole=False) == found


def test_the_usage_of_a_whole_answer_is_found_wherever_it_stands() -> None:
    assert usage_in(b"{" + USAGE + b',"data":[{"usage":{"prompt_tokens":99}}]}') == Usage(3, 4, 1)
    for body in (b"", b"[]", b"{", b'"usage"', b"\xff", b"{}"):
        assert usage_in(body) is None


@given(st.binary(max_size=200))
def test_no_answer_is_too_odd(body: bytes) -> None:
    usage_in(body)
    usage_in(b'"usage"' + body, whole=False)
