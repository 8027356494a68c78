"""What tells who somebody is: addresses, numbers, dates. Names and street addresses are not regular, and not here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tidegate.safety.builtin import checks
from tidegate.safety.rules import Rule

__all__ = ["PII"]

_OCTET: Final = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_MONTH: Final = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
_DATE: Final = (
    r"(?:\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH}\.?,? \d{{4}}|{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}})"
)

_RULES: Final = (
    Rule(
        name="email",
        # Also as it stands in the address of a page, where %40 is the sign.
        core=r"[A-Za-z0-9_.%+'-]+(?:@|%40)(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}",
        left=r"A-Za-z0-9_.%+'\-",
        right="A-Za-z0-9_",
        validate=checks.postal,
    ),
    Rule(
        name="card",
        # As digits, or in the groups in which cards have them, by one kind of separator. 1800: the old cards of JCB;
        # 0604: some of Maestro's.
        core=r"[2-6]\d{11,18}|1800\d{11}|0604\d{8,15}"
        r"|[2-6]\d{3} \d{4} \d{4}(?: \d{4}(?: \d{1,3})?)?|[2-6]\d{3}-\d{4}-\d{4}(?:-\d{4}(?:-\d{1,3})?)?"
        r"|(?:3\d{3}|1800|2131) \d{6} \d{4,5}|(?:3\d{3}|1800|2131)-\d{6}-\d{4,5}",
        left=r"\w.\-",
        right=r"\w\-",
        validate=checks.luhn,
    ),
    Rule(
        name="iban",
        core=r"[A-Z]{2}\d{2}(?:[A-Z0-9]{11,29}"
        r"|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?|(?:-[A-Z0-9]{4}){2,7}(?:-[A-Z0-9]{1,3})?)",
        left=r"\w",
        right="A-Za-z0-9",
        ignore_case=True,
        validate=checks.iban,
    ),
    Rule(
        name="ssn",
        # The Social Security Administration gives out no area 000, 666 or 9xx, no group 00 and no serial 0000.
        core=r"(?:00[1-9]|0[1-9]\d|[1-578]\d\d|6(?:[0-57-9]\d|6[0-57-9]))(?:-(?:0[1-9]|[1-9]\d)-| (?:0[1-9]|[1-9]\d) )"
        r"(?:000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d{3})",
        left=r"\w\-",
        right=r"\w\-",
    ),
    Rule(
        name="itin",
        # Numbers of the same form that the Internal Revenue Service gives to those who cannot have one of the Social
        # Security Administration's. Its groups change; the form alone is telling enough.
        core=r"9\d\d-\d\d-\d{4}",
        left=r"\w\-",
        right=r"\w\-",
    ),
    Rule(
        name="phone",
        core=r"\+[1-9][\d ().-]{6,20}\d",
        left=r"\w+",
        right=r"\w",
        validate=checks.phone,
    ),
    Rule(
        name="phone-us",
        core=r"(?:(?:\+|00)?1[-. ])?(?:\([2-9]\d\d\) ?[2-9]\d\d[-. ]\d{4}|[2-9]\d\d-[2-9]\d\d-\d{4}"
        r"|[2-9]\d\d\.[2-9]\d\d\.\d{4})(?: ?x\d{1,5})?",
        left=r"\w+.\-",
        right=r"\w\-",
        label="PHONE",
    ),
    Rule(
        name="ipv4",
        core=rf"(?:{_OCTET}\.){{3}}{_OCTET}",
        left=r"\w.\-",
        right=r"\w\-",
        validate=checks.ip4,
        label="IP_ADDRESS",
    ),
    Rule(
        name="ipv6",
        core=r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}",
        left=r"\w:.",
        right=r"\w:",
        validate=checks.ip6,
        label="IP_ADDRESS",
    ),
    Rule(
        name="mac",
        core=r"[0-9A-F]{2}(?:(?::[0-9A-F]{2}){5}|(?:-[0-9A-F]{2}){5})",
        left=r"\w:\-",
        right=r"\w:\-",
        ignore_case=True,
        label="MAC_ADDRESS",
    ),
    Rule(
        name="crypto-address",
        core=r"bc1[ac-hj-np-z02-9]{11,71}|0x[0-9a-fA-F]{40}",
        left=r"\w",
        right=r"\w",
    ),
    Rule(
        name="bitcoin-address",
        core="[13][1-9A-HJ-NP-Za-km-z]{25,33}",
        left=r"\w",
        right=r"\w",
        validate=checks.base58check,
        label="CRYPTO_ADDRESS",
    ),
    Rule(
        name="birth-date",
        core=r"(?:born(?: on)?|date of birth|birth ?date|birthday|dob|d\.o\.b\.?)(?: ?[:=])?(?: (?:is|was|on))? {0,2}"
        + _DATE,
        left=r"\w",
        right=r"\w",
        ignore_case=True,
        label="DATE_OF_BIRTH",
    ),
)

PII: Final[Mapping[str, Rule]] = MappingProxyType({rule.name: rule for rule in _RULES})
"""By name, in order."""
