"""What answers are checked for, through real sockets: JSON while it comes, sentences, and the whole at the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from tests.e2e.test_safety import FRAMINGS, Model, both
from tests.fakes.gateway import Rig, gateway, run, until, upstream
from tests.fakes.reader import Reader, ask, request_bytes
from tests.relay.streams import ROLE, chunk
from tidegate.ledger.database import Database
from tidegate.ledger.options import LedgerOptions
from tidegate.ledger.tables import legs
from tidegate.safety.classifier import ClassifierOptions, Verdict
from tidegate.safety.profile import ProfileOptions, SafetyOptions
from tidegate.safety.validation import UserRule, ValidationOptions
from tidegate.server.app import create_app

REPORT = {"x-tidegate-validation": "on"}
OBJECT = {"response_format": {"type": "json_object"}}
SCHEMA = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {
            "name": "tide",
            "schema": {
                "type": "object",
                "properties": {"height": {"type": "number"}},
                "required": ["height"],
                "additionalProperties": False,
            },
        },
    }
}
framings = pytest.mark.parametrize("framing", FRAMINGS)


class Flagging:
    """Flags sentences with a word in them; may dawdle, stall, lie or fail."""

    def __init__(self, word: str = "bad", *, how: str = "answers", wait: float = 0.0) -> None:
        self.word = word
        self.how = how
        self.wait = wait
        self.asked: list[str] = []
        self.live = 0
        self.most = 0
        self.released = asyncio.Event()

    async def check(self, sentence: str) -> Verdict:
        self.asked.append(sentence)
        self.live += 1
        self.most = max(self.most, self.live)
        try:
            if self.how == "stalls":
                await asyncio.sleep(3600)
            if self.how == "waits":
                await self.released.wait()
            if self.how == "fails":
                raise ValueError(sentence)
            if self.how == "lies":
                return "fine"  # type: ignore[return-value]
            await asyncio.sleep(self.wait)
            return Verdict(self.word in sentence, "rude", 0.9)
        finally:
            self.live -= 1


@asynccontextmanager
async def checked(
    texts: list[str],
    *,
    classifier: Flagging | None = None,
    validation: ValidationOptions | None = None,
    end: str = "stop",
    payloads: list[bytes] | None = None,
    fast: bool = True,
    stream: dict[str, Any] | None = None,
    rules: tuple[str, ...] = (),
    safety: SafetyOptions | None = None,
    **seat: Any,
) -> AsyncIterator[tuple[Rig, Model]]:
    """A gateway that checks what a scripted model says."""
    said = Model(texts, end)
    if payloads is not None:
        said.payloads = payloads
    server = await asyncio.start_server(said.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = ClassifierOptions(**{"name": "mine", "deadline": 30.0, **seat})
    safety = safety or SafetyOptions(
        use="mine" if classifier is not None else "off",
        profiles=(ProfileOptions(name="mine", rules=rules, classifiers=("mine",)),) if classifier is not None else (),
        classifiers=(options,) if classifier is not None else (),
        validation=validation or ValidationOptions(),
    )
    given = {} if classifier is None else {"mine": classifier}

    def made(config: Any) -> Any:
        return create_app(config, classifiers=given)

    try:
        with patch("tests.fakes.gateway.create_app", made):
            async with gateway(
                upstream(f"http://127.0.0.1:{port}/v1"), fast=fast, sections={"safety": safety}, **(stream or {})
            ) as rig:
                yield rig, said
    finally:
        server.close()
        await server.wait_closed()


async def answer(rig: Rig, framing: str, fields: dict[str, Any] | None = None, **headers: str) -> Reader:
    path, more = FRAMINGS[framing]
    body = {"model": "m", "messages": [{"role": "user", "content": "?"}], **more, **(fields or {})}
    return await ask(rig.port, path, body, headers)


@asynccontextmanager
async def reading(rig: Rig, framing: str = "sse", fields: dict[str, Any] | None = None) -> AsyncIterator[Reader]:
    """An answer that comes."""
    path, more = FRAMINGS[framing]
    body = {"model": "m", "messages": [{"role": "user", "content": "?"}], **more, **(fields or {})}
    reader = await Reader.connect(rig.port)
    try:
        reader.send(request_bytes(path, json.dumps(body).encode()))
        yield reader
    finally:
        await reader.close()


def content(reader: Reader, framing: str) -> str:
    if framing == "json":
        return str(reader.events()[0]["choices"][0]["message"]["content"])
    return reader.text


def finish(reader: Reader, framing: str) -> str | None:
    if framing == "json":
        return str(reader.events()[0]["choices"][0]["finish_reason"])
    return reader.finish


def told(reader: Reader, framing: str) -> Any:
    """The verdict that the reader got; ``None``: none."""
    events = [event for event in reader.events() if isinstance(event, dict)]
    found = [event["tidegate"]["validation"] for event in events if "validation" in event.get("tidegate", {})]
    assert len(found) <= 1
    if found and framing != "json":
        assert "validation" in events[-1]["tidegate"], "the verdict is the last event"
        assert events[-1]["choices"] == []
    return found[0] if found else None


@both
@framings
def test_a_good_answer_is_told_valid(framing: str, fast: bool) -> None:
    async def main() -> None:
        async with checked(['{"hei', 'ght": 3', ".5}"], fast=fast) as (rig, _):
            reader = await answer(rig, framing, SCHEMA, **REPORT)
            assert content(reader, framing) == '{"height": 3.5}'
            assert told(reader, framing) == {"valid": True}
            record = await rig.ended()
            assert (record.reason, record.validation) == ("stop", {"valid": True})

    run(main())


@framings
def test_an_answer_that_the_schema_refuses_is_told_so_without_its_text(framing: str) -> None:
    async def main() -> None:
        with capture_logs() as logs:
            async with checked(['{"secret', '": 3', ".5}"]) as (rig, _):
                reader = await answer(rig, framing, SCHEMA, **REPORT)
                verdict = told(reader, framing)
                assert verdict["valid"] is False
                assert verdict["failed"][0]["check"] == "schema"
                assert verdict["failed"][0]["path"]
                record = await rig.ended()
                assert record.validation is not None
                assert "path" not in record.validation["failed"][0]
                assert "secret" not in json.dumps(record.validation)
        assert "secret" not in repr(logs)

    run(main())


def test_nobody_is_told_who_does_not_ask() -> None:
    async def main() -> None:
        async with checked(['{"a": 1}'], validation=ValidationOptions(schema=True)) as (rig, _):
            reader = await answer(rig, "sse", SCHEMA)
            assert told(reader, "sse") is None
            assert reader.done
            record = await rig.ended()
            assert record.validation is not None
            assert record.validation["valid"] is False

    run(main())


def test_a_hostile_schema_ends_its_own_process_and_nothing_else() -> None:
    """The pattern takes longer than anybody lives; the next answer is checked as if nothing had been."""
    hostile = {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"schema": {"type": "string", "pattern": "^(a+)+$"}},
        }
    }

    async def main() -> None:
        async with checked([f'"{"a" * 60}!"'], validation=ValidationOptions(schema=True, timeout=0.5)) as (rig, _):
            reader = await answer(rig, "sse", hostile, **REPORT)
            assert told(reader, "sse") == {
                "valid": None,
                "unchecked": [{"check": "schema", "choice": 0, "detail": "timeout"}],
            }
            assert reader.done
            reader = await answer(rig, "sse", SCHEMA, **REPORT)
            assert told(reader, "sse")["failed"][0]["detail"] == "type"

    run(main())


@both
@framings
def test_the_first_impossible_character_ends_the_answer(framing: str, fast: bool) -> None:
    async def main() -> None:
        async with checked(
            ['{"a"', ": 1", ",}", ' "never'], validation=ValidationOptions(strict_json="cut"), fast=fast
        ) as (rig, _):
            reader = await answer(rig, framing, OBJECT)
            record = await rig.ended()
            assert (record.reason, record.error_code) == ("invalid_output", "invalid_output")
            if framing == "json":
                assert reader.status == 502
                assert reader.events()[0]["error"]["code"] == "invalid_output"
            else:
                assert reader.text == '{"a": 1'
                assert not reader.done
                assert reader.events()[-1]["error"]["code"] == "invalid_output"
                assert record.tokens == 2

    run(main())


def test_an_answer_that_begins_wrong_has_a_status_of_its_own() -> None:
    async def main() -> None:
        async with checked(["Sure! Here", " it is"], validation=ValidationOptions(strict_json="cut")) as (rig, _):
            reader = await answer(rig, "sse", OBJECT)
            assert reader.status == 502
            assert reader.events()[0]["error"]["code"] == "invalid_output"
            await rig.ended()
            plain = await answer(rig, "sse")
            assert plain.text == "Sure! Here it is"

    run(main())


@framings
def test_a_model_that_stops_in_the_middle_of_its_json_is_told_of(framing: str) -> None:
    async def main() -> None:
        async with checked(['{"a"', ": 1"], validation=ValidationOptions(strict_json="cut")) as (rig, _):
            reader = await answer(rig, framing, OBJECT)
            record = await rig.ended()
            assert record.reason == "invalid_output"
            assert reader.events()[-1]["error"]["code"] == "invalid_output"
            if framing != "json":
                assert reader.finish is None

    run(main())


def test_observed_json_passes_and_is_noted() -> None:
    async def main() -> None:
        async with checked(["{,", "}"], validation=ValidationOptions(strict_json="observe")) as (rig, _):
            reader = await answer(rig, "sse", OBJECT)
            assert (reader.text, reader.done) == ("{,}", True)
            record = await rig.ended()
            assert record.validation == {
                "valid": False,
                "failed": [{"check": "json", "choice": 0, "detail": "content", "at": 1}],
            }

    run(main())


def test_arguments_of_a_tool_call_are_json_too() -> None:
    def call(arguments: str, **more: Any) -> bytes:
        return chunk({"tool_calls": [{"index": 0, **more, "function": {"arguments": arguments}}]})

    async def main() -> None:
        payloads = [ROLE, call('{"a"', id="c1"), call(":"), call("x"), call("}")]
        async with checked([], payloads=payloads, validation=ValidationOptions(strict_json="cut")) as (rig, _):
            reader = await answer(rig, "sse", OBJECT)
            assert reader.events()[-1]["error"]["code"] == "invalid_output"
            assert "tool arguments" in reader.events()[-1]["error"]["message"]
            await rig.ended()

    run(main())


@framings
def test_rules_and_finish_reasons_of_the_configuration(framing: str) -> None:
    rules = (UserRule(name="source", pattern="[[]\\d+[]]"), UserRule(name="sorry", pattern="sorry", must="not-contain"))
    validation = ValidationOptions(rules=rules, finish_reasons=("length",), report=True)

    async def main() -> None:
        async with checked(["I am", " sorry."], validation=validation) as (rig, _):
            reader = await answer(rig, framing)
            assert told(reader, framing) == {
                "valid": False,
                "failed": [
                    {"check": "finish_reason", "choice": 0, "detail": "stop"},
                    {"check": "rule", "choice": 0, "detail": "source"},
                    {"check": "rule", "choice": 0, "detail": "sorry"},
                ],
            }
            await rig.ended()

    run(main())


def test_the_verdict_is_on_the_streams_page() -> None:
    async def main() -> None:
        async with checked(["{}"]) as (rig, _):
            reader = await answer(rig, "sse", OBJECT, **REPORT)
            record = await rig.ended()
            shown = rig.gateway.relay.registry.get(reader.headers["x-stream-id"], rig.gateway.auth.check(None))
            assert shown["validation"] == record.validation == {"valid": True}

    run(main())


def test_a_wish_that_makes_no_sense_is_refused() -> None:
    async def main() -> None:
        async with checked(["{}"]) as (rig, _):
            reader = await answer(rig, "sse", OBJECT, **{"x-tidegate-validation": "maybe"})
            assert reader.status == 400
            assert reader.events()[0]["error"]["code"] == "unknown_value"
            assert (await answer(rig, "sse", OBJECT, **{"x-tidegate-validation": "off"})).text == "{}"
            await rig.ended()

    run(main())


@pytest.mark.parametrize("said", ['{"a": "123-45', '{"a": 12'])
def test_a_filter_and_strict_json_work_together_also_when_the_answer_is_stopped(said: str) -> None:
    """What the filter holds is looked at before it leaves."""
    profile = ProfileOptions(name="mine", rules=("ssn",))
    safety = SafetyOptions(use="mine", profiles=(profile,), validation=ValidationOptions(strict_json="cut"))

    async def main() -> None:
        async with checked([said], safety=safety, end="hang") as (rig, _), reading(rig, fields=OBJECT) as reader:
            registry = rig.gateway.relay.registry
            await until(lambda: any(stream.answer.tokens for stream in registry))
            next(iter(registry)).soft_stop()
            await reader.head()
            await reader.rest()
            assert (reader.text, reader.done) == (said, True)
            assert (await rig.ended()).reason == "soft_stop"

    run(main())


def test_an_answer_in_one_body_from_the_model_server_is_checked_too() -> None:
    whole = {"choices": [{"index": 0, "message": {"content": "Sure! {}"}, "finish_reason": None}], "id": "x"}

    async def main() -> None:
        payloads = [json.dumps(whole).encode()]
        async with checked([], payloads=payloads, validation=ValidationOptions(strict_json="cut")) as (rig, _):
            reader = await answer(rig, "json", OBJECT)
            assert reader.status == 502
            assert reader.events()[0]["error"]["code"] == "invalid_output"
            await rig.ended()

    run(main())


def test_choices_are_checked_each_by_itself() -> None:
    async def main() -> None:
        payloads = [
            ROLE,
            chunk({"role": "assistant", "content": "{"}),
            chunk({"role": "assistant", "content": "[1"}, index=1),
            chunk({"content": "}"}),
            chunk({}, "stop", index=1),
        ]
        async with checked([], payloads=payloads, validation=ValidationOptions(strict_json="observe")) as (rig, _):
            reader = await answer(rig, "sse", {"response_format": {"type": "json_schema"}, "n": 2})
            assert reader.done
            record = await rig.ended()
            assert record.validation == {
                "valid": False,
                "failed": [{"check": "json", "choice": 1, "detail": "unfinished", "at": 2}],
            }

    run(main())


def test_the_verdict_is_in_the_ledgers_row(tmp_path: Path) -> None:
    """Without anything of what was said, and hits of classifiers beside it."""
    url = f"sqlite:///{tmp_path / 'tidegate.db'}"

    async def main() -> None:
        classifier = Flagging("rude")
        async with checked(
            ['{"rude": 1}'],
            classifier=classifier,
            mode="observe",
            stream={"ledger": LedgerOptions(url=url)},
        ) as (rig, _):
            await answer(rig, "sse", SCHEMA, **REPORT)
            await rig.ended()

    run(main())
    database = Database(url)
    with database.reading() as connection:
        (row,) = connection.execute(select(legs.c.validation, legs.c.safety)).all()
    database.close()
    assert json.loads(row.validation)["valid"] is False
    assert "rude" not in row.validation
    assert json.loads(row.safety) == {"classifier:mine": 1}


def test_a_reload_keeps_what_has_not_changed_and_replaces_what_has() -> None:
    async def main() -> None:
        async with checked(["{}"], validation=ValidationOptions(schema=True)) as (rig, _):
            gateway = rig.gateway
            await answer(rig, "sse", SCHEMA)
            before = gateway.checking
            gateway.reload(gateway.options)
            assert gateway.checking is before
            changed = replace(gateway.options.safety, validation=ValidationOptions(strict_json="cut"))
            gateway.reload(replace(gateway.options, safety=changed))
            assert gateway.checking is not before
            reader = await answer(rig, "sse", OBJECT)
            assert reader.done
            gateway.reload(replace(gateway.options, safety=SafetyOptions()))
            assert gateway.checking is None

    run(main())
