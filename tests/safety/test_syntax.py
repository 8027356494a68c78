"""The regular subset: what it takes, and what it says to what it does not take."""

from __future__ import annotations

import re
import warnings
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.safety import Rule, RuleError, compile, sanitize  # noqa: A004
from tidegate.safety.syntax import NotRegular, parse, parse_set

LETTERS = "aB1 -\n\u00e9"

SAME = [
    "a", "aB", "a|B", "(a|B)1", "(?:a|B){2}", "a*1", "a+1", "a?1", "a{2}", "a{1,2}", "a{1,}", "a{,2}1", "[aB]", "[^a]",
    "[a-c1]", "[^\\d]", r"[\w-]", "[]a]", "[a-]", "[^]]", ".", "(?s).", "(?i)b", "(?i)[a-b]", "a(?i:b)1", "(?s:.)a",
    r"\d\w\s", r"\D\W\S", r"\x61", r"\u0061", r"\n", r"\-", "(?P<name>a)", "a+?1", "a{1,2}?", "(?:)a", "(?is)A.",
    r"[\x61-\x63]", "é", "[à-ï]", "(?i)É", "a|", "a]",
]  # fmt: skip


@pytest.mark.parametrize("core", SAME)
def test_an_expression_means_what_it_means_to_re(core: str) -> None:
    """On every text of up to three characters; one that matches nothing is refused by a rule, not by the grammar."""
    pattern = re.compile(core, re.ASCII if "\\w" in core.lower() or "\\W" in core else 0)
    machine = compile(
        [
            Rule(
                name="r",
                core=f"(?:{core})(?:!)" if not core.startswith("(?i") and not core.startswith("(?s)") else core,
            )
        ]
    )
    suffix = "!" if machine.rules[0].core.endswith("(?:!)") else ""
    for size in range(1, 4):
        for letters in product(LETTERS, repeat=size):
            text = "".join(letters)
            if "é" in text and "\\" in core:
                continue  # \w is Unicode's here and ASCII's there
            hits = sanitize(machine, text + suffix, key=b"k").hits
            whole = any(hit.position == 0 and hit.length == len(text + suffix) for hit in hits)
            if pattern.fullmatch(text):
                assert whole, text
            elif suffix:
                assert not whole, text


REFUSED = {
    r"(a)\1": "at character 4: a reference to a group; write the alternatives out",
    "(?=a)b": "at character 1: a lookahead; name what must not stand before or after",
    "(?<!a)b": "at character 1: a lookbehind; name what",
    r"\bword": 'at character 1: "\\b", which looks at what stands around; name what',
    "^a": 'at character 1: "^"; a stream has no lines to anchor to',
    "a$": 'at character 2: "$"; a stream has no lines',
    "a)": 'at character 2: a ")" without its "("',
    "(a": 'at character 1: a "(" without its ")"',
    "[a": 'at character 1: a "[" without its "]"',
    "*a": 'at character 1: a "*" with nothing to repeat',
    "{2}": 'at character 1: a "{" with nothing to repeat',
    "a{x}": 'at character 2: a "{" that is no repetition; write "\\{"',
    "a{2": 'at character 2: a "{" that is no repetition',
    "a{3,2}": "at character 2: a repetition whose most is below its least",
    "a**": "at character 3: a repetition of a repetition",
    "a{2000}": "at character 2: a repetition of more than 1000; write {1000,}",
    "(?>a)": "at character 1: an atomic group; write (?:...)",
    "(?P=x)": "at character 1: a reference to a group",
    "(?(1)a)": "at character 1: a condition",
    "(?#x)a": "at character 1: a comment; leave it out",
    "(?m:a)": "at character 1: a group of a kind that is not known",
    "(?m)a": "at character 1: a group of a kind that is not known",
    "(?P<x": "at character 1: a group of a kind that is not known",
    r"\q": 'at character 1: "\\q", which is not known; write the characters out',
    "\\": 'at character 1: "\\", which is not known',
    r"\x4": 'at character 1: "\\x" without 2 hexadecimal digits of a character',
    r"\uzzzz": 'at character 1: "\\u" without 4 hexadecimal digits',
    r"\Uffffffff": 'at character 1: "\\U" without 8 hexadecimal digits',
    r"[\b]": 'at character 2: "\\b" in a set; write "\\x08"',
    "[z-a]": 'at character 3: a "-" between what is no range; write "\\-"',
    r"[\d-z]": 'at character 4: a "-" between what is no range',
    r"[^\s\S]": "at character 2: a set that no character is in",
    "(" * 101 + "a" + ")" * 101: "groups nested more than 100 deep",
}


@pytest.mark.parametrize("core", REFUSED)
def test_what_is_not_regular_is_refused_with_what_to_write_instead(core: str) -> None:
    with pytest.raises(NotRegular) as caught:
        parse(core)
    assert REFUSED[core] in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (Rule(name="my-rule", core="a*"), "it matches the empty text; something of it must be there: + in place of *"),
        (Rule(name="my-rule", core="(?:a{1000}){9}"), "it is longer than 8192 characters with its repetitions written"),
        (Rule(name="my-rule", core="a", left="b]c"), '"]" at 1 ends the set early'),
        (Rule(name="my-rule", core="(?=a)"), "at character 1: a lookahead"),
    ],
)
def test_a_rule_that_cannot_be_used_is_named(rule: Rule, why: str) -> None:
    with pytest.raises(RuleError) as caught:
        compile([Rule(name="good", core="x"), rule])
    assert str(caught.value).startswith('rule "my-rule": ')
    assert why in str(caught.value)
    assert (caught.value.rule, why in caught.value.why) == ("my-rule", True)


def test_a_set_is_written_as_between_brackets() -> None:
    assert "-" in parse_set(r"\w.\-")
    assert "é" in parse_set(r"\w.\-")
    assert "!" not in parse_set(r"\w.\-")
    assert "a" not in parse_set("^a")
    assert not any(char in parse_set("") for char in "ab")


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from("ab(|)[]{}?*+\\.^$-:1,di<>=!P"), max_size=12))
def test_any_text_is_an_expression_or_refused(core: str) -> None:
    """Never another exception; and what is taken, ``re`` takes too."""
    try:
        parse(core)
    except NotRegular:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # sets in sets, which may mean something one day
        re.compile(core)


def test_characters_without_width_in_a_rule_are_ignored_as_in_the_text() -> None:
    machine = compile([Rule(name="heart", core="\u2764\ufe0f")])
    assert sanitize(machine, "I \u2764\ufe0f it, I \u2764 it", key=b"k").text == "I [HEART]\ufe0f it, I [HEART] it"
