"""safety/builtin/phones.py: numbers as a country writes them to itself."""

from __future__ import annotations

import sys

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.safety import Machine, TextFilter, compile, sanitize  # noqa: A004 # as re.compile
from tidegate.safety.builtin.phones import PhonesMissing, UnknownRegion, national

SMALL = {"AC", "CK", "FK", "KI", "NC", "NU", "SB", "SH", "TA", "TK", "TO", "TV", "VU", "WS"}
"""Their numbers have four or five digits, or look like dates."""


@pytest.fixture(scope="module")
def germany() -> Machine:
    return compile([national(["DE"])])


def said(machine: Machine, text: str) -> str:
    return sanitize(machine, text, key=b"k").text


@pytest.mark.parametrize(
    ("region", "text", "wanted"),
    [
        ("DE", "Ruf an: 030 901820 oder (0151) 23456789!", "Ruf an: [PHONE] oder [PHONE]!"),
        ("DE", "030/901820-12", "[PHONE]"),
        ("gb", "Call 020 7946 0958.", "Call [PHONE]."),
        ("FR", "01 23 45 67 89", "[PHONE]"),
        ("ES", "612 345 678", "[PHONE]"),
        ("CA", "(506) 234-5678", "[PHONE]"),
        ("RU", "8 (912) 345-67-89", "[PHONE]"),
        ("AR", "011 2345-6789", "[PHONE]"),
        ("HU", "(06 1) 234 5678 or (88) 158-170", "[PHONE] or [PHONE]"),  # its area code without the prefix
        ("UY", "2123 1234, 094 231 234, 9423 1234", "[PHONE], [PHONE], [PHONE]"),  # a mobile without its zero
    ],
)
def test_a_number_is_found_as_its_country_writes_it(region: str, text: str, wanted: str) -> None:
    assert said(compile([national([region])]), text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "30 901820",  # without its zero
        "(30) 901820",  # Germany writes no area code in parentheses
        "2024-11-25 12.05.2024 1/2/2024",
        "01.200.300",
        "order 4711 0815 33, pi 3.14159265",
        "version 01.22.333",
        "$0301234567 #0301234567 x0301234567 0301234567%",
        "00 00 00 00",
    ],
)
def test_what_only_looks_like_a_number_passes(germany: Machine, text: str) -> None:
    assert said(germany, text) == text


def test_a_date_with_its_time_is_no_number() -> None:
    """Brazil has given out 19 7804-1312."""
    machine = compile([national(["BR"])])
    assert said(machine, "Date: 1978-04-13 12:20:39, 13.04.1978 12:20") == "Date: 1978-04-13 12:20:39, 13.04.1978 12:20"


def test_what_the_library_cannot_parse_passes() -> None:
    """Where it alone knows, because digits move, it may also refuse."""
    machine = compile([national(["AR"])])
    for text in ("00 00 00 00 00 00", "00 210 12345678"):  # there is no country 210
        assert said(machine, text) == text


def test_nearly_every_country_has_its_own_example_found() -> None:
    """Fixed line and mobile, as the tables give and format them: 95 of 100."""
    found = wanted = 0
    for region in sorted(phonenumbers.SUPPORTED_REGIONS - SMALL):
        machine = compile([national([region])])
        for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE):
            number = phonenumbers.example_number_for_type(region, kind)
            if number is not None:
                text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
                wanted += 1
                found += said(machine, f"Call {text} now.") == "Call [PHONE] now."
    assert wanted > 400
    assert found / wanted > 0.95


@given(st.text(st.sampled_from("0123 -/()a"), max_size=30), st.integers(1, 5))
def test_it_is_found_wherever_the_text_is_cut(germany: Machine, text: str, size: int) -> None:
    stream = TextFilter(germany, key=b"k")
    cut = [stream.feed(text[at : at + size]) for at in range(0, len(text), size)]
    assert "".join(cut) + stream.close() == said(germany, text)


def test_a_region_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownRegion, match="XX"):
        national(["DE", "XX"])


def test_without_the_tables_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(PhonesMissing):
        national(["DE"])
