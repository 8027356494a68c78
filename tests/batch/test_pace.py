"""batch/pace.py: additive increase, multiplicative decrease, and never out of bounds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.batch.pace import Pace

EVENTS = st.lists(
    st.tuples(
        st.floats(0.0, 10.0), st.booleans(), st.floats(1e-3, 60.0), st.integers(0, 4000), st.none() | st.floats(0, 60)
    ),
    max_size=200,
)


@settings(deadline=None)
@given(EVENTS, st.integers(1, 50), st.integers(1, 100))
def test_the_limit_stays_within_its_bounds_whatever_happens(
    events: list[tuple[float, bool, float, int, float | None]], start: int, most: int
) -> None:
    pace, now = Pace(start=start, most=most), 0.0
    for passed, good, seconds, tokens, retry_after in events:
        now += passed
        if good:
            pace.answered(now, seconds, tokens)
        else:
            before = pace.limit
            pace.refused(now, retry_after)
            assert pace.limit <= before
            assert retry_after is None or pace.resumes >= now + retry_after
        assert 1 <= pace.limit <= most


def test_it_doubles_per_round_until_the_first_refusal_and_then_grows_by_one() -> None:
    pace = Pace(start=4, most=1000)
    for _ in range(4):
        pace.answered(1.0, 0.5, 10)
    assert pace.limit == 8
    pace.refused(2.0)
    assert pace.limit == 4
    for _ in range(5):
        pace.answered(9.0, 0.5, 10)
    assert pace.limit == 5


def test_the_refusals_of_one_round_count_once() -> None:
    pace = Pace(start=64)
    pace.answered(0.0, 2.0, 10)
    for _ in range(30):
        pace.refused(1.0)
    assert pace.limit == 32
    pace.refused(3.5)
    assert pace.limit == 16


def test_answers_that_take_much_longer_than_at_best_mean_less() -> None:
    pace = Pace(start=8, most=64, tolerance=3.0)
    for turn in range(40):
        pace.answered(float(turn), 1.0, 100)
    assert pace.limit == 48
    for turn in range(40, 100):
        pace.answered(float(turn), 9.0, 100)
    assert pace.limit < 30


def test_long_answers_are_not_slow_answers() -> None:
    pace = Pace(start=8, most=64)
    for turn in range(30):
        pace.answered(float(turn), 1.0, 100)
    for turn in range(30, 60):
        pace.answered(float(turn), 20.0, 2000)
    assert pace.limit == 64
