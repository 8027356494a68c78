"""Arguments of tool calls: filtered by what they say, and JSON before and after."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.safety import Action, Hit, Machine, Rule, compile, sanitize  # noqa: A004
from tidegate.safety.builtin.pii import PII
from tidegate.safety.json_text import JsonFilter, escaped

MACHINE = compile(list(PII.values()))


def through(machine: Machine, pieces: list[str]) -> tuple[str, list[Hit]]:
    hits: list[Hit] = []
    one = JsonFilter(machine, key=b"k", on_hit=hits.append)
    out = "".join(map(one.feed, pieces)) + one.close()
    assert one.held == 0 or one.blocked
    return out, hits


def cuts(text: str) -> list[list[str]]:
    return [[text], list(text), *[[text[:at], text[at:]] for at in range(1, len(text))]]


def test_strings_are_filtered_as_they_are_meant() -> None:
    """However they are escaped, wherever they are cut."""
    text = '{"to":"b\\u006fb@exam\\u0070le.com","ip":"say \\"192.168.17.4\\"\\n","\\ud83c\\udf0a":"\\/ok"}'
    wanted = {"to": "[EMAIL]", "ip": 'say "[IP_ADDRESS]"\n', "🌊": "/ok"}
    for pieces in cuts(text):
        assert json.loads(through(MACHINE, pieces)[0]) == wanted


def test_a_number_becomes_a_string_when_it_is_redacted() -> None:
    text = '{"card": 4111111111111111, "n": [1, -2.5e3, 4111111111111112], "minus": -4111111111111111}'
    for pieces in cuts(text):
        out = json.loads(through(MACHINE, pieces)[0])
        assert out["card"] == "[CARD]"
        assert out["n"] == [1, -2500.0, 4111111111111112]


def test_a_number_at_the_end_and_one_without_end() -> None:
    assert through(MACHINE, ["4111", "111111111111"])[0] == '"[CARD]"'
    assert through(MACHINE, ["1" * 40, "1" * 40, "2"])[0] == "1" * 80 + "2"


def test_a_match_never_goes_from_one_string_into_the_next() -> None:
    text = '["123-45-","6789"]'
    for pieces in cuts(text):
        assert through(MACHINE, pieces)[0] == text


def test_what_breaks_off_is_escaped_as_far_as_it_got() -> None:
    assert through(MACHINE, ['{"a": "bob@example.com'])[0] == '{"a": "[EMAIL]'
    assert through(MACHINE, ['{"a": "x\\u00'])[0] == '{"a": "x\\u00'
    assert through(MACHINE, ['{"a": "x\\'])[0] == '{"a": "x\\'


def test_half_a_surrogate_pair_stays_half() -> None:
    for text in ('"\\ud83c"', '"\\ud83cx"', '"\\ud83c\\n"', '"\\udf0a"', '"\\ud83c\\u0041"'):
        for pieces in cuts(text):
            assert json.loads(through(MACHINE, pieces)[0]) == json.loads(text)
    assert escaped("\ud83c") == "\\ud83c"


def test_what_is_no_json_passes() -> None:
    for text in ("not json", '"\\q \\uzzzz"', "\\", "{'a': 1-2}"):
        for pieces in cuts(text):
            assert through(MACHINE, pieces)[0].replace("\\", "") == text.replace("\\", "")


@pytest.mark.parametrize("text", ['{"a": "so stop', '{"a": "so stop here"}', '{"a": 999'])
def test_a_block_ends_it(text: str) -> None:
    machine = compile([Rule(name="stop", core="stop|999", action=Action.BLOCK)])
    for pieces in cuts(text):
        one = JsonFilter(machine, key=b"k")
        out = "".join(map(one.feed, pieces)) + one.close()
        assert out in ('{"a": "so ', '{"a": ')
        assert one.blocked is not None
        assert (one.feed("more"), one.close()) == ("", "")


def test_a_block_at_the_end_of_a_string_ends_it_there() -> None:
    machine = compile([Rule(name="stop", core="stop", right="a-z", action=Action.BLOCK)])
    one = JsonFilter(machine, key=b"k")
    assert one.feed('{"a": "so stop", "b": 1}') == '{"a": "so '
    assert one.blocked is not None
    open_end = JsonFilter(machine, key=b"k")
    assert open_end.feed('{"a": "so stop') + open_end.close() == '{"a": "so '


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-999, 9999)
    | st.text(max_size=8)
    | st.sampled_from(["bob@example.com", "ü123-45-6789"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=200)
@given(VALUES, st.booleans(), st.lists(st.integers(1, 6), max_size=80))
def test_any_json_stays_the_json_that_it_means(value: Any, ascii_only: bool, sizes: list[int]) -> None:
    """Each of its strings as if it had been sanitized by itself; in any cut."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    out = json.loads(through(MACHINE, [*pieces, text[at:]])[0])
    assert out == _meant(value)


def _meant(value: Any) -> Any:
    if isinstance(value, str):
        return sanitize(MACHINE, value, key=b"k").text
    if isinstance(value, list):
        return [_meant(each) for each in value]
    if isinstance(value, dict):
        return {_meant(name): _meant(each) for name, each in value.items()}
    return value
