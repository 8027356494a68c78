"""policy/key_specs.py: what a new key shall be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import InvalidRequest
from tidegate.policy.budgets import NANOS, Budget
from tidegate.policy.key_specs import KeySpec, duration_of, expiry_of, is_tag, spec_of

NOW = 1_000_000.0
DAY = 86400


def test_a_name_is_enough() -> None:
    assert spec_of({"name": " web "}, NOW) == KeySpec(name="web")


def test_everything_that_a_key_has() -> None:
    spec = spec_of(
        {
            "name": "web",
            "tags": {"team": "search"},
            "models": ["gpt-*", "small"],
            "rpm": 60,
            "tpm": 1000,
            "concurrent": 2,
            "budget": "5.00/day",
            "expires": "30d",
            "on_disconnect": "drain",
            "safety": "strict",
            "admin": True,
            "compression": True,
            "obfuscation": True,
        },
        NOW,
    )
    assert spec == KeySpec(
        name="web",
        tags={"team": "search"},
        models=("gpt-*", "small"),
        rpm=60,
        tpm=1000,
        concurrent=2,
        budget=Budget(5 * NANOS, "day"),
        expires=NOW + 30 * DAY,
        on_disconnect="drain",
        safety="strict",
        admin=True,
        compression=True,
        obfuscation=True,
    )


def test_what_is_null_or_empty_is_left_out() -> None:
    nothing = dict.fromkeys(
        ("tags", "models", "rpm", "budget", "expires", "on_disconnect", "safety", "admin", "compression")
    )
    assert spec_of({"name": "x", **nothing}, NOW) == KeySpec(name="x")
    assert spec_of({"name": "x", "budget": "", "expires": ""}, NOW) == KeySpec(name="x")


def test_a_budget_may_be_as_it_is_told() -> None:
    told = {"amount": 2.5, "currency": "USD", "period": "week"}
    assert spec_of({"name": "x", "budget": told}, NOW).budget == Budget(2_500_000_000, "week")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", None),
        ("name", "x" * 129),
        ("name", "a\nb"),
        ("tags", ["team"]),
        ("tags", {"team": 5}),
        ("tags", {"a b": "c"}),
        ("tags", {"a": "b=c"}),
        ("tags", {str(number): "x" for number in range(33)}),
        ("models", "gpt"),
        ("models", [5]),
        ("models", [""]),
        ("rpm", 0),
        ("rpm", -1),
        ("rpm", True),
        ("tpm", "60"),
        ("concurrent", 10**13),
        ("budget", "much"),
        ("budget", {"amount": 5, "currency": "EUR", "period": "day"}),
        ("expires", "soon"),
        ("expires", "1960-01-01"),
        ("expires", -5),
        ("expires", 0),
        ("on_disconnect", "shout"),
        ("on_disconnect", 5),
        ("safety", "x" * 129),
        ("admin", "yes"),
        ("colour", "red"),
    ],
)
def test_what_is_wrong_is_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        spec_of({"name": "x", field: value}, NOW)
    assert caught.value.param == field
    assert caught.value.status == 400


def test_a_strange_field_is_shown_safely() -> None:
    with pytest.raises(InvalidRequest, match=r"Unknown field '\\x1b\[31m'"):
        spec_of({"\x1b[31m": 1}, NOW)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("12h", 43200), ("30d", 30 * DAY), ("4w", 28 * DAY), (5, 5)]
)
def test_a_time_is_a_number_and_a_unit(text: Any, seconds: int) -> None:
    assert duration_of(text, "grace") == seconds


@pytest.mark.parametrize("text", ["", "d", "1y", "1.5h", -1, None, True, "99999999d"])
def test_another_time_is_refused(text: Any) -> None:
    with pytest.raises(InvalidRequest, match="'grace'"):
        duration_of(text, "grace")


def test_a_date_is_its_beginning_in_utc_unless_it_says_otherwise() -> None:
    midnight = datetime(2027, 1, 31, tzinfo=UTC).timestamp()
    assert expiry_of("2027-01-31", NOW) == midnight
    assert expiry_of("2027-01-31T01:00:00+01:00", NOW) == midnight


@given(st.text(max_size=70))
def test_tags_are_words(text: str) -> None:
    assert is_tag(text) <= (not set(text) & set(" =,\n") and 0 < len(text) <= 64)


@given(
    st.dictionaries(
        st.sampled_from(list(KeySpec.__dataclass_fields__)),
        st.none() | st.text() | st.integers() | st.lists(st.integers()),
    )
)
def test_any_object_is_a_key_or_an_error_of_the_clients(fields: dict[str, Any]) -> None:
    try:
        named = spec_of(fields, NOW).name
    except InvalidRequest as error:
        named = error.param or ""
    assert named
