"""The verdict on a whole answer. Whatever takes time lets others run, or runs in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tidegate.relay.checks.pieces import Piece
from tidegate.safety.validation import Finding, ValidationVerdict

if TYPE_CHECKING:
    from tidegate.relay.checks.plan import CheckPlan

__all__ = ["Whole", "verdict_at_once", "verdict_on"]


class Whole:
    """What an answer has said, as far as it is checked at the end.

    :param most: characters of one choice that are kept.
    """

    __slots__ = ("_most", "_said", "_sizes", "finish", "others")

    def __init__(self, most: int) -> None:
        self._most = most
        self._said: dict[int, list[str]] = {}
        self._sizes: dict[int, int] = {}
        self.finish: dict[int, str] = {}
        self.others: set[int] = set()
        """Choices that refuse or call a tool."""

    def add(self, pieces: Iterable[Piece], ended: Iterable[tuple[int, str]]) -> None:
        """One chunk's."""
        for piece in pieces:
            if piece.name != "content":
                if piece.name != "reasoning":
                    self.others.add(piece.choice)
                continue
            size = self._sizes[piece.choice] = self._sizes.get(piece.choice, 0) + len(piece.text)
            if size <= self._most:
                self._said.setdefault(piece.choice, []).append(piece.text)
            else:
                self._said.pop(piece.choice, None)
        self.finish.update(ended)

    def text(self, choice: int) -> str | None:
        """The content of a choice; ``None`` when it was too long to keep."""
        return None if self._sizes.get(choice, 0) > self._most else "".join(self._said.get(choice, ()))


def verdict_at_once(plan: CheckPlan, whole: Whole, json: Mapping[int, Finding | None]) -> ValidationVerdict | None:
    """The verdict, where nothing of it takes time; else ``None``."""
    if plan.rules is not None or (plan.schemas is not None and plan.promise is not None and plan.promise.schema):
        return None
    return ValidationVerdict(tuple(_simple(plan, whole, json)))


async def verdict_on(plan: CheckPlan, whole: Whole, json: Mapping[int, Finding | None]) -> ValidationVerdict:
    """The verdict."""
    failed = list(_simple(plan, whole, json))
    unchecked: list[Finding] = []
    schema = plan.promise.schema if plan.promise is not None and plan.schemas is not None else None
    for choice in sorted(whole.finish):
        text = whole.text(choice)
        if text is None:
            unchecked.append(Finding("size", f"longer than {plan.options.max_bytes} characters", choice))
            continue
        if not text:
            continue
        if plan.rules is not None:
            for finding in plan.rules.broken(text, choice):
                if finding is None:
                    await asyncio.sleep(0)
                else:
                    failed.append(finding)
        if schema is not None and json.get(choice) is None:
            assert plan.schemas is not None
            result = await plan.schemas.check(schema, text.encode("utf-8", "replace"))
            if result.error is not None:
                unchecked.append(Finding("schema", result.error, choice))
            elif result.keyword is not None:
                failed.append(Finding("schema", result.keyword, choice, path=result.path))
    return ValidationVerdict(tuple(failed), tuple(unchecked))


def _simple(plan: CheckPlan, whole: Whole, json: Mapping[int, Finding | None]) -> Iterable[Finding]:
    wanted = plan.options.finish_reasons
    for choice, reason in sorted(whole.finish.items()):
        if wanted and reason not in wanted:
            yield Finding("finish_reason", _word(reason), choice)
        if plan.promise is None:
            continue
        if choice in json:
            finding = json[choice]
            if finding is not None:
                yield finding
        elif choice not in whole.others:
            yield Finding("json", "empty", choice, at=0)


def _word(reason: str) -> str:
    """A word that an upstream chose."""
    return "".join(char for char in reason if char.isprintable())[:64]
