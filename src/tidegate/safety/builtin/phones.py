"""Telephone numbers as a country writes them to itself, without its code: ``030 901820``, ``020 7946 0958``.

What they look like is regular and says little: so do dates, amounts and article numbers. Which of them a country has
given out stands in the tables of ``phonenumberslite`` (Google's libphonenumber), which is an extra:
``pip install 'tidegate[phones]'``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from tidegate.safety.rules import Rule

if TYPE_CHECKING:
    from phonenumbers import PhoneMetadata

__all__ = ["PHONE_NATIONAL", "PhonesMissing", "UnknownRegion", "national"]

PHONE_NATIONAL: Final = "phone-national"

_CORE: Final = (
    r"(?:(?:\d{1,2} ?)?\((?:\d{1,2} )?\d{1,6}\) ?|\d{1,6}(?: ?[-./] ?| )?)\d{1,10}(?:(?: ?[-./] ?| )\d{1,8}){0,5}"
)
"""Groups of digits, the first perhaps in parentheses."""

_TELLING: Final = 7
"""Digits. A shorter number without a prefix looks like anything."""

_DATE: Final = re.compile(r"(?:\d{1,2}([-./])\d{1,2}\1(?:\d{4}|\d{2})|\d{4}([-./])\d{1,2}\2\d{1,2})(?: \d{1,2})?")
"""A date, perhaps with the hour of its time."""
_AMOUNT: Final = re.compile(r"\d{1,3}(?:\.\d{3})+|\d+\.\d+")
_NO_DIGIT: Final = re.compile(r"\D+", re.ASCII)

_TYPES: Final = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan",
    "voicemail",
)  # fmt: skip


class PhonesMissing(Exception):
    """``phonenumberslite`` is not installed."""


class UnknownRegion(Exception):
    """There is no such region; the message is its name."""


def national(regions: Iterable[str]) -> Rule:
    """A rule for national numbers of these regions.

    :param regions: as ISO 3166 names them: ``DE``, ``GB``.
    :raises PhonesMissing: the tables are not installed.
    :raises UnknownRegion: they do not have one of the regions.
    """
    try:
        import phonenumbers
    except ImportError:
        raise PhonesMissing from None
    known = [region.strip().upper() for region in regions]
    for region in known:
        if region not in phonenumbers.SUPPORTED_REGIONS:
            raise UnknownRegion(region)
    checks = [_check(region) for region in known]

    def valid(text: str) -> bool:
        digits = _NO_DIGIT.sub("", text)
        if not 6 <= len(digits) <= 15 or _DATE.fullmatch(text) or _AMOUNT.fullmatch(text):
            return False
        return any(check(text, digits) for check in checks)

    return Rule(name=PHONE_NATIONAL, core=_CORE, left=r"\w+.,:/\-$€£#", right=r"\w/\-€%", validate=valid, label="PHONE")


def _check(region: str) -> Callable[[str, str], bool]:
    """Told a candidate and its digits, whether it is a number of the region."""
    from phonenumbers import (
        NumberParseException,
        PhoneMetadata,
        PhoneNumberFormat,
        format_number,
        is_valid_number,
        national_significant_number,
        parse,
    )

    metadata = PhoneMetadata.metadata_for_region(region)
    assert metadata is not None
    given_out = _given_out(metadata)
    free = any(each.national_prefix_optional_when_formatting for each in metadata.number_format)
    bare = _bare_sizes(metadata)
    in_parentheses = _in_parentheses(metadata)

    def check(text: str, digits: str) -> bool:
        if given_out.fullmatch(digits) is None:
            return False
        try:
            number = parse(text, region)  # 50 µs in all, for what mostly is one
        except NumberParseException:
            return False
        if not is_valid_number(number):
            return False
        if free or len(digits) in bare or len(digits) > len(national_significant_number(number)):
            return True
        if in_parentheses and "(" in text:
            return True
        # Without the zero that its country writes it is another number.
        written = format_number(number, PhoneNumberFormat.NATIONAL)
        return len(_NO_DIGIT.sub("", written)) <= len(digits)

    return check


def _given_out(metadata: PhoneMetadata) -> re.Pattern[str]:
    """The digits of all types of numbers of a region, in one expression: what is no number is mostly told by it."""
    kinds = [kind for kind in (getattr(metadata, name) for name in _TYPES) if kind is not None]
    if metadata.national_prefix_transform_rule:
        # Digits move (Argentina, Mexico): only the library knows where to.
        sizes = [size for kind in kinds for size in kind.possible_length]
        return re.compile(rf"\d{{{min(sizes)},{max(sizes) + 4}}}", re.ASCII)
    patterns = dict.fromkeys(kind.national_number_pattern for kind in kinds if kind.national_number_pattern)
    found = "|".join(f"(?:{pattern})" for pattern in patterns)
    prefix = metadata.national_prefix_for_parsing
    if not prefix:
        return re.compile(found, re.ASCII)
    bare = [
        f"(?={each.leading_digits_pattern[-1]}){each.pattern}" if each.leading_digits_pattern else str(each.pattern)
        for each in metadata.number_format
        if not each.national_prefix_formatting_rule or each.national_prefix_optional_when_formatting
    ]
    if not metadata.number_format:  # it writes them as another region does
        return re.compile(f"(?:{prefix})?(?:{found})", re.ASCII)
    bare += [rf"\d{{{size}}}" for size in _bare_sizes(metadata)]
    if _in_parentheses(metadata):
        bare.append(r"\d+")
    without = f"|(?=(?:{found})\\Z)(?:{'|'.join(bare)})" if bare else ""
    return re.compile(f"(?:{prefix})(?:{found}){without}", re.ASCII)


def _bare_sizes(metadata: PhoneMetadata) -> frozenset[int]:
    """Digits of numbers some of which the region writes without a prefix: then people leave it out of all of them.

    Uruguay's landlines have eight digits and no prefix, its mobiles eight and a zero: ``2123 1234``, ``9423 1234``.
    """
    return frozenset(
        size
        for each in metadata.number_format
        if not each.national_prefix_formatting_rule
        for size in range(_TELLING, 16)
        if re.fullmatch(str(each.pattern), "5" * size)
    )


def _in_parentheses(metadata: PhoneMetadata) -> bool:
    """Whether the region puts prefix and area code in parentheses (Hungary: ``(06 1) 234 5678``).

    Then they tell enough, and people leave the prefix out: ``(1) 234-5678``.
    """
    return any("(" in (each.national_prefix_formatting_rule or "") for each in metadata.number_format)
