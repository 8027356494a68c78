"""bench/abandonment.py: readers are drawn as the model says."""

from __future__ import annotations

import math

import pytest

from tidegate.bench.abandonment import Abandonment, readers


def drawn(count: int = 4000, seed: int = 1, **model: float) -> list[float]:
    people = readers(count, Abandonment(**model), ttft=(0.4, 0.6), answer=(3.0, 8.0), tps=40.0, seed=seed)
    return [one.patience for one in people]


def test_nobody_leaves_within_the_grace_and_the_slope_is_the_share_lost_per_second() -> None:
    patience = drawn(grace=2.0, slope=0.058)
    assert min(patience) >= 2.0
    for seconds in (1.0, 4.0, 10.0):
        lost = sum(each <= 2.0 + seconds for each in patience) / len(patience)
        assert lost == pytest.approx(0.058 * seconds, abs=0.02)


def test_distraction_is_a_constant_hazard() -> None:
    people = readers(4000, Abandonment(distraction=0.1), ttft=(0.4, 0.6), answer=(3.0, 8.0), tps=40.0, seed=2)
    for seconds in (2.0, 10.0):
        lost = sum(one.distracted <= seconds for one in people) / len(people)
        assert lost == pytest.approx(1 - math.exp(-0.1 * seconds), abs=0.03)


def test_without_a_slope_and_a_hazard_nobody_leaves() -> None:
    people = readers(50, Abandonment(slope=0.0, distraction=0.0), ttft=(0.4, 0.6), answer=(3.0, 8.0), tps=40.0, seed=1)
    assert all(math.isinf(one.patience) and math.isinf(one.distracted) for one in people)


def test_answers_last_as_long_as_they_should() -> None:
    for one in readers(500, Abandonment(), ttft=(0.4, 0.6), answer=(3.0, 8.0), tps=40.0, seed=3):
        assert 0.4 <= one.ttft <= 0.6
        assert 2.9 <= one.ttft + one.tokens / one.tps <= 8.1


def test_the_same_seed_draws_the_same_readers() -> None:
    assert drawn(20) == drawn(20)
    assert drawn(20) != drawn(20, seed=2)
