"""policy/grants.py: what a stream holds, written out meter by meter or not, is the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.policy.limit_rules import START, ask, budget, granted, requests, streams, tokens
from tidegate.policy.grants import NO_END, Ask, Grant, Kind, Meter, OwnGrant
from tidegate.policy.limits import Limits
from tidegate.policy.windows import GRAIN, MINUTE

METERS = st.lists(
    st.one_of(
        st.builds(requests, st.integers(1, 9), st.sampled_from("ab")),
        st.builds(tokens, st.integers(20, 400), st.sampled_from("ab")),
        st.builds(streams, st.integers(1, 9), st.sampled_from("ab")),
        st.builds(budget, st.integers(1, 400), subject=st.sampled_from("ab")),
    ),
    max_size=6,
).map(tuple)
LIVES = st.lists(
    st.tuples(METERS, st.integers(1, 30), st.integers(0, 200), st.integers(0, 300), st.integers(0, 2 * MINUTE)),
    max_size=8,
)


def state(limits: Limits) -> tuple[object, ...]:
    """Everything that a decision depends on."""
    windows = [
        {name: (window.used, list(map(tuple, window._marks))) for name, window in known.items() if window.used}
        for known in (limits._requests, limits._tokens)
    ]
    return (*windows, limits._live, {name: (purse.held, purse.spent) for name, purse in limits._purses.items()})


@given(LIVES, st.none() | st.builds(budget, st.integers(1, 400), subject=st.just("c")))
def test_what_is_written_out_is_settled_as_what_is_not(
    lives: list[tuple[tuple[Meter, ...], int, int, int, int]], money: Meter | None
) -> None:
    """And both come to the same after each step."""
    short, long = Limits(), Limits()
    now, held = START, []
    for meters, prompt, output, used, later in lives:
        wish = Ask(prompt, output, prompt, 0.5)
        one, other = short.admit(meters, wish, now, money), long.admit(meters, wish, now, money)
        assert isinstance(one, OwnGrant) is isinstance(other, OwnGrant)
        if isinstance(one, Grant) and isinstance(other, Grant):
            covered = one.allowance()
            assert len(other.charged) == len(other.meters) == len(meters) + (money is not None)
            assert other.allowance() == covered
            assert one.standings == other.standings
            held.append((one, other, used))
        now += later
        if held and later % 2:
            one, other, used = held.pop(0)
            short.settle(one, used, 7, now)
            long.settle(other, used, 7, now)
        assert state(short) == state(long)


def test_what_was_charged_is_told_by_meter() -> None:
    grant = granted(
        Limits().admit((streams(2), tokens(60), requests(9)), ask(10, 90, 5, 2.0), START, budget(100, subject="b"))
    )
    assert grant.allowance() == 47
    assert grant.charged == [1, 60, 1, 100]
    assert grant.charged is grant.charged
    assert grant.marks == [(1, START // GRAIN, 60)]
    assert grant.unused(20) == [(1, START // GRAIN, 40)]
    assert grant.unused(60) == []


def test_what_has_no_limit_of_tokens_or_money_has_no_end() -> None:
    grant = granted(Limits().admit((requests(1),), ask(), START))
    assert grant.allowance() == NO_END
    assert grant.charged == [1]
    assert grant.allowance() == NO_END
    assert Grant((), ask()).allowance() == NO_END


def test_a_grant_of_somebody_else_says_itself_what_is_charged() -> None:
    written = granted(Limits().admit((tokens(100),), ask(10, 20), START))
    assert written.marks == [(0, START // GRAIN, 30)]
    grant = Grant((tokens(100), requests(3)), ask(10, 20))
    assert grant.charged == [0, 0]
    assert grant.marks == []
    grant.charged = [30, 1]
    grant.marks.extend([(0, 1, 10), (0, 2, 20)])
    assert grant.allowance() == 20
    assert grant.unused(5) == [(0, 2, 20), (0, 1, 5)]
    assert {meter.kind for meter in grant.meters} == {Kind.TOKENS, Kind.REQUESTS}
