"""torture/cases.py: every case is a fault that there is, says what it does, and can be chosen."""

from __future__ import annotations

import re

import pytest

from tidegate.simulator.faults import TABLE, fault_of
from tidegate.simulator.script import MODELS
from tidegate.torture.cases import CASES, Act, Case, Outcome, case_of, chosen, marker


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_a_fault_that_the_simulator_can_play(case: Case) -> None:
    fault = case.fault.partition("?")[0]
    assert fault_of(fault) is not None or f"sim/{fault}" in {f"sim/{name}" for name in MODELS} | {"sim/default"}
    assert case.wanted
    assert case.does
    assert case.honest
    assert case_of(f"Tell me. {marker(case)}") is case


def test_names_are_unique_and_few_faults_are_left_out() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 80
    played = {case.fault if case.fault in TABLE else re.sub(r"-\d+$", "-N", case.fault) for case in CASES}
    left_out = set(TABLE) - played
    # Retries need two requests to one model name; repeated ids prove nothing without a reconnect.
    assert left_out == {"429-then-ok", "500-then-ok", "503-then-ok", "ids"}


def test_no_success_that_is_none_is_ever_let_pass() -> None:
    lies = {Outcome.ALTERED, Outcome.PARTIAL, Outcome.SILENT, Outcome.FALSE_DONE, Outcome.EMPTY, Outcome.NO_STREAM}
    lies |= {Outcome.LEAK, Outcome.HANG, Outcome.RAN_ON, Outcome.SWALLOWED}
    assert not any(case.honest & lies for case in CASES)


def test_a_prompt_without_a_case_has_none() -> None:
    assert case_of("Tell me. [[torture:zebra]]") is None
    assert case_of("Tell me.") is None


def test_cases_are_chosen_by_globs_in_their_order() -> None:
    assert chosen(()) == CASES
    assert [case.name for case in chosen(("whole-*", "good"))] == ["good", "whole-cut", "whole-half", "whole-html"]
    assert chosen(("zebra*",)) == ()


def test_numbers_stand_in_the_words() -> None:
    (case,) = chosen(("cut-after-5",))
    assert case.does == "Closes the connection after 5 tokens"


def test_every_act_is_in_some_case() -> None:
    assert {case.act for case in CASES} == set(Act)
    assert {case.group for case in CASES} == {"failure", "odd", "malformed", "client"}
