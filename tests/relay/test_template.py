"""relay/template.py: a shape is learnt only where it cannot mislead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.relay.streams import chunk
from tidegate.relay.template import NEVER, PLAIN, Template, _holds, learn
from tidegate.wire.openai_chat import decode_chunk, encode_json, has_token


def learnt(payload: bytes) -> Template | None:
    return learn(b"data: " + payload, 6, decode_chunk(payload))


@pytest.mark.parametrize("field", ["content", "reasoning_content", "reasoning"])
@pytest.mark.parametrize("text", ["tide", 'a \\" \\\\ \\n b', "潮", "\\u00e9"])
def test_an_event_with_one_token_is_learnt(field: str, text: str) -> None:
    payload = chunk({field: "@"}).replace(b"@", text.encode())
    template = learnt(payload)
    assert template is not None
    assert template.prefix + text.encode() + template.suffix == b"data: " + payload


@pytest.mark.parametrize(
    "payload",
    [
        chunk({"role": "assistant", "content": ""}),
        chunk({}, "stop"),
        chunk({"content": "x"}, "stop"),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "x"}}]}),
        chunk({"refusal": "x"}),
        chunk({"content": "x"}, usage={"prompt_tokens": 1, "completion_tokens": 1}),
        chunk({"content": "x"}, error={"message": "no"}),
        chunk({"content": [{"type": "text", "text": "x"}]}),
        chunk({"content": "x", "reasoning_content": "y"}),
        encode_json({"choices": []}),
        encode_json({"choices": [{"index": i, "delta": {"content": "x"}} for i in (0, 1)]}),
    ],
)
def test_whatever_says_more_than_one_text_is_not(payload: bytes) -> None:
    found = learnt(payload)
    if found is not None:  # what is learnt may still stand beside other fields, but says one token only
        probe = decode_chunk(found.prefix[6:] + b"x" + found.suffix)
        assert has_token(probe) == 1
        assert probe.choices[0].finish_reason is None


def test_a_text_that_stands_elsewhere_does_not_mislead() -> None:
    """The same words in another field: the probe tells which of them is the token."""
    payload = b'{"id":"1","note":{"content":"tide"},"choices":[{"index":0,"delta":{"content":"tide"}}]}'
    template = learnt(payload)
    assert template is not None
    assert template.prefix.endswith(b'"delta":{"content":"')


def test_a_text_inside_a_text_does_not_mislead() -> None:
    payload = rb'{"id":"\"content\":\"a\"","choices":[{"index":0,"delta":{"content":"tide"}}]}'
    template = learnt(payload)
    assert template is None or template.prefix.endswith(b'"delta":{"content":"')


@given(st.text(min_size=1))
def test_plain_text_cannot_end_its_string(text: str) -> None:
    raw = text.encode("utf-8", "replace")
    if PLAIN.fullmatch(raw):
        assert decode_chunk(chunk({"content": "@"}).replace(b"@", raw)).choices[0].delta.content == raw.decode()


def test_a_template_whose_probe_is_no_event_does_not_hold() -> None:
    known = decode_chunk(chunk({"content": "x"}))
    assert not _holds(Template(b'data: {"choices":', b"}"), 6, "content", known)


def test_the_first_template_matches_nothing() -> None:
    assert not chunk({"content": "x"}).startswith(NEVER.prefix)
