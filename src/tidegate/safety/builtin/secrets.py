"""What opens something: keys, tokens, passwords in addresses. Long ones leave as a label while they still arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from tidegate.safety.builtin.checks import entropy_of, example
from tidegate.safety.builtin.prefixes import PREFIXES
from tidegate.safety.rules import Rule, literal

__all__ = ["SECRETS", "SHORTEST_KEY", "literal_keys"]

SHORTEST_KEY: Final = 8
"""Characters of a literal key that is looked for: a shorter one would be found in everything."""

_SCHEMES: Final = (
    "https?|wss?|s?ftps?|ssh|smtps?|imaps?|ldaps?|postgres(?:ql)?|mysql|mariadb|mssql|oracle|mongodb(?:\\+srv)?|rediss?"
    "|amqps?|clickhouse|cockroachdb|nats|kafka|jdbc:[a-z]+"
)

_OWN: Final = (
    Rule(name="tidegate-key", core="tg-[0-9A-Za-z]{49}", left="0-9A-Za-z"),
    Rule(
        name="private-key",
        # What stands between the two lines is base64, headers (Proc-Type: 4,ENCRYPTED), or all of it with \n for line
        # ends, as in JSON. Without its last line it ends with the first character that is none of these. The line alone
        # is no key, and stands in every program that looks for one; base64 is not lower case for long.
        core=r"-----BEGIN[ A-Z0-9_-]{0,60}?(?:PRIVATE KEY|SECRET KEY)(?: BLOCK)?-----"
        r"(?:\s|\\+[nr]?)*[a-z]{0,8}[A-Z0-9+/]"
        r"(?:(?:[A-Za-z0-9+/=\s:,.()\\]|-[A-Za-z0-9])*-----END[ A-Z0-9_-]{0,60}?KEY(?: BLOCK)?-----"
        r"|(?:[A-Za-z0-9+/=\s:,\\]|-[A-Za-z0-9])*)",
    ),
    Rule(
        name="jwt",
        # Two objects in base64url; from the second one's first letters on there is no doubt.
        core=r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?",
        left=r"\w",
    ),
    Rule(
        name="url-password",
        core=rf"(?:{_SCHEMES})://[^\s:/@'\"<>()\[\]{{}}$]*:[^\s/@'\"<>()\[\]{{}}$]+@",
        left=r"\w+.\-",
        ignore_case=True,
        label="URL_WITH_PASSWORD",
    ),
    Rule(name="openai-key", core=r"sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_]{20}[A-Za-z0-9_-]*", left=r"\w\-"),
    Rule(name="anthropic-key", core=r"sk-ant-[a-z0-9]{2,12}-[A-Za-z0-9_-]{20,}", left=r"\w\-"),
    Rule(name="openrouter-key", core=r"sk-or-v1-[0-9a-f]{64}", left=r"\w\-"),
    Rule(name="groq-key", core=r"gsk_[A-Za-z0-9]{40,}", left=r"\w"),
    Rule(name="xai-key", core=r"xai-[A-Za-z0-9]{60,}", left=r"\w"),
    Rule(
        name="bearer-token",
        core=r"bearer [A-Za-z0-9_~+/-]{24,}(?:[.=][A-Za-z0-9_.~+/=-]*)?",
        left=r"\w",
        ignore_case=True,
    ),
)


def _key_of(least: float) -> Callable[[str], bool]:
    random = entropy_of(least)
    return lambda text: random(text) and not example(text)


_PREFIXED: Final = tuple(
    Rule(name=name, core=core, left=left, right=right, validate=_key_of(least) if least else None)
    for name, core, left, right, least in PREFIXES
)

SECRETS: Final[Mapping[str, Rule]] = MappingProxyType({rule.name: rule for rule in (*_OWN, *_PREFIXED)})
"""By name, in order."""


def literal_keys(keys: Iterable[str]) -> list[Rule]:
    """Rules for keys that the gateway itself knows: a model that repeats one is redacted whatever the profile says."""
    found = dict.fromkeys(key for key in keys if len(key) >= SHORTEST_KEY)
    return [literal(f"known-key-{number}", key, label="KEY") for number, key in enumerate(found, 1)]
