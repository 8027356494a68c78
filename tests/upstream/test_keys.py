"""upstream/keys.py: keys in turn, and their rests."""

from __future__ import annotations

import pytest

from tidegate.upstream.keys import FIRST_REST, FIRST_REST_REFUSED, LONGEST_REST, Key, KeyPool


def taken(pool: KeyPool, now: float = 0.0, **options: list[Key]) -> str | None:
    key = pool.take(now, **options)
    return None if key is None else key.secret


def test_keys_are_used_in_turn() -> None:
    pool = KeyPool(["a", "b", "c"])
    assert len(pool) == 3
    assert [taken(pool) for _ in range(4)] == ["a", "b", "c", "a"]


def test_a_pool_without_keys_says_so() -> None:
    pool = KeyPool()
    assert (pool.empty, pool.take(0.0), pool.ready(0.0), pool.next_ready(0.0)) == (True, None, False, None)


@pytest.mark.parametrize("status", [401, 403, 429])
@pytest.mark.parametrize(("retry_after", "rest"), [(None, None), (7.0, 7.0), (1e9, LONGEST_REST)])
def test_a_refused_key_rests_and_comes_back(status: int, retry_after: float | None, rest: float | None) -> None:
    pool = KeyPool(["a", "b"])
    first = pool.take(0.0)
    assert first is not None
    pool.rest(first, 100.0, status, retry_after)
    lasts = rest or (FIRST_REST if status == 429 else FIRST_REST_REFUSED)
    assert {taken(pool, 100.0 + lasts - 0.1) for _ in range(3)} == {"b"}
    assert {taken(pool, 100.0 + lasts) for _ in range(3)} == {"a", "b"}
    assert pool.next_ready(100.0) == 0.0


def test_a_rest_doubles_while_it_repeats_and_a_success_ends_it() -> None:
    pool = KeyPool(["a"])
    key = pool.take(0.0)
    assert key is not None
    for count in range(40):
        pool.rest(key, 0.0, 429, None)
        assert pool.next_ready(0.0) == min(FIRST_REST * 2**count, LONGEST_REST)
    pool.ok(key)
    assert pool.next_ready(0.0) == 0.0
    pool.rest(key, 0.0, 429, None)
    assert pool.next_ready(0.0) == FIRST_REST


@pytest.mark.parametrize(("status", "rests"), [(401, False), (403, False), (429, True)])
def test_the_only_key_rests_for_a_429_alone(status: int, rests: bool) -> None:
    pool = KeyPool(["a"])
    key = pool.take(0.0)
    assert key is not None
    pool.rest(key, 0.0, status, None)
    assert pool.ready(0.0) == (not rests)


def test_a_key_can_be_left_out() -> None:
    pool = KeyPool(["a", "b"])
    first = pool.take(0.0)
    assert first is not None
    assert taken(pool, exclude=[first]) == "b"
    assert pool.ready(0.0, exclude=[first])
    second = pool.take(0.0, exclude=[first])
    assert second is not None
    assert (taken(pool, exclude=[first, second]), pool.ready(0.0, exclude=[first, second])) == (None, False)


def test_keys_that_stay_keep_their_rest_through_a_reload() -> None:
    pool = KeyPool(["a", "b"])
    first = pool.take(0.0)
    assert first is not None
    pool.rest(first, 0.0, 429, 50.0)
    pool.reload(["new", "a"])
    assert taken(pool) == taken(pool) == "new"
    assert repr(first) == "Key('key-2')"
    assert "a" not in repr(first).replace("Key", "")
