"""What an answer is checked for once it is whole, and the verdict.

A verdict holds no text of the answer. What the schema says in ``path`` is the request's own, and is told to its sender
only; ledger and API get the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from tidegate.safety import machine
from tidegate.safety.machine import Machine, RuleError
from tidegate.safety.rules import Action, Hit, Rule
from tidegate.safety.stream import TextFilter

__all__ = ["Finding", "Strict", "UserRule", "UserRules", "ValidationError", "ValidationOptions", "ValidationVerdict"]

Strict = Literal["off", "observe", "cut"]

_PIECE: Final = 8192
"""Characters between two chances for others to run: two milliseconds."""


class ValidationError(ValueError):
    """A rule that cannot be used; the message says which, why, and what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRule:
    """``[[safety.validation.rule]]``: an expression that an answer must contain, or must not."""

    name: str
    pattern: str
    """As in a profile: sets, groups, alternatives and repetitions. No lookaround, no references, no anchors."""
    must: Literal["contain", "not-contain"] = "contain"
    ignore_case: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationOptions:
    """What an answer is checked for while it comes and once it is whole."""

    schema: bool = False
    """Check answers against the JSON Schema in `response_format`."""
    strict_json: Strict = "off"
    """Where `response_format` asks for JSON: `cut` ends the answer at the first character that can no longer become
    valid JSON, `observe` notes it. Also the arguments of tool calls."""
    finish_reasons: tuple[str, ...] = ()
    """Those that a good answer may have. Empty: any."""
    report: bool = False
    """Tell every reader the verdict, in a last event. A request asks for it with `x-tidegate-validation: on`."""
    timeout: float = 1.0
    """Seconds that one answer's schema may take. A check that takes longer is not made, and says so."""
    max_bytes: int = 1024 * 1024
    """Characters of an answer that are checked at most; a longer one is not checked, and says so."""
    rules: tuple[UserRule, ...] = ()

    @property
    def active(self) -> bool:
        """Whether there is anything to do for every answer."""
        return bool(self.schema or self.strict_json != "off" or self.finish_reasons or self.rules)


@dataclass(frozen=True, slots=True)
class Finding:
    """Why an answer is not valid, or why nobody knows."""

    check: str
    """``json``, ``schema``, ``rule`` or ``finish_reason``."""
    detail: str
    """The keyword of the schema, the name of the rule, the finish reason; or why the check was not made."""
    choice: int = 0
    at: int | None = None
    """For ``json``: characters before the first bad one."""
    path: str | None = None
    """For ``schema``: where in the schema the keyword stands."""

    def shown(self, *, path: bool) -> dict[str, Any]:
        """As JSON."""
        fields = {"check": self.check, "choice": self.choice, "detail": self.detail, "at": self.at}
        if path:
            fields["path"] = self.path
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ValidationVerdict:
    """What became of the checks of one answer."""

    failed: tuple[Finding, ...] = ()
    unchecked: tuple[Finding, ...] = ()
    """Checks that could not be made."""

    @property
    def valid(self) -> bool | None:
        """``None``: nothing failed, and something was not checked."""
        if self.failed:
            return False
        return None if self.unchecked else True

    def shown(self, *, path: bool = False) -> dict[str, Any]:
        """As JSON; with the schema's ``path`` only for who sent the schema."""
        whole: dict[str, Any] = {"valid": self.valid}
        for name, findings in (("failed", self.failed), ("unchecked", self.unchecked)):
            if findings:
                whole[name] = [finding.shown(path=path) for finding in findings]
        return whole


class UserRules:
    """The rules of the configuration, compiled.

    :raises ValidationError: one of them cannot be used.
    """

    def __init__(self, rules: tuple[UserRule, ...]) -> None:
        self._rules: list[tuple[UserRule, Machine]] = []
        for rule in rules:
            if any(rule.name == other.name for other, _ in self._rules):
                raise ValidationError(f'rule "{rule.name}" is there twice; give each a name of its own')
            made = Rule(name=rule.name, core=rule.pattern, ignore_case=rule.ignore_case, action=Action.TAG)
            try:
                self._rules.append((rule, machine.compile([made])))
            except RuleError as error:
                raise ValidationError(f"{error}; it stands under pattern") from None

    def broken(self, text: str, choice: int) -> Iterator[Finding | None]:
        """The rules that ``text`` breaks, and ``None`` wherever others may run."""
        for rule, compiled in self._rules:
            hits: list[Hit] = []
            stream = TextFilter(compiled, key=b"", on_hit=hits.append)
            for at in range(0, len(text), _PIECE):
                stream.feed(text[at : at + _PIECE])
                yield None
            stream.close()
            if bool(hits) != (rule.must == "contain"):
                yield Finding("rule", rule.name, choice)
