"""policy/windows.py: the last minute, and money of a period."""

from __future__ import annotations

from tidegate.policy.windows import GRAIN, MINUTE, SPAN, Purse, Window, bucket_of


def test_a_minute_is_whole_buckets() -> None:
    assert SPAN * GRAIN == MINUTE
    assert bucket_of(GRAIN - 1) == 0
    assert bucket_of(GRAIN) == 1


def test_what_is_counted_at_a_buckets_end_counts_for_a_minute() -> None:
    window = Window()
    window.add(5, bucket_of(GRAIN - 1))
    assert window.slide(GRAIN - 1 + MINUTE) == 5
    assert window.slide(GRAIN + MINUTE) == 0


def test_memory_does_not_grow_with_the_limit() -> None:
    window = Window()
    for now in range(0, 3 * MINUTE, 7):
        window.slide(now)
        window.add(1, bucket_of(now))
    assert len(window._marks) <= SPAN + 1


def test_a_clock_that_goes_back_counts_in_the_last_bucket() -> None:
    window = Window()
    window.add(1, 10)
    assert window.add(1, 0) == [10, 2]
    assert window.used == 2


def test_what_is_taken_back_of_a_bucket_in_the_middle() -> None:
    window = Window()
    for now in (0, GRAIN, 3 * GRAIN):
        window.add(10, bucket_of(now))
    window.take_back(1, 4)
    window.take_back(2, 4)
    window.take_back(-1, 4)
    assert window.used == 26


def test_more_than_the_limit_never_fits() -> None:
    assert Window().wait(11, 10, 0) == MINUTE + GRAIN


def test_an_empty_window_needs_no_reset() -> None:
    assert Window().reset(0) == 0


def test_a_purse_has_used_what_is_spent_and_held() -> None:
    purse = Purse()
    purse.spent, purse.held = 3, 4
    assert purse.used == 7


def test_the_wait_is_until_enough_of_the_oldest_is_gone() -> None:
    window = Window()
    for at, amount in ((0, 3), (10 * GRAIN, 3), (20 * GRAIN, 3)):
        window.add(amount, bucket_of(at))
    now = 20 * GRAIN
    assert window.wait(1, 10, now) == 0
    assert window.wait(4, 10, now) == (SPAN + 1) * GRAIN - now
    assert window.wait(5, 10, now) == (SPAN + 11) * GRAIN - now
    assert window.wait(10, 10, now) == (SPAN + 21) * GRAIN - now
