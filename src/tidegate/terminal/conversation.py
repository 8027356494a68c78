"""PURE. A conversation: its turns, its commands, and what is said of an answer's end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tidegate.client.result import StreamResult

__all__ = ["COMMANDS", "Conversation", "Figures", "status_line"]

COMMANDS: Final[Mapping[str, str]] = {
    "/model": "NAME: answer with another model; without a name, say which",
    "/retry": "ask the last question again",
    "/save": "FILE: keep the conversation, as markdown, or as JSON when the name ends in .json",
    "/stats": "figures of this session",
    "/help": "this",
    "/quit": "leave (or Ctrl-D, or Ctrl-C twice)",
}


@dataclass(slots=True)
class Figures:
    """Over all answers of a session."""

    answers: int = 0
    cut: int = 0
    tokens: int = 0
    ttft: list[float] = field(default_factory=list)
    tpot: list[float] = field(default_factory=list)

    def add(self, result: StreamResult) -> None:
        """One more answer."""
        self.answers += 1
        self.cut += not result.complete
        self.tokens += output_tokens(result)
        if result.ttft is not None:
            self.ttft.append(result.ttft)
        if result.tpot is not None:
            self.tpot.append(result.tpot)

    def lines(self) -> list[str]:
        """For a person."""
        said = [f"{self.answers} answers, {self.cut} of them cut, {self.tokens} tokens"]
        if self.ttft:
            said.append(f"TTFT {_ms(min(self.ttft))} to {_ms(max(self.ttft))}, mean {_ms(_mean(self.ttft))}")
        if self.tpot:
            said.append(f"mean {_pace(_mean(self.tpot))}")
        return said


class Conversation:
    """Questions and answers, in order.

    :param system: a system prompt, which stands before all of them.
    """

    def __init__(self, system: str | None = None) -> None:
        self._head = [{"role": "system", "content": system}] if system else []
        self._turns: list[dict[str, str]] = []

    @property
    def messages(self) -> list[dict[str, str]]:
        """As a request has them."""
        return [*self._head, *self._turns]

    @property
    def question(self) -> str | None:
        """The last one."""
        return next((turn["content"] for turn in reversed(self._turns) if turn["role"] == "user"), None)

    def ask(self, question: str) -> None:
        """A new question."""
        self._turns.append({"role": "user", "content": question})

    def answer(self, text: str) -> None:
        """Keep an answer, also a stopped or cut one; a question without a word of answer is dropped."""
        if text:
            self._turns.append({"role": "assistant", "content": text})
        elif self._turns and self._turns[-1]["role"] == "user":
            self._turns.pop()

    def again(self) -> str | None:
        """Forget the last answer and its question; returns the question."""
        question = self.question
        while self._turns and self._turns.pop()["role"] != "user":
            pass
        return question

    def saved(self, name: str, model: str) -> str:
        """The conversation as a file's text."""
        if name.endswith(".json"):
            return json.dumps({"model": model, "messages": self.messages}, ensure_ascii=False, indent=2) + "\n"
        titles = {"system": "System", "user": "You", "assistant": model}
        parts = [f"## {titles[turn['role']]}\n\n{turn['content'].strip()}\n" for turn in self.messages]
        return "\n".join(parts)


def output_tokens(result: StreamResult) -> int:
    """As the server counted, else as they came."""
    return result.usage.output_tokens if result.usage is not None and result.usage.output_tokens else result.tokens


def status_line(result: StreamResult) -> str:
    """How an answer ended, in one line."""
    parts: list[Any] = [result.reason or "running", f"{output_tokens(result)} tokens"]
    if result.ttft is not None:
        parts.append(f"TTFT {_ms(result.ttft)}")
    if result.tpot is not None:
        parts.append(_pace(result.tpot))
    if result.retries:
        parts.append(f"{result.retries} retries")
    if result.malformed:
        parts.append(f"{result.malformed} chunks skipped")
    return " · ".join(parts)


def _pace(tpot: float) -> str:
    # Below a microsecond the answer came in one piece, and has no pace.
    return f"TPOT {_ms(tpot)}" + (f" ({1 / tpot:.0f} tokens/s)" if tpot > 1e-6 else "")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"


def _mean(figures: list[float]) -> float:
    return sum(figures) / len(figures)
