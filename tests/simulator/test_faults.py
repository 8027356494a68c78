"""simulator/faults.py and script.py: what a name plays, before anything is sent."""

from __future__ import annotations

import re
import zlib
from typing import Any

import pytest

from tidegate.simulator.faults import TABLE, fault_of
from tidegate.simulator.options import SimulatorOptions
from tidegate.simulator.script import Asked, Script, asked_of, script_of


def asked(name: str, **fields: Any) -> Asked:
    return asked_of({"model": f"sim/{name}", "messages": [{"content": "Why?"}], **fields}, SimulatorOptions(tokens=20))


USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}


def finishes(script: Script) -> list[bytes]:
    """Each finish reason that is said, in order."""
    body = b"".join(step.data for step in script.steps)
    if dict(script.headers).get("content-encoding") == "gzip":
        body = zlib.decompressobj(31).decompress(body)
    return re.findall(rb'"finish_reason": ?("\w+")', body)


def played(name: str) -> Script:
    found = fault_of(name)
    assert found is not None
    return found[0](asked(name), found[1])


@pytest.mark.parametrize("name", [name.replace("-N", "-3") for name in TABLE])
def test_every_fault_is_a_script_with_one_end(name: str) -> None:
    """Its last step says what follows, and no step before it does."""
    steps = played(name).steps
    assert steps[-1].after != "go"
    assert all(step.after == "go" for step in steps[:-1])
    assert all(step.wait >= 0 for step in steps)


@pytest.mark.parametrize("name", [name.replace("-N", "-3") for name in TABLE])
def test_who_asks_for_usage_gets_the_same_answer_otherwise(name: str) -> None:
    """What a fault changes, it changes there, and each finish reason that comes without usage comes with it."""
    found = fault_of(name)
    assert found is not None
    without, told = (found[0](asked(name, **fields), found[1]) for fields in ({}, USAGE))
    assert finishes(told) == finishes(without)
    assert sum(step.tokens for step in told.steps) == sum(step.tokens for step in without.steps)


@pytest.mark.parametrize(
    ("name", "tokens"), [("strawberry", 10), ("flood-1", 65), ("dribble", 11), ("dribble?tokens=8", 8)]
)
def test_usage_counts_the_tokens_that_were_sent(name: str, tokens: int) -> None:
    found = fault_of(name.partition("?")[0])
    assert found is not None
    script = found[0](asked(name, **USAGE), found[1])
    body = b"".join(step.data for step in script.steps)
    assert sum(step.tokens for step in script.steps) == tokens
    assert b'"completion_tokens":%d' % tokens in body
    assert body.count(b"[DONE]") == 1


@pytest.mark.parametrize("fault", TABLE.values(), ids=TABLE)
def test_every_fault_says_what_an_honest_gateway_makes_of_it(fault: Any) -> None:
    does, arrow, becomes = fault.__doc__.splitlines()[0].partition(" -> ")
    assert does
    assert arrow
    assert becomes


@pytest.mark.parametrize(("name", "tokens"), [("cut-after-3", 3), ("cut-after-0", 0), ("stall-after-7", 7)])
def test_the_number_in_the_name_counts_tokens(name: str, tokens: int) -> None:
    assert sum(step.tokens for step in played(name).steps) == tokens


@pytest.mark.parametrize(
    "name", ["default", "prose", "no-such", "cut-after", "cut-after-x", "cut-after-1234567", "401-3"]
)
def test_an_ordinary_name_is_no_fault(name: str) -> None:
    assert fault_of(name) is None


def test_a_good_answer_is_role_tokens_finish_and_end() -> None:
    script = script_of(asked("default"))
    assert [step.tokens for step in script.steps] == [0] + [1] * 20 + [0, 0]
    assert (script.tokens, script.steps[-1].after) == (20, "end")
    assert b'"finish_reason":"length"' in script.steps[-2].data


def test_options_in_the_name_and_limits_in_the_request_are_heard() -> None:
    options = asked("prose?ttft=0.5&tps=-1&tokens=3&unknown=1").options
    assert (options.ttft, options.tps, options.tokens) == (0.5, 0.0, 3)
    free = asked_of({"model": "sim/prose", "max_tokens": 4}, SimulatorOptions())
    assert free.options.tokens == 4
    with pytest.raises(ValueError):
        asked("prose?tps=fast")
