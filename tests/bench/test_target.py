"""bench/target.py: what a person means by a URL, and the request that goes there."""

from __future__ import annotations

import json

import pytest

from tidegate.bench.target import chat_body, chat_headers, target_of
from tidegate.errors import InvalidRequest


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://h:1", "http://h:1/v1/chat/completions"),
        ("h:1", "http://h:1/v1/chat/completions"),
        ("https://h/v1/", "https://h/v1/chat/completions"),
        ("http://h/llm/v1", "http://h/llm/v1/chat/completions"),
        ("http://h/v1/chat/completions", "http://h/v1/chat/completions"),
        ("http://h/api/v1/chat/stream", "http://h/api/v1/chat/stream"),
    ],
)
def test_a_url_means_its_chat_endpoint(url: str, endpoint: str) -> None:
    assert target_of(url).url == endpoint


@pytest.mark.parametrize("url", ["ftp://h", "http://", "http://h:zebra", "http://h:0", ""])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="is not an http or https URL"):
        target_of(url)


def test_the_tag_stands_in_the_last_message_and_the_prompt_is_left_as_it_was() -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    body = json.loads(chat_body("m", messages, max_tokens=5, tag="a-1"))
    assert body["messages"] == [messages[0], {"role": "user", "content": "Hello [[a-1]]"}]
    assert messages[1]["content"] == "Hello"
    assert (body["stream"], body["max_tokens"]) == (True, 5)
    assert "max_tokens" not in json.loads(chat_body("m", messages))


def test_a_prompt_of_parts_carries_no_tag() -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    assert json.loads(chat_body("m", parts, tag="a"))["messages"] == parts


def test_the_framing_is_asked_for() -> None:
    assert (b"accept", b"application/x-ndjson") in chat_headers("ndjson")
    assert (b"x-a", b"b") in chat_headers("sse", {"X-A": "b"})
