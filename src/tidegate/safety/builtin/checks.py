"""Validators: what a regular expression cannot tell of a number.

Each is told a candidate and says whether it is one. They run on what looks right already, so they need not be fast,
but no input may make them slow.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from collections import Counter
from collections.abc import Callable
from typing import Final

__all__ = ["base58check", "entropy_of", "example", "iban", "ip4", "ip6", "luhn", "phone", "postal"]

_DOUBLED: Final = str.maketrans("0123456789", "0246813579")
"""Luhn: a doubled digit, its digits added."""

_IBAN_LENGTHS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
    "YE": 30,
}  # fmt: skip
"""Characters of an account number by country: the SWIFT registry."""

_BASE58: Final = {
    char: value for value, char in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
}

_EXAMPLES: Final = frozenset((
    "27a9a42931dff7eb", "49f777db995e8260", "a6c814bc555ae62c", "8731261cb72d8626", "37f8f09bdf12c2f2",
    "eb540d2b6ee2a0a4", "2037abcaffb2b777", "3a8b61d0f636b007", "4c98242dcadc8b29", "ea9bb1082cf95663",
    "3f370c9dd8225c63", "a19f89ab3555eac1", "e4a5542bb7fd7b67", "dc0fcf046c61640c", "f56e323494a6ffc2",
    "0b476bdf9acf2123",
))  # fmt: skip
"""Keys that Google prints in its samples, which gitleaks lets pass: the first eight bytes of their SHA-256, so that no
scanner takes this file for a leak."""


def luhn(text: str) -> bool:
    """The check digit of a payment card; separators are ignored. A number of one digit repeated is none."""
    digits = "".join([char for char in text if char.isdigit()])
    if len(set(digits)) < 2:
        return False
    backwards = digits[::-1]
    return (sum(map(int, backwards[::2])) + sum(map(int, backwards[1::2].translate(_DOUBLED)))) % 10 == 0


def iban(text: str) -> bool:
    """ISO 13616: the length that its country has, and 1 as the remainder of 97."""
    plain = text.replace(" ", "").replace("-", "").upper()
    if _IBAN_LENGTHS.get(plain[:2]) != len(plain):
        return False
    return int("".join([str(int(char, 36)) for char in plain[4:] + plain[:4]])) % 97 == 1


def ip4(text: str) -> bool:
    """An address that says something of somebody: not this machine, all machines or none."""
    return not text.startswith(("127.", "0.", "255."))


def ip6(text: str) -> bool:
    """An address, and not one that is made of letters only: ``a::b`` is a name in several languages."""
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return any(char.isdigit() for char in text) and not (address.is_loopback or address.is_unspecified)


def phone(text: str) -> bool:
    """International: E.164 has 15 digits at most, and no country's numbers are shorter than 7 with its code."""
    return 8 <= sum(char.isdigit() for char in text) <= 15


def postal(text: str) -> bool:
    """An e-mail address within its limits (RFC 5321), and not the user name that every Git server has."""
    local, _, domain = (text if "@" in text else text.replace("%40", "@")).rpartition("@")
    return len(local) <= 64 and len(text) <= 254 and local != "git" and ".." not in text and len(domain) >= 4


def base58check(text: str) -> bool:
    """A Bitcoin address of the old form: its last four bytes are a checksum."""
    number = 0
    for char in text:
        number = number * 58 + _BASE58[char]
    raw = number.to_bytes(25, "big")  # 34 digits of base 58 are 200 bits at most
    return hashlib.sha256(hashlib.sha256(raw[:-4]).digest()).digest()[:4] == raw[-4:]


def entropy_of(least: float) -> Callable[[str], bool]:
    """Whether a text has that many bits a character (Shannon): keys have, ``xxxxxxxx`` and words have not."""

    def enough(text: str) -> bool:
        size = len(text)
        return -sum(count / size * math.log2(count / size) for count in Counter(text).values()) >= least

    return enough


def example(text: str) -> bool:
    """A key that its maker prints in documentation: it opens nothing, and readers copy it (``AKIA…EXAMPLE``)."""
    return text.endswith("EXAMPLE") or hashlib.sha256(text.encode()).hexdigest()[:16] in _EXAMPLES
