"""ledger/tokens.py: counting for an upstream that does not."""

from __future__ import annotations

import socket

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.ledger import tokens
from tidegate.ledger.tokens import TokenCounter

COUNTER = TokenCounter()


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("Hello", 1), ("Hello, world!", 4), ("strawberry", 3), ("<|endoftext|>", 7)],
)
def test_known_texts_have_their_known_counts(text: str, count: int) -> None:
    assert COUNTER.text(text) == count


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    tiktoken.registry.ENCODINGS.clear()
    assert TokenCounter().text("Hello, world!") == 4


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_can_be_counted(text: str) -> None:
    assert 0 <= COUNTER.text(text) <= len(text.encode("utf-8", "replace"))


def test_a_long_text_is_counted_in_pieces_and_then_taken_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "The tide comes in. " * 1000
    whole = COUNTER.text(text)
    monkeypatch.setattr(tokens, "PIECE", 1000)
    assert COUNTER.text(text) == pytest.approx(whole, rel=0.01)
    monkeypatch.setattr(tokens, "MOST", 4000)
    assert COUNTER.text(text) == pytest.approx(whole, rel=0.05)


def test_a_prompt_is_its_messages_and_tools() -> None:
    assert COUNTER.prompt([{"role": "user", "content": "Hello"}]) == 3 + 3 + COUNTER.text("user\nHello")
    parts = [{"type": "text", "text": "Hello"}, {"type": "image_url", "image_url": {"url": "data:" + "A" * 9999}}]
    assert COUNTER.prompt([{"role": "user", "content": parts}]) == COUNTER.prompt(
        [{"role": "user", "content": "Hello"}]
    )
    call = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}
    assert COUNTER.prompt([call]) > 20
    tools = [{"type": "function", "function": {"name": "weather"}}]
    assert COUNTER.prompt([{"role": "user", "content": "Hello"}], tools) > 15


@pytest.mark.parametrize("messages", [None, [], ["x"], "text", {"role": "user"}, [{"content": 5}], [{"content": [5]}]])
def test_messages_that_are_none_do_not_fail(messages: object) -> None:
    assert COUNTER.prompt(messages) <= 6


def test_without_a_tokenizer_four_bytes_are_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_VOCABULARY", "none")
    counter = TokenCounter()
    assert counter.text("abcdefgh") == 2
    assert counter.text("é") == 1
