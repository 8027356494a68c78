"""Rules of the configuration, verdicts, and what of them is told to whom."""

from __future__ import annotations

import pytest

from tidegate.safety.validation import (
    Finding,
    UserRule,
    UserRules,
    ValidationError,
    ValidationOptions,
    ValidationVerdict,
)


def broken(text: str, *rules: UserRule) -> list[str]:
    return [finding.detail for finding in UserRules(rules).broken(text, 2) if finding is not None]


SOURCE = UserRule(name="source", pattern=r"[[]\d+[]]")
SORRY = UserRule(name="sorry", pattern="sorry", must="not-contain", ignore_case=True)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("As shown in [3].", []),
        ("As shown.", ["source"]),
        ("I am SORRY [1]", ["sorry"]),
        ("I am sorry", ["source", "sorry"]),
        ("x" * 20_000 + "[1]", []),
        ("x" * 8191 + "[12]", []),
    ],
)
def test_what_an_answer_must_contain_and_must_not(text: str, names: list[str]) -> None:
    assert broken(text, SOURCE, SORRY) == names


def test_others_may_run_in_a_long_text() -> None:
    assert sum(finding is None for finding in UserRules((SOURCE,)).broken("x" * 100_000, 0)) == 13


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ((SOURCE, SOURCE), 'rule "source" is there twice; give each a name of its own'),
        ((UserRule(name="odd", pattern="(?=a)"),), 'rule "odd": '),
        ((UserRule(name="odd", pattern="a("),), "it stands under pattern"),
    ],
)
def test_a_rule_that_cannot_be_is_named(rules: tuple[UserRule, ...], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        UserRules(rules)
    assert message in str(error.value)


def test_a_verdict_tells_its_path_only_to_whom_it_belongs() -> None:
    verdict = ValidationVerdict(
        (Finding("schema", "required", path="properties/a/required"), Finding("json", "content", 1, at=3)),
        (Finding("size", "longer than 10 characters"),),
    )
    assert verdict.shown() == {
        "valid": False,
        "failed": [
            {"check": "schema", "choice": 0, "detail": "required"},
            {"check": "json", "choice": 1, "detail": "content", "at": 3},
        ],
        "unchecked": [{"check": "size", "choice": 0, "detail": "longer than 10 characters"}],
    }
    assert verdict.shown(path=True)["failed"][0]["path"] == "properties/a/required"


def test_a_verdict_is_valid_invalid_or_unknown() -> None:
    finding = Finding("rule", "x")
    assert ValidationVerdict().valid is True
    assert ValidationVerdict((), (finding,)).valid is None
    assert ValidationVerdict((finding,), (finding,)).valid is False
    assert ValidationVerdict().shown() == {"valid": True}


def test_it_is_off_until_something_is_asked_for() -> None:
    assert not ValidationOptions().active
    assert not ValidationOptions(report=True).active
    assert ValidationOptions(schema=True).active
    assert ValidationOptions(strict_json="observe").active
    assert ValidationOptions(finish_reasons=("stop",)).active
    assert ValidationOptions(rules=(SOURCE,)).active
