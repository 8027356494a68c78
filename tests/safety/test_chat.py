"""One chat answer: every text in it, each in a stream of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.relay.streams import chunk
from tidegate.relay.weights import profanity
from tidegate.safety.chat import Chained, ChatFilter
from tidegate.safety.profile import Channel, ProfileOptions, Profiles, RuleOptions, SafetyOptions
from tidegate.safety.rules import Hit
from tidegate.safety.stream import TextFilter
from tidegate.wire.openai_chat import decode_chunk

PROFILES = Profiles(
    SafetyOptions(
        profiles=(
            ProfileOptions(name="output", rules=("pii",), where=("output",)),
            ProfileOptions(
                name="stop", rules=(), own=(RuleOptions(name="stop", core="stop"),), actions={"stop": "block"}
            ),
        )
    )
)
SSN = ["my ssn is 12", "3-45", "-6789", " ok"]


def chat(profile: str = "strict") -> tuple[ChatFilter, list[tuple[str, str, int, int]]]:
    hits: list[tuple[str, str, int, int]] = []

    def note(channel: Channel, hit: Hit) -> None:
        hits.append((channel.value, hit.rule, hit.position, hit.length))

    return ChatFilter(PROFILES.named(profile), key=b"k", on_hit=note), hits


def passed(texts: ChatFilter, *payloads: bytes) -> list[dict[str, Any]]:
    out = [texts.apply(payload, decode_chunk(payload)) for payload in payloads]
    return [json.loads(each) for each in out if each is not None]


def joined(chunks: list[dict[str, Any]], name: str, index: int = 0) -> str:
    deltas = [choice["delta"] for each in chunks for choice in each["choices"] if choice["index"] == index]
    return "".join(delta.get(name) or "" for delta in deltas)


@pytest.mark.parametrize("name", ["content", "refusal", "reasoning_content", "reasoning", "a_field_of_tomorrow"])
def test_a_text_is_filtered_over_its_fragments(name: str) -> None:
    texts, hits = chat()
    out = passed(texts, *[chunk({name: text}) for text in SSN], chunk({}, "stop"))
    assert joined(out, name) == "my ssn is [SSN] ok"
    assert out[-1]["choices"][0]["finish_reason"] == "stop"
    assert [hit[1:] for hit in hits] == [("ssn", 10, 11)]


def test_a_chunk_of_which_nothing_leaves_does_not_leave() -> None:
    texts, _ = chat()
    assert passed(texts, chunk({"content": "123-"})) == []
    assert passed(texts, chunk({"content": "45"}, usage={"total_tokens": 3}))[0]["choices"] == []
    assert texts.held == 6


def test_roles_finish_reasons_and_usage_pass_as_they_came() -> None:
    texts, _ = chat()
    for payload in (
        chunk({"role": "assistant", "content": ""}),
        chunk({}, "stop"),
        b'{"choices":[],"usage":{"total_tokens":3}}',
    ):
        (out,) = passed(texts, payload)
        assert out == json.loads(payload)


def test_what_is_held_leaves_with_the_finish_reason() -> None:
    """In the same chunk, each text in the shape in which it came."""
    texts, _ = chat()
    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a":"12'}}
    out = passed(
        texts,
        chunk({"content": "123-4", "reasoning_content": "12", "audio": {"transcript": "3-"}}),
        chunk({"tool_calls": [call]}),
        chunk({"function_call": {"name": "g", "arguments": "1"}}),
        chunk({"reasoning_details": [{"type": "reasoning.text", "text": "12"}]}),
        chunk({}, "stop"),
    )
    last = out[-1]["choices"][0]
    assert last["finish_reason"] == "stop"
    assert last["delta"] == {
        "content": "123-4",
        "reasoning_content": "12",
        "audio": {"transcript": "3-"},
        "tool_calls": [{"index": 0, "function": {"arguments": "12"}}],
        "function_call": {"arguments": "1"},
        "reasoning_details": [{"type": "reasoning.text", "text": "12"}],
    }
    assert texts.held == 0


def test_another_text_in_between_does_not_end_one() -> None:
    """The reader joins the pieces, so a value that is cut by a tool call is a value."""
    texts, _ = chat()
    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}}
    out = passed(
        texts,
        chunk({"content": "123-45"}),
        chunk({"tool_calls": [call]}),
        chunk({"content": "-6789"}),
        chunk({}, "stop"),
    )
    assert joined(out, "content") == "[SSN]"


def test_choices_do_not_mix() -> None:
    texts, hits = chat()
    out = passed(
        texts,
        chunk({"content": "123-45"}),
        chunk({"content": "-6789"}, index=1),
        chunk({"content": "-6789"}),
        chunk({}, "stop"),
        chunk({}, "stop", index=1),
    )
    assert (joined(out, "content"), joined(out, "content", 1)) == ("[SSN]", "-6789")
    assert len(hits) == 1


def test_arguments_of_tool_calls_stay_json() -> None:
    """Two calls at once, their fragments by turns; one call sent as an object."""
    texts, hits = chat()
    fragments = [('{"to":"bob@ex', '{"n":41111'), ('ample.com","t":1}', "11111111111}")]
    payloads = []
    for number, pair in enumerate(fragments):
        for index, arguments in enumerate(pair):
            call: dict[str, Any] = {"index": index, "function": {"arguments": arguments}}
            if not number:
                call |= {"id": f"c{index}", "type": "function"}
                call["function"]["name"] = "send"
            payloads.append(chunk({"tool_calls": [call]}))
    whole = {"index": 2, "id": "c2", "function": {"name": "g", "arguments": {"a": ["bob@example.com", 1]}}}
    out = passed(texts, *payloads, chunk({"tool_calls": [whole]}), chunk({}, "tool_calls"))
    said: dict[int, Any] = {}
    for each in out:
        for call in each["choices"][0]["delta"].get("tool_calls", ()):
            arguments = call["function"]["arguments"]
            said[call["index"]] = said.get(call["index"], "") + arguments if isinstance(arguments, str) else arguments
    assert (json.loads(said[0]), json.loads(said[1])) == ({"to": "[EMAIL]", "t": 1}, {"n": "[CARD]"})
    assert said[2] == {"a": ["[EMAIL]", 1]}
    assert {hit[0] for hit in hits} == {"tool-arguments"}


def test_typed_parts_are_texts_too() -> None:
    """Mistral's thinking models, and lists of text."""
    texts, hits = chat()
    parts = [
        [{"type": "thinking", "thinking": [{"type": "text", "text": "123-45-6789."}]}],
        [{"type": "text", "text": "bob@exam"}, "x 123-45-6789 ", 5, {"type": "image_url", "image_url": {}}],
        [{"type": "text", "text": "ple.com"}],
    ]
    out = passed(texts, *[chunk({"content": part}) for part in parts], chunk({}, "stop"))
    whole = json.dumps(out)
    assert "[SSN]." in whole
    assert "x [SSN]" in whole
    assert "[EMAIL]" in whole
    assert "6789" not in whole
    assert "ple.com" not in whole
    assert len(hits) == 3


def test_a_rest_joins_the_parts_of_its_kind() -> None:
    texts, _ = chat()
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "12"}]}
    (_, last) = passed(texts, chunk({"content": [thinking, {"type": "text", "text": "1"}, "12"]}), chunk({}, "stop"))
    assert last["choices"][0]["delta"]["content"] == [
        {"type": "thinking", "thinking": [{"type": "text", "text": "12"}]},
        {"type": "text", "text": "1"},
        "12",
    ]


def test_what_tells_the_text_once_more_is_taken_out() -> None:
    texts, _ = chat()
    payload = json.loads(chunk({"content": "hello 5 "}))
    payload["choices"][0] |= {"logprobs": {"content": [{"token": "hello"}]}, "token_ids": [1]}
    payload["token_ids"] = [1]
    (out,) = passed(texts, json.dumps(payload).encode())
    assert out["choices"][0]["logprobs"] is None
    assert out["choices"][0]["token_ids"] is None
    assert "token_ids" not in out


def test_a_whole_message_is_filtered_at_once() -> None:
    texts, hits = chat()
    payload = json.loads(chunk({}, "stop"))
    del payload["choices"][0]["delta"]
    call = {"id": "c", "function": {"name": "f", "arguments": '{"a": "bob@example.com"}'}}
    payload["choices"][0]["message"] = {
        "role": "assistant",
        "content": "ssn 123-45-6789",
        "tool_calls": [call],
        "n": None,
    }
    (out,) = passed(texts, json.dumps(payload).encode())
    message = out["choices"][0]["message"]
    assert message["content"] == "ssn [SSN]"
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"a": "[EMAIL]"}
    assert [hit[0] for hit in hits] == ["output", "tool-arguments"]


def test_a_profile_that_looks_at_the_output_only_leaves_the_rest() -> None:
    texts, _ = chat("output")
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a":"bob@example.com"}'}}
    out = passed(
        texts,
        chunk({"reasoning_content": "bob@example.com ", "content": "bob@example.com "}),
        chunk({"tool_calls": [call]}),
    )
    assert joined(out, "reasoning_content") == "bob@example.com "
    assert joined(out, "content") == "[EMAIL] "
    assert out[1]["choices"][0]["delta"]["tool_calls"] == [call]
    whole = {"index": 1, "id": "d", "function": {"name": "f", "arguments": {"a": "bob@example.com"}}}
    (only,) = passed(texts, chunk({"tool_calls": [whole]}))
    assert only["choices"][0]["delta"]["tool_calls"] == [whole]
    assert texts.text(0, "reasoning") is None
    assert isinstance(texts.text(0, "content"), TextFilter)


@pytest.mark.parametrize("name", ["content", "reasoning_content"])
def test_a_block_ends_its_choice(name: str) -> None:
    texts, _ = chat("stop")
    out = passed(
        texts, chunk({name: "we st"}), chunk({name: "op here"}), chunk({name: "more"}), chunk({name: "x"}, index=1)
    )
    first = [choice for each in out for choice in each["choices"] if choice["index"] == 0]
    assert joined(out, name) == "we "
    assert first[-1]["finish_reason"] == "content_filter"
    assert joined(out, name, 1) == "x"
    assert texts.blocked[0].rule == "stop"


def test_a_block_at_the_very_end_changes_the_finish_reason() -> None:
    """The match is only sure when nothing follows."""
    profiles = Profiles(
        SafetyOptions(
            profiles=(
                ProfileOptions(
                    name="m",
                    rules=(),
                    own=(RuleOptions(name="stop", core="stop", right="a-z"),),
                    actions={"stop": "block"},
                ),
            )
        )
    )
    texts = ChatFilter(profiles.named("m"), key=b"k")
    out = passed(texts, chunk({"content": "so stop"}), chunk({}, "stop"))
    assert joined(out, "content") == "so "
    assert out[-1]["choices"][0]["finish_reason"] == "content_filter"
    whole = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": {"a": "stop"}}}]}
    (only,) = passed(ChatFilter(profiles.named("m"), key=b"k"), chunk(whole))
    assert only["choices"][0]["finish_reason"] == "content_filter"


def test_an_answer_that_breaks_off_gives_its_rest_through_the_filter() -> None:
    texts, _ = chat()
    passed(texts, chunk({"content": "123-45"}), chunk({"content": "bob@example.com"}, index=1))
    rest = texts.flush({"id": "x"})
    assert rest is not None
    assert json.loads(rest)["choices"] == [
        {"index": 0, "delta": {"content": "123-45"}, "finish_reason": None},
        {"index": 1, "delta": {"content": "[EMAIL]"}, "finish_reason": None},
    ]
    assert texts.flush({"id": "x"}) is None
    passed(texts, chunk({"content": "- "}))
    assert texts.flush({"id": "x"}) is None


def test_odd_chunks_do_not_break_it() -> None:
    """Whatever JSON allows where a delta or a call should be."""
    texts, _ = chat()
    for odd in (
        {"choices": [{"index": "x", "delta": None}, 5]},
        {"choices": [{"delta": {"tool_calls": [5, {"index": "x", "id": 4, "function": None}], "content": 7}}]},
        {"choices": [{"delta": {"function_call": {"arguments": None}, "reasoning_details": [5], "audio": {}}}]},
        {"choices": [{"delta": {"content": [{"type": "thinking", "thinking": [5]}], "audio": {"transcript": 5}}}]},
        {"choices": [{"delta": {"content": [{"type": "thinking", "thinking": 5}], "x": {"a": ["bob@example.com"]}}}]},
    ):
        payload = json.dumps(odd).encode()
        out = texts.apply(payload, decode_chunk(payload))
        assert out is None or b"bob@" not in out


CLEAN = Profiles(
    SafetyOptions(
        profiles=(
            ProfileOptions(name="clean", rules=("email",), profanity="block"),
            ProfileOptions(name="words", rules=(), profanity="block"),
            ProfileOptions(name="told", rules=("email",), profanity="tag", where=("output",)),
        )
    )
)


def clean(profile: str) -> tuple[ChatFilter, list[tuple[str, str]]]:
    hits: list[tuple[str, str]] = []
    filter_ = ChatFilter(
        CLEAN.named(profile),
        key=b"k",
        on_hit=lambda channel, hit: hits.append((channel.value, hit.rule)),
        profanity=profanity(),
    )
    return filter_, hits


@pytest.mark.parametrize("profile", ["clean", "words"])
@pytest.mark.parametrize("name", ["content", "reasoning"])
def test_a_profane_word_ends_its_choice_before_it(profile: str, name: str) -> None:
    texts, hits = clean(profile)
    out = passed(texts, *[chunk({name: text}) for text in ("What the fu", "ck is ", "that")])
    assert joined(out, name) == "What the "
    assert out[-1]["choices"][0]["finish_reason"] == "content_filter"
    assert [rule for _, rule in hits] == ["profanity"]


def test_a_profane_word_at_the_very_end_does_not_leave_either() -> None:
    texts, _ = clean("clean")
    out = passed(texts, chunk({"content": "Mail bob@example.com, you fuck"}), chunk({}, "stop"))
    assert "fuck" not in joined(out, "content")
    assert "bob@" not in joined(out, "content")
    assert out[-1]["choices"][0]["finish_reason"] == "content_filter"


def test_words_and_rules_work_on_one_text() -> None:
    texts, hits = clean("told")
    out = passed(
        texts, *[chunk({"content": text}) for text in ("Fuck, mail bob@exa", "mple.com ", "now")], chunk({}, "stop")
    )
    assert joined(out, "content") == "Fuck, mail [EMAIL] now"
    assert sorted(rule for _, rule in hits) == ["email", "profanity"]
    reasoning = passed(texts, chunk({"reasoning": "Fuck"}, index=1), chunk({}, "stop", index=1))
    assert joined(reasoning, "reasoning", 1) == "Fuck"


def test_a_whole_message_is_scored_too() -> None:
    whole = {"choices": [{"index": 0, "message": {"content": "What the fuck is that"}, "finish_reason": "stop"}]}
    payload = json.dumps(whole).encode()
    texts, _ = clean("clean")
    out = json.loads(texts.apply(payload, decode_chunk(payload)) or b"")
    assert out["choices"][0]["message"]["content"] == "What the "
    assert out["choices"][0]["finish_reason"] == "content_filter"
    fine = json.dumps({"choices": [{"index": 1, "message": {"content": "bob@example.com is fine"}}]}).encode()
    assert b"[EMAIL] is fine" in (texts.apply(fine, decode_chunk(fine)) or b"")


def test_arguments_of_tools_are_not_scored_but_filtered() -> None:
    texts, hits = clean("clean")
    call = {
        "tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a": "fuck bob@example.com"}'}}]
    }
    (out,) = passed(texts, chunk(call))
    assert out["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] == '{"a": "fuck [EMAIL]"}'
    assert hits == [("tool-arguments", "email")]


def test_two_filters_in_a_row_are_one() -> None:
    texts, _ = clean("clean")
    stream = texts.text(0, "content")
    assert isinstance(stream, Chained)
    assert stream.feed("Mail bob@example.com") == "Mail "
    assert stream.held == len("bob@example.com")
    assert (stream.blocked, stream.closed) == (None, False)
    assert stream.close() == "[EMAIL]"
    assert stream.closed
