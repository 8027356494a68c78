"""PURE. Text filters over a stream: nothing leaks at a chunk's edge, nothing waits that need not.

``rules`` what is looked for · ``syntax`` ``chars`` expressions and alphabets · ``automaton`` ``machine`` the rules
compiled · ``stream`` ``closely`` the filter over one text.
"""

from __future__ import annotations

from tidegate.safety.machine import HOLD_CAP, Machine, RuleError, compile  # noqa: A004 # as re.compile
from tidegate.safety.rules import Action, Hit, Replacement, Rule, literal, words
from tidegate.safety.stream import Sanitized, TextFilter, sanitize

__all__ = [
    "HOLD_CAP",
    "Action",
    "Hit",
    "Machine",
    "Replacement",
    "Rule",
    "RuleError",
    "Sanitized",
    "TextFilter",
    "compile",
    "literal",
    "sanitize",
    "words",
]
