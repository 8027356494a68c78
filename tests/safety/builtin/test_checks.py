"""Validators, against the numbers of their own standards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.safety.builtin import checks

GOOD = {
    checks.luhn: ["4111 1111 1111 1111", "378282246310005", "6011-1111-1111-1117", "5555555555554444"],
    checks.iban: [
        "DE89370400440532013000",
        "GB82 WEST 1234 5698 7654 32",
        "fr14-2004-1010-0505-0001-3m02-606",
        "NO9386011117947",
    ],
    checks.ip4: ["8.8.8.8", "192.168.1.1"],
    checks.ip6: ["2001:db8::8a2e:370:7334", "fe80::1"],
    checks.phone: ["+44 20 7946 0958", "+1 (212) 555-2368"],
    checks.postal: ["a@b.co", "x" * 64 + "@example.com"],
    checks.base58check: ["1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"],
    checks.entropy_of(3.0): ["aB3dE5gH7jQ9"],
    checks.example: ["AKIAIOSFODNN7EXAMPLE", "AIzaSy" + "abcdefghijklmnopqrstuvwxyz1234567"],
}
BAD = {
    checks.luhn: ["4111 1111 1111 1112", "0000000000000", "1"],
    checks.iban: ["DE89370400440532013001", "DE8937040044053201300", "ZZ89370400440532013000", "XX"],
    checks.ip4: ["127.0.0.1", "0.0.0.0", "255.255.255.0"],
    checks.ip6: ["::1", "::", "a::b", "12:30:45"],
    checks.phone: ["+1 234", "+1234567890123456"],
    checks.postal: [
        "git@github.com",
        "x" * 65 + "@example.com",
        "a..b@example.com",
        "a@b.c",
        "a@" + "b" * 250 + ".com",
    ],
    checks.base58check: ["1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3", "3" + "z" * 33],
    checks.entropy_of(3.0): ["aaaaaaaabbbb"],
    checks.example: ["AKIAQ7RNWX4Z2LMTJ5CD", "AIzaSy" + "abcdefghijklmnopqrstuvwxyz1234568"],
}


@pytest.mark.parametrize("check", GOOD)
def test_what_is_one_passes(check: object) -> None:
    assert callable(check)
    assert all(check(text) for text in GOOD[check])


@pytest.mark.parametrize("check", BAD)
def test_what_is_none_does_not(check: object) -> None:
    assert callable(check)
    assert not any(check(text) for text in BAD[check])


@given(st.text("0123456789", min_size=11, max_size=18))
def test_exactly_one_check_digit_completes_a_card(digits: str) -> None:
    """Unless all digits would be equal."""
    good = [digit for digit in "0123456789" if checks.luhn(digits + digit)]
    assert len(good) == (0 if set(digits) == {"0"} else 1) or len(set(digits)) == 1
