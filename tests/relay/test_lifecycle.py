"""relay/lifecycle.py: the table, by rule and by chance."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tidegate.relay.lifecycle import (
    FINISH_REASONS,
    TRANSITIONS,
    IllegalTransition,
    Lifecycle,
    Reason,
    State,
    Step,
    reason_of_finish,
)

ORDER = list(State)


class Lives(RuleBasedStateMachine):
    """Any steps in any order, and any number of ends."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Lifecycle()
        self.first: Reason | None = None
        self.token = False

    @rule(step=st.sampled_from(Step))
    def steps(self, step: Step) -> None:
        before = self.life.state
        if step in TRANSITIONS[before]:
            assert self.life.step(step) is self.life.state is TRANSITIONS[before][step]
            self.token = self.token or step is Step.FIRST_TOKEN
        else:
            with pytest.raises(IllegalTransition, match=f"{step.value} in state {before.value}"):
                self.life.step(step)
            assert self.life.state is before, "a step that is refused changes nothing"

    @rule(reason=st.sampled_from(Reason))
    def ends(self, reason: Reason) -> None:
        assert self.life.end(reason) == (self.first is None)
        self.first = self.first or reason

    @invariant()
    def one_end_with_one_reason(self) -> None:
        assert self.life.ended == (self.life.state is State.ENDED) == (self.first is not None)
        assert self.life.reason is self.first

    @invariant()
    def nothing_is_tried_again_after_the_first_token(self) -> None:
        if self.token:
            assert self.life.state in (State.STREAMING, State.ENDED)


TestLives = Lives.TestCase


def test_every_state_has_a_row_and_an_end_has_none() -> None:
    assert set(TRANSITIONS) == set(State)
    assert TRANSITIONS[State.ENDED] == {}


def test_only_a_retry_leads_back() -> None:
    for state, row in TRANSITIONS.items():
        for step, to in row.items():
            assert step is Step.RETRY or ORDER.index(to) >= ORDER.index(state)
            assert to is not State.ENDED, "an end is decided by end() alone"


@pytest.mark.parametrize(("word", "reason"), [*FINISH_REASONS.items(), ("STOP", Reason.STOP), ("eos", Reason.STOP)])
def test_a_finish_reason_is_one_terminal_reason(word: str, reason: Reason) -> None:
    assert reason_of_finish(word) is reason
