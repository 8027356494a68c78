"""What a prompt says, before it leaves."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest

from tidegate.errors import InvalidRequest
from tidegate.safety import Action, Hit, Machine, Rule, compile  # noqa: A004
from tidegate.safety.builtin.pii import PII
from tidegate.safety.prompt import filtered_prompt
from tidegate.wire.chat_request import ChatRequest, parse_chat_request

MACHINE = compile(list(PII.values()))


def request(*messages: dict[str, Any], **fields: Any) -> ChatRequest:
    return parse_chat_request(json.dumps({"model": "m", "messages": messages, **fields}).encode())


def driven(steps: Generator[None, None, ChatRequest]) -> tuple[ChatRequest, int]:
    """The result, and how often others could run."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value, count
        count += 1


def filtered(given: ChatRequest, machine: Machine = MACHINE) -> tuple[dict[str, Any], list[Hit]]:
    hits: list[Hit] = []
    done, _ = driven(filtered_prompt(given, machine, key=b"k", on_hit=hits.append))
    body = json.loads(done.body)
    assert json.loads(done.upstream_body("other"))["messages"] == body["messages"]
    return body, hits


def test_every_text_of_every_message_is_filtered() -> None:
    arguments = '{"to": "b\\u006fb@example.com", "n": 4111111111111111}'
    call = {"id": "bob@example.com", "type": "function", "function": {"name": "f", "arguments": arguments}}
    body, hits = filtered(
        request(
            {"role": "system", "content": "You help bob@example.com."},
            {
                "role": "user",
                "name": "x@y.zz",
                "content": [{"type": "text", "text": "ssn 123-45-6789"}, "bob@example.com"],
            },
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/bob@example.com"}}]},
            temperature=0.50,
        )
    )
    said = body["messages"]
    assert said[0]["content"] == "You help [EMAIL]."
    assert said[1] == {"role": "user", "name": "x@y.zz", "content": [{"type": "text", "text": "ssn [SSN]"}, "[EMAIL]"]}
    assert json.loads(said[2]["tool_calls"][0]["function"]["arguments"]) == {"to": "[EMAIL]", "n": "[CARD]"}
    assert said[2]["tool_calls"][0]["id"] == "bob@example.com"
    assert said[3]["content"][0]["image_url"]["url"] == "https://x/bob@example.com"
    assert len(hits) == 5


def test_what_stands_beside_the_messages_is_filtered_too() -> None:
    """Descriptions of tools, and fields that nobody has heard of; not what says what is asked of whom."""
    tool = {"type": "function", "function": {"name": "bob@example.com", "description": "Writes to bob@example.com."}}
    body, hits = filtered(
        request(
            {"role": "user", "content": "Why?"},
            tools=[tool],
            session_note="for bob@example.com",
            model="bob@example.com",
            seed=4111111111111111,
        )
    )
    assert body["tools"][0]["function"] == {"name": "bob@example.com", "description": "Writes to [EMAIL]."}
    assert (body["session_note"], body["model"], body["seed"]) == (
        "for [EMAIL]", "bob@example.com", 4111111111111111
    )  # fmt: skip
    assert len(hits) == 2


def test_a_prompt_without_anything_is_the_very_same_request() -> None:
    given = request({"role": "user", "content": "Why do tides come twice a day?"})
    assert driven(filtered_prompt(given, MACHINE, key=b"k"))[0] is given


def test_a_long_prompt_lets_others_run() -> None:
    given = request({"role": "user", "content": "Why? bob@example.com " * 5000})
    done, times = driven(filtered_prompt(given, MACHINE, key=b"k"))
    assert times > 10
    assert json.loads(done.body)["messages"][0]["content"] == "Why? [EMAIL] " * 5000


def test_a_rule_that_blocks_refuses_it_without_repeating_it() -> None:
    machine = compile([Rule(name="project", core="tidewater", action=Action.BLOCK)])
    with pytest.raises(InvalidRequest) as caught:
        filtered(request({"role": "user", "content": "about tidewater please"}), machine)
    assert (caught.value.code, caught.value.param) == ("content_filter", "messages")
    assert '"project"' in caught.value.message
    assert "tidewater" not in caught.value.message
