"""wire/chat_request.py: what must be known of a request, and everything else byte for byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import InvalidRequest
from tidegate.wire.chat_request import MAX_MODEL_CHARS, parse_chat_request

GOOD = b'{"model":"m","messages":[{"role":"user"}],"stream":true'


def test_a_request_that_needs_no_change_passes_as_it_came() -> None:
    body = GOOD + b', "temperature": 1.10, "x": {"deep": [1e400]} }'
    request = parse_chat_request(body)
    assert request.upstream_body("m") is body
    assert (request.model, request.stream, request.include_usage) == ("m", True, False)


def test_what_is_not_known_stays_byte_for_byte_where_something_changes() -> None:
    body = parse_chat_request(GOOD + b',"temperature":1.10,"x":{"b":1, "a":12345678901234567890}}').upstream_body(
        "real"
    )
    assert b'"temperature":1.10' in body
    assert b'"x":{"b":1, "a":12345678901234567890}' in body
    assert json.loads(body)["model"] == "real"


@pytest.mark.parametrize("stream", [b"", b',"stream":false', b',"stream":null'])
def test_the_upstream_is_always_asked_for_a_stream(stream: bytes) -> None:
    request = parse_chat_request(b'{"model":"m","messages":[{}]' + stream + b"}")
    assert not request.stream
    assert json.loads(request.upstream_body("m"))["stream"] is True


@pytest.mark.parametrize(
    ("options", "becomes"),
    [
        (b"", {"include_usage": True}),
        (b',"stream_options":null', {"include_usage": True}),
        (b',"stream_options":{}', {"include_usage": True}),
        (b',"stream_options":{"x":1}', {"x": 1, "include_usage": True}),
        (b',"stream_options":{"include_usage":false}', {"include_usage": True}),
        (b',"stream_options":{"include_usage":true}', {"include_usage": True}),
    ],
)
def test_usage_can_be_asked_for_beside_what_the_client_asked(options: bytes, becomes: object) -> None:
    request = parse_chat_request(GOOD + options + b"}")
    assert json.loads(request.upstream_body("m", add_usage=True))["stream_options"] == becomes


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"", None, "invalid_json"),
        (b"{", None, "invalid_json"),
        (b"\xff", None, "invalid_json"),
        (b"[]", None, "invalid_request"),
        (b'"x"', None, "invalid_request"),
        (b'{"messages":[{}]}', "model", "invalid_request"),
        (b'{"model":1,"messages":[{}]}', "model", "invalid_request"),
        (b'{"model":"","messages":[{}]}', "model", "invalid_request"),
        (b'{"model":"a\\nb","messages":[{}]}', "model", "invalid_request"),
        (b'{"model":"%b","messages":[{}]}' % (b"m" * (MAX_MODEL_CHARS + 1)), "model", "invalid_request"),
        (b'{"model":"m"}', "messages", "invalid_request"),
        (b'{"model":"m","messages":{}}', "messages", "invalid_request"),
        (b'{"model":"m","messages":[]}', "messages", "invalid_request"),
        (b'{"model":"m","messages":["hi"]}', "messages", "invalid_request"),
        (b'{"model":"m","messages":[{}],"stream":1}', "stream", "invalid_request"),
        (b'{"model":"m","messages":[{}],"stream_options":1}', "stream_options", "invalid_request"),
        (b'{"model":"m","messages":[{"x":"\xff"}]}', "messages", "invalid_json"),
        (b'{"model":"m","messages":%b}' % (b"[" * 100_000 + b"]" * 100_000), None, "invalid_json"),
    ],
)
def test_a_request_that_cannot_be_served_is_told_why(body: bytes, param: str | None, code: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_chat_request(body)
    assert (raised.value.param, raised.value.code) == (param, code)


@given(st.binary())
def test_any_bytes_are_a_request_or_one_error(body: bytes) -> None:
    try:
        parse_chat_request(body)
    except InvalidRequest:
        pass


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (b"", None),
        (b',"stream_options":null', None),
        (b',"stream_options":{}', None),
        (b',"stream_options":{"include_obfuscation":true}', True),
        (b',"stream_options":{"include_obfuscation":false}', False),
        (b',"stream_options":{"include_obfuscation":"yes"}', None),
    ],
)
def test_hidden_sizes_are_asked_for_or_refused(options: bytes, found: bool | None) -> None:
    request = parse_chat_request(b'{"model":"m","messages":[{}]' + options + b"}")
    assert request.include_obfuscation is found
