"""Turns, files, figures."""

from __future__ import annotations

import json
from typing import Any

from tidegate.client import StreamResult
from tidegate.events import Usage
from tidegate.terminal.conversation import Conversation, Figures, status_line


def result(**fields: Any) -> StreamResult:
    whole: dict[str, Any] = {
        "complete": True,
        "text": "a",
        "reason": "stop",
        "finish_reason": "stop",
        "response": {},
        "usage": Usage(3, 61),
        "stream_id": None,
        "model": "m",
        "tokens": 60,
        "ttft": 0.39,
        "tpot": 0.0167,
        "duration": 1.4,
        "retries": 0,
        "malformed": 0,
    }
    return StreamResult(**{**whole, **fields})


def test_turns_follow_the_system_prompt() -> None:
    talk = Conversation("Be brief.")
    assert talk.question is None
    assert talk.again() is None
    talk.ask("Why?")
    talk.answer("The moon.")
    assert [turn["role"] for turn in talk.messages] == ["system", "user", "assistant"]
    assert talk.again() == "Why?"
    assert [turn["role"] for turn in talk.messages] == ["system"]


def test_a_question_without_a_word_of_answer_is_dropped() -> None:
    talk = Conversation()
    talk.ask("Why?")
    talk.answer("")
    talk.answer("")
    assert talk.messages == []


def test_a_conversation_is_kept_as_markdown_or_json() -> None:
    talk = Conversation()
    talk.ask("Why?")
    talk.answer("The moon.\n")
    assert talk.saved("talk.md", "m") == "## You\n\nWhy?\n\n## m\n\nThe moon.\n"
    assert json.loads(talk.saved("talk.json", "m"))["messages"] == talk.messages


def test_the_status_line() -> None:
    assert status_line(result()) == "stop · 61 tokens · TTFT 390 ms · TPOT 16.7 ms (60 tokens/s)"
    assert status_line(result(tpot=0.0)).endswith("TPOT 0.0 ms")
    cut = result(reason="upstream_cut", usage=None, tokens=2, ttft=None, tpot=None, retries=1, malformed=2)
    assert status_line(cut) == "upstream_cut · 2 tokens · 1 retries · 2 chunks skipped"


def test_the_figures_of_a_session() -> None:
    figures = Figures()
    assert figures.lines() == ["0 answers, 0 of them cut, 0 tokens"]
    figures.add(result())
    figures.add(result(complete=False, ttft=0.01, tpot=None))
    figures.add(result(tokens=0, usage=None, ttft=None, tpot=None))
    assert figures.lines() == [
        "3 answers, 1 of them cut, 122 tokens",
        "TTFT 10.0 ms to 390 ms, mean 200 ms",
        "mean TPOT 16.7 ms (60 tokens/s)",
    ]
