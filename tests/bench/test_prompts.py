"""bench/prompts.py: prompts from a file."""

from __future__ import annotations

import pytest

from tidegate.bench.prompts import prompts_of
from tidegate.errors import InvalidRequest

HELLO = [{"role": "user", "content": "Hello"}]


def test_each_line_is_a_prompt_in_any_of_four_forms() -> None:
    text = (
        'Hello\n\n{"prompt": "Hello"}\n{"messages": [{"role": "user", "content": "Hello"}]}\n'
        '{"custom_id": "1", "body": {"messages": [{"role": "user", "content": "Hello"}]}}\n'
    )
    assert [list(prompt) for prompt in prompts_of(text)] == [HELLO] * 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "p: no prompt in it"),
        ("a\n{half", "p, line 2: not JSON"),
        ('{"x": 1}', 'p, line 1: neither "messages" nor "prompt"'),
        ('{"messages": ["secret"]}', 'p, line 1: neither "messages" nor "prompt"'),
    ],
)
def test_what_is_no_prompt_is_named_by_its_line_and_not_repeated(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        prompts_of(text, "p")
    assert "secret" not in str(caught.value)
