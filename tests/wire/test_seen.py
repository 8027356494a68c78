"""wire/seen.py: what a page says is believed where it can be true."""

from __future__ import annotations

import pytest

from tidegate.wire.seen import MAX_PERCEIVED, READER_ENDS, completion_ratio, perceived_latency, reader_end


def test_the_end_is_the_one_that_is_true() -> None:
    for name in READER_ENDS:
        assert reader_end({"first_paint": 1.0, name: True}) == name
    assert reader_end({"finished": False, "left": 1, "gone": True}) is None


@pytest.mark.parametrize(
    ("painted", "seconds"),
    [(0.25, 0.25), (2, 2.0), (MAX_PERCEIVED, MAX_PERCEIVED), (0, None), (-1.0, None), (3601, None), (True, None)],
)
def test_a_latency_that_cannot_be_true_is_none(painted: float, seconds: float | None) -> None:
    assert perceived_latency({"first_paint": painted}) == seconds
    assert perceived_latency({"first_paint": None}) is perceived_latency({}) is None


def test_streams_that_were_stopped_are_apart_from_the_ratio() -> None:
    assert completion_ratio({"finished": 3, "left": 1, "stopped": 7}) == 0.75
    assert completion_ratio({"stopped": 7}) is completion_ratio({}) is None
