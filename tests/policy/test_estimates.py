"""policy/estimates.py: tokens, before anybody has counted them."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import msgspec
import pytest

from tidegate.policy import estimates
from tidegate.policy.estimates import ATTACHMENT, FIRST_GUESS, Expectations, most_output, prompt_tokens


def fields(**given: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in given.items()}


def test_a_prompt_is_a_quarter_of_its_bytes() -> None:
    assert prompt_tokens(fields(messages=[{"role": "user", "content": "x" * 4000}])) == pytest.approx(1010, abs=10)


def test_tools_are_part_of_it() -> None:
    assert prompt_tokens(fields(messages=[], tools=[{"a": "x" * 400}])) > 100


def test_it_is_never_nothing() -> None:
    assert prompt_tokens({}) == 1


def test_the_bytes_of_a_picture_are_not_words() -> None:
    picture = base64.b64encode(os.urandom(200_000)).decode()
    content = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}]
    tokens = prompt_tokens(fields(messages=[{"role": "user", "content": content}]))
    assert ATTACHMENT < tokens < ATTACHMENT + 100


def test_a_long_text_is_words() -> None:
    tokens = prompt_tokens(fields(messages=[{"role": "user", "content": "one two three " * 5000}]))
    assert tokens > 15_000


@pytest.mark.parametrize(
    ("given", "most"),
    [
        ({}, None),
        ({"max_tokens": 100}, 100),
        ({"max_completion_tokens": 50, "max_tokens": 100}, 50),
        ({"max_tokens": 100, "n": 3}, 300),
        ({"max_tokens": None}, None),
        ({"max_tokens": 0}, None),
        ({"max_tokens": -5}, None),
        ({"max_tokens": True}, None),
        ({"max_tokens": "many"}, None),
        ({"max_tokens": 1.5}, None),
        ({"max_tokens": 10**30}, 10**9),
        ({"max_tokens": 5, "n": 0}, 5),
    ],
)
def test_the_most_output_is_what_the_request_says(given: dict[str, Any], most: int | None) -> None:
    assert most_output(fields(**given)) == most


def test_what_is_not_json_says_nothing() -> None:
    assert most_output({"max_tokens": msgspec.Raw(b"{")}) is None


def test_a_model_is_expected_to_answer_as_it_did() -> None:
    known = Expectations()
    assert known.of("m") == FIRST_GUESS
    known.learn("m", 100)
    known.learn("m", 300)
    assert known.of("m") == 200
    for _ in range(500):
        known.learn("m", 10)
    assert known.of("m") == pytest.approx(10, abs=1)
    known.learn("empty", 0)
    assert known.of("empty") == 1


def test_not_every_name_that_a_client_makes_up_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "_REMEMBERED", 2)
    known = Expectations()
    for name in ("a", "b", "c"):
        known.learn(name, 5)
    assert [known.of(name) for name in ("a", "b", "c")] == [5, 5, FIRST_GUESS]
