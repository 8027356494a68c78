"""relay/ids.py: ids that sort by time and cannot be guessed."""

from __future__ import annotations

import pytest

from tidegate.relay.ids import DIGITS, new_id


@pytest.mark.parametrize("tag", ["", "0a1b", "0123abcd"])
def test_an_id_has_its_tag_its_time_and_is_never_the_same(tag: str) -> None:
    made = {new_id(tag, 1_800_000_000.0) for _ in range(100)}
    assert len(made) == 100
    assert {len(each) for each in made} == {DIGITS}
    assert {each[: len(tag) + 10] for each in made} == {f"{tag}{1_800_000_000 * 64:010x}"}
    assert all(set(each) <= set("0123456789abcdef") for each in made)


def test_later_ids_sort_behind_earlier_ones() -> None:
    made = [new_id(now=1_800_000_000.0 + step / 32) for step in range(50)]
    assert made == sorted(made)


def test_without_a_time_it_is_now() -> None:
    first, last = new_id(), new_id()
    assert first[:10] <= last[:10]


def test_a_clock_that_is_centuries_off_makes_ids_too() -> None:
    assert len(new_id(now=1e11)) == DIGITS
