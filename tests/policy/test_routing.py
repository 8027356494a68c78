"""policy/routing.py: which upstreams serve a model, and in which order."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.policy.routing import Route, Router, RouteSpec

ROUTER = Router(
    [
        RouteSpec(name="openai", models=("gpt-4o", "gpt-4o-*"), aliases={"fast": "gpt-4o-mini"}),
        RouteSpec(name="backup", models=("gpt-4o",), aliases={"fast": "small"}, priority=1),
        RouteSpec(name="catch-all", models=("*",)),
    ]
)


def order(router: Router, model: str, rand: float = 0.5) -> list[tuple[str, str]]:
    return [(route.upstream, route.model) for route in router.candidates(model, lambda: rand)]


def test_an_alias_is_asked_for_by_the_upstreams_own_name() -> None:
    assert order(ROUTER, "fast") == [("openai", "gpt-4o-mini"), ("catch-all", "fast"), ("backup", "small")]


def test_whoever_names_the_model_comes_before_a_glob_of_the_same_priority() -> None:
    assert order(ROUTER, "gpt-4o") == [("openai", "gpt-4o"), ("catch-all", "gpt-4o"), ("backup", "gpt-4o")]


def test_priority_comes_before_everything_else() -> None:
    router = Router(
        [
            RouteSpec(name="named", models=("m",), priority=1),
            RouteSpec(name="glob", models=("*",), priority=0),
            RouteSpec(name="first", models=("*",), priority=-1),
        ]
    )
    assert [name for name, _ in order(router, "m")] == ["first", "glob", "named"]


def test_an_alias_beats_the_upstreams_own_glob() -> None:
    assert order(Router([RouteSpec(name="u", aliases={"a": "b"})]), "a") == [("u", "b")]


def test_nobody_serves_an_unknown_model() -> None:
    router = Router([RouteSpec(name="u", models=("a",))])
    assert router.candidates("b", lambda: 0.5) == []
    assert (router.matches("a"), router.matches("b")) == (True, False)


def test_a_route_says_where_what_and_why() -> None:
    router = Router([RouteSpec(name="u", models=("a",), priority=3, weight=0.5)])
    assert router.candidates("a", lambda: 0.0) == [Route("u", "a", 3, 0.5)]


def test_names_are_what_can_be_listed_once_and_in_order() -> None:
    assert ROUTER.names() == ["fast", "gpt-4o"]
    assert Router([]).names() == []


def test_the_first_place_is_drawn_in_proportion_to_the_weights() -> None:
    router = Router([RouteSpec(name="a", weight=3), RouteSpec(name="b", weight=1), RouteSpec(name="c", weight=0)])
    rand = random.Random(7)  # fixed: the test states a distribution and must not fail by chance
    first = Counter(router.candidates("m", rand.random)[0].upstream for _ in range(4000))
    assert set(first) == {"a", "b"}
    assert first["a"] / 4000 == pytest.approx(0.75, abs=0.03)


def test_weight_0_is_last_but_still_there() -> None:
    router = Router([RouteSpec(name="off", weight=0), RouteSpec(name="on")])
    assert [name for name, _ in order(router, "m", 0.999)] == ["on", "off"]
    assert order(Router([RouteSpec(name="off", weight=0)]), "m") == [("off", "m")]


@given(
    st.lists(st.tuples(st.integers(-2, 2), st.floats(0, 10), st.booleans()), max_size=8),
    st.randoms(use_true_random=False),
)
def test_every_match_is_a_candidate_once_sorted_by_priority(
    drawn: list[tuple[int, float, bool]], rand: random.Random
) -> None:
    specs = [
        RouteSpec(name=str(number), models=("m" if named else "*",), priority=priority, weight=weight)
        for number, (priority, weight, named) in enumerate(drawn)
    ]
    routes = Router(specs).candidates("m", rand.random)
    assert sorted(route.upstream for route in routes) == sorted(spec.name for spec in specs)
    keys = [(route.priority, not drawn[int(route.upstream)][2]) for route in routes]
    assert keys == sorted(keys)


def test_names_are_remembered_within_a_bound_only() -> None:
    """Whoever asks for ever new names, or for a very long one, costs no memory."""
    router = Router([RouteSpec(name="u", models=("*",))])
    for number in range(2000):
        assert router.matches(f"m-{number}")
    remembered = len(router._known)
    assert remembered < 2000
    assert router.matches("m" * 5000)
    assert len(router._known) == remembered


def test_the_safety_profiles_of_a_model_are_those_of_every_upstream_that_may_serve_it() -> None:
    """Also of one that is failed over to; each once."""
    router = Router(
        [
            RouteSpec(name="one", models=("a",), safety="strict"),
            RouteSpec(name="two", models=("*",), priority=1, safety="mine"),
            RouteSpec(name="three", models=("a", "b"), priority=2, safety="strict"),
            RouteSpec(name="four", models=("a",)),
        ]
    )
    assert router.safety("a") == ("strict", "mine")
    assert set(router.safety("b")) == {"mine", "strict"}
    assert router.safety("c") == ("mine",)
    assert router.safety("", "one") == ("strict",)
    assert router.safety("", "nobody") == ()
    assert Router([RouteSpec(name="one")]).safety("a") == ()
