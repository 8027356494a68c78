"""The verdict on a whole answer, piece by piece."""

from __future__ import annotations

import asyncio
from typing import Any

from tidegate.relay.checks.pieces import Piece
from tidegate.relay.checks.plan import CheckPlan, Promise
from tidegate.relay.checks.schemas import SchemaResult
from tidegate.relay.checks.validation import Whole, verdict_at_once, verdict_on
from tidegate.safety.profile import Channel
from tidegate.safety.validation import Finding, UserRule, UserRules, ValidationOptions, ValidationVerdict


class Schemas:
    def __init__(self, result: SchemaResult) -> None:
        self.result = result
        self.asked: list[tuple[bytes, bytes]] = []

    async def check(self, schema: bytes, answer: bytes) -> SchemaResult:
        self.asked.append((schema, answer))
        return self.result


def whole(text: str, *, most: int = 1000, reason: str = "stop", name: str = "content") -> Whole:
    found = Whole(most)
    channel = Channel.OUTPUT if name == "content" else Channel.TOOL_ARGUMENTS
    found.add([Piece(0, channel, name, text)] if text else [], [(0, reason)])
    return found


def plan(**fields: Any) -> CheckPlan:
    return CheckPlan(**{"options": ValidationOptions(), "validates": True, **fields})


def verdict(plan: CheckPlan, said: Whole, json: dict[int, Finding | None] | None = None) -> ValidationVerdict:
    return asyncio.run(verdict_on(plan, said, json or {}))


def test_finish_reasons_need_no_time() -> None:
    options = ValidationOptions(finish_reasons=("stop",))
    assert verdict_at_once(plan(options=options), whole("x"), {}) == ValidationVerdict()
    assert verdict_at_once(plan(options=options), whole("x", reason="length\n"), {}) == ValidationVerdict(
        (Finding("finish_reason", "length"),)
    )


def test_rules_and_schemas_do() -> None:
    rules = UserRules((UserRule(name="a", pattern="a"),))
    assert verdict_at_once(plan(rules=rules), whole("x"), {}) is None
    promise = Promise("any", b"{}")
    assert verdict_at_once(plan(promise=promise, schemas=Schemas(SchemaResult())), whole("x"), {}) is None
    assert verdict_at_once(plan(promise=promise), whole("x"), {0: None}) is not None


def test_an_empty_answer_is_no_json_but_a_call_or_a_refusal_may_stand_for_one() -> None:
    promised = plan(promise=Promise("object", None))
    assert verdict_at_once(promised, whole(""), {}) == ValidationVerdict((Finding("json", "empty", 0, at=0),))
    assert verdict_at_once(promised, whole("no", name="refusal"), {}) == ValidationVerdict()


def test_the_schema_speaks_of_json_only() -> None:
    schemas = Schemas(SchemaResult("type", "type"))
    promised = plan(promise=Promise("any", b"S"), schemas=schemas)
    bad = Finding("json", "content", 0, at=1)
    assert verdict(promised, whole("{,"), {0: bad}) == ValidationVerdict((bad,))
    assert schemas.asked == []
    assert verdict(promised, whole("{}"), {0: None}) == ValidationVerdict((Finding("schema", "type", 0, path="type"),))
    assert schemas.asked == [(b"S", b"{}")]
    schemas.result = SchemaResult(error="timeout")
    assert verdict(promised, whole("{}"), {0: None}) == ValidationVerdict((), (Finding("schema", "timeout", 0),))
    schemas.result = SchemaResult()
    assert verdict(promised, whole("{}"), {0: None}) == ValidationVerdict()


def test_a_long_answer_is_not_kept_and_not_checked() -> None:
    rules = UserRules((UserRule(name="a", pattern="a"),))
    said = whole("xxxx", most=6)
    said.add([Piece(0, Channel.OUTPUT, "content", "yyyy")], [])
    assert said.text(0) is None
    options = ValidationOptions(max_bytes=6)
    assert verdict(plan(rules=rules, options=options), said) == ValidationVerdict(
        (), (Finding("size", "longer than 6 characters", 0),)
    )


def test_rules_are_for_answers_that_say_something() -> None:
    rules = UserRules((UserRule(name="a", pattern="a"),))
    assert verdict(plan(rules=rules), whole("x")) == ValidationVerdict((Finding("rule", "a", 0),))
    assert verdict(plan(rules=rules), whole("")) == ValidationVerdict()
    assert verdict(plan(rules=rules), whole("{}", name="arguments:0")) == ValidationVerdict()
    assert verdict(plan(rules=rules), whole("hm", name="reasoning")) == ValidationVerdict()
