"""Profiles: which rules hold for an answer, what each does, and on what.

Three are built in: ``off``; ``default``, which redacts secrets and what is surely personal from whatever a model says;
``strict``, which redacts every secret and every personal thing from prompts too. Others stand in the configuration.
Two profiles can be merged, and the result is as strict as both: a request may ask for more than its key's profile, and
never for less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from tidegate.safety import machine
from tidegate.safety.builtin.deny import DENY
from tidegate.safety.builtin.phones import PHONE_NATIONAL, PhonesMissing, UnknownRegion, national
from tidegate.safety.builtin.pii import PII
from tidegate.safety.builtin.secrets import SECRETS, literal_keys
from tidegate.safety.classifier import ClassifierOptions
from tidegate.safety.machine import HOLD_CAP, AtCap, Machine, RuleError
from tidegate.safety.rules import Action, Replacement, Rule, words
from tidegate.safety.validation import ValidationOptions

__all__ = [
    "BUILT_IN",
    "OFF",
    "Channel",
    "ModelProfile",
    "Profile",
    "ProfileError",
    "ProfileOptions",
    "Profiles",
    "RuleOptions",
    "SafetyOptions",
    "Score",
]

Sets = Mapping[str, Mapping[str, Rule]]

SETS: Final[Sets] = MappingProxyType({"secrets": SECRETS, "pii": PII, "deny": DENY})

ASKED_FOR: Final = {"on": "default", "true": "default", "1": "default"}
"""What a request may say in place of a name."""

_STRICTNESS: Final = {Action.TAG: 0, Action.REDACT: 1, Action.BLOCK: 2}
_HIDING: Final = {Replacement.MASK: 0, Replacement.HASH: 1, Replacement.LABEL: 2}


class Channel(StrEnum):
    """A text of its own, in which one filter runs."""

    INPUT = "input"
    """The prompt, before it leaves for the model server."""
    OUTPUT = "output"
    REASONING = "reasoning"
    TOOL_ARGUMENTS = "tool-arguments"
    """The strings and numbers in them."""


class ProfileError(ValueError):
    """A profile that is not there or cannot be; the message says which, why, and what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOptions:
    """``[[safety.profile.rule]]``: a rule of your own. Either a regular expression (`core`) or a list of `words`."""

    name: str
    core: str = ""
    """What is looked for: sets, groups, alternatives and repetitions. No lookaround, no references, no anchors."""
    words: tuple[str, ...] = ()
    """Whole words or phrases, in either case, in place of `core`."""
    left: str = ""
    """Characters that must not stand before it, as between the brackets of a set."""
    right: str = ""
    """Characters that must not stand behind it."""
    ignore_case: bool = False
    label: str = ""
    """`EMAIL` for `[EMAIL]`; made of the name when empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileOptions:
    """``[[safety.profile]]``: which rules, what they do, and where."""

    name: str
    rules: tuple[str, ...] = ("secrets", "email", "card", "iban", "ssn")
    """Sets (`secrets`, `pii`, `deny`) and names of rules; one with a `-` before it is taken out again."""
    actions: Mapping[str, str] = field(default_factory=dict)
    """By set or rule: `redact`, `block` (the answer ends), `tag` (it passes and is recorded)."""
    replacement: Literal["label", "mask", "hash"] = "label"
    """`[EMAIL]`, `****4242`, or `[EMAIL:5d41402abc4b2a76]`, which is equal for equal values of one answer."""
    where: tuple[str, ...] = ("output", "reasoning", "tool-arguments")
    """Of `input` (the prompt), `output`, `reasoning`, `tool-arguments`."""
    hold_cap: int = HOLD_CAP
    """The most characters of one match. More are never held."""
    at_cap: Literal["pass", "block"] = "pass"
    """What could still become a match and is longer: it passes, or it ends the answer (and refuses a prompt)."""
    classifiers: tuple[str, ...] = ()
    """Names of `[safety.classifier.NAME]` that judge each sentence of an answer."""
    profanity: Literal["off", "tag", "block"] = "off"
    """Score each word of an answer (in `output` and `reasoning`, as `where` says): `block` ends the answer before the
    word, `tag` records it. English only; it knows words, not meaning."""
    profanity_threshold: float = 0.9
    """The score that counts, from 0 to 1."""
    injection: Literal["off", "observe", "refuse"] = "off"
    """Score what users and tools have put into a prompt for prompt injection: `refuse` answers 400, `observe` records
    it."""
    injection_threshold: float = 0.9
    """The score that counts, from 0 to 1."""
    own: tuple[RuleOptions, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """``[[safety.model]]``: for everybody who asks for that model."""

    model: str
    """As clients ask for it, or a pattern such as ``gpt-*``."""
    profile: str
    """On top of that of every request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyOptions:
    """What is redacted from answers and prompts."""

    use: str = "off"
    """The profile of every request: `off`, `default`, `strict`, or one of your own. A request may ask for more."""
    phone_regions: tuple[str, ...] = ()
    """Countries whose own telephone numbers, without their code, the rule `phone-national` finds. It joins the set
    `pii`. Needs `pip install 'tidegate[phones]'`."""
    profiles: tuple[ProfileOptions, ...] = ()
    models: tuple[ModelProfile, ...] = ()
    classifiers: tuple[ClassifierOptions, ...] = ()
    validation: ValidationOptions = field(default_factory=ValidationOptions)


@dataclass(frozen=True, slots=True)
class Score:
    """A score that counts from a threshold on."""

    threshold: float
    strict: bool
    """It ends the answer, or refuses the prompt; else it is only recorded."""
    channels: frozenset[Channel] = frozenset({Channel.INPUT})

    def stricter(self, other: Score | None) -> Score:
        """As strict as both."""
        if other is None:
            return self
        return Score(min(self.threshold, other.threshold), self.strict or other.strict, self.channels | other.channels)


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile that is ready: every rule as it will act, and where.

    :raises RuleError: from :meth:`machine`, a rule that cannot be used.
    """

    name: str
    rules: tuple[tuple[Rule, frozenset[Channel]], ...] = ()
    hold_cap: int = HOLD_CAP
    at_cap: AtCap = "pass"
    classifiers: tuple[str, ...] = ()
    profanity: Score | None = None
    injection: Score | None = None
    _machines: dict[tuple[Rule, ...], Machine] = field(default_factory=dict, compare=False, repr=False)

    def machine(self, channel: Channel) -> Machine | None:
        """The rules of one channel, compiled once; ``None`` when there are none."""
        here = tuple(rule for rule, channels in self.rules if channel in channels)
        if not here:
            return None
        if here not in self._machines:
            self._machines[here] = machine.compile(here, hold_cap=self.hold_cap, at_cap=self.at_cap)
        return self._machines[here]

    @property
    def ready(self) -> bool:
        """Whether :meth:`prepare` has nothing left to do."""
        return bool(self._machines) or not self.rules

    def prepare(self) -> None:
        """Compile for every channel. It takes a tenth of a second, which no event loop has: call it in a thread."""
        for channel in Channel:
            self.machine(channel)

    @property
    def on(self) -> bool:
        """Whether there is anything to do at all."""
        return bool(self.rules or self.classifiers or self.profanity or self.injection)

    @property
    def active(self) -> bool:
        """Whether there is anything to do on an answer."""
        return self.profanity is not None or any(channels - {Channel.INPUT} for _, channels in self.rules)

    def stricter(self, other: Profile) -> Profile:
        """As strict as both: every rule of either, its stricter action, its most hiding replacement, wherever either
        looks.
        """
        if other == self or not other.on:
            return self
        if not self.on:
            return other
        merged = {(rule.name, rule.core): (rule, channels) for rule, channels in self.rules}
        for rule, channels in other.rules:
            key = (rule.name, rule.core)
            mine = merged.get(key)
            merged[key] = (rule, channels) if mine is None else (_stricter(mine[0], rule), mine[1] | channels)
        at_cap: AtCap = "block" if "block" in (self.at_cap, other.at_cap) else "pass"
        classifiers = tuple(dict.fromkeys((*self.classifiers, *other.classifiers)))
        return Profile(
            f"{self.name}+{other.name}",
            tuple(merged.values()),
            max(self.hold_cap, other.hold_cap),
            at_cap,
            classifiers,
            _both(self.profanity, other.profanity),
            _both(self.injection, other.injection),
        )


def _both(one: Score | None, other: Score | None) -> Score | None:
    return other if one is None else one.stricter(other)


OFF: Final = Profile("off")

_ANSWER: Final = ("output", "reasoning", "tool-arguments")
BUILT_IN: Final = (
    ProfileOptions(name="default", where=_ANSWER),
    ProfileOptions(name="strict", rules=("secrets", "pii"), where=("input", *_ANSWER)),
)


class Profiles:
    """All profiles there are, checked and ready.

    :param known_keys: secrets of the gateway itself, which every profile but ``off`` redacts literally.
    :raises ProfileError: a profile of the options cannot be.
    """

    def __init__(self, options: SafetyOptions | None = None, *, known_keys: Iterable[str] = ()) -> None:
        options = options or SafetyOptions()
        self._known = tuple(literal_keys(known_keys))
        self._sets = _sets(options.phone_regions)
        self._classifiers = _classifiers(options.classifiers)
        self._named = {OFF.name: OFF} | {each.name: self._made(each) for each in BUILT_IN}
        for each in options.profiles:
            if each.name in self._named or each.name in ASKED_FOR:
                raise ProfileError(f'profile "{each.name}" is taken; give yours a name of its own')
            self._named[each.name] = self._made(each)
            self._check(self._named[each.name])
        for route in options.models:
            self._check_named(f'model "{route.model}"', route.profile)
        self._merged: dict[tuple[str, ...], Profile] = {}
        self.use = self.named(options.use).name
        """The profile of every request."""
        self.of_all = self.of_request()
        """The same, ready: for a request that asks for nothing and whose key has none of its own."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of all profiles."""
        return tuple(self._named)

    def named(self, name: str) -> Profile:
        """The profile of that name.

        :raises ProfileError: there is none.
        """
        found = self._named.get(ASKED_FOR.get(name.strip().lower(), name.strip()))
        if found is None:
            raise ProfileError(f"there is no profile of that name; there are {', '.join(self._named)}")
        return found

    def of_request(self, *names: str | None) -> Profile:
        """As strict as each of them and as the profile of every request: the key's, the route's, the one asked for.

        :raises ProfileError: one of them is not there.
        """
        key = tuple(dict.fromkeys(self.named(name).name for name in (self.use, *names) if name))
        if key not in self._merged:
            merged = OFF
            for name in key:
                merged = merged.stricter(self._named[name])
            self._merged[key] = merged
        return self._merged[key]

    def _check_named(self, who: str, name: str) -> None:
        try:
            self.named(name)
        except ProfileError as error:
            raise ProfileError(f"{who}: {error}") from None

    def _made(self, options: ProfileOptions) -> Profile:
        channels = frozenset(_channel(options.name, name) for name in options.where)
        sets = self._sets
        own = {each.name: _own_rule(options.name, each, sets) for each in options.own}
        chosen = _chosen(options, own, sets)
        for name in options.classifiers:
            if name not in self._classifiers:
                known = ", ".join(self._classifiers) or "none"
                raise ProfileError(
                    f'profile "{options.name}": classifiers has "{name}"; there are {known}; write '
                    f"[safety.classifier.{name}]"
                )
        for name in options.actions:
            if name not in sets and name not in chosen:
                raise ProfileError(
                    f'profile "{options.name}": actions has "{name}", which is none of its rules or sets'
                )
        replacement = Replacement(options.replacement)
        rules = [
            replace(rule, action=_action(options, rule, sets), replacement=replacement) for rule in chosen.values()
        ]
        every = [*self._known, *rules]
        scored = channels & {Channel.OUTPUT, Channel.REASONING}
        profanity = injection = None
        if options.profanity != "off" and scored:
            profanity = Score(options.profanity_threshold, options.profanity == "block", scored)
        if options.injection != "off":
            injection = Score(options.injection_threshold, options.injection == "refuse")
        return Profile(
            options.name,
            tuple((rule, channels) for rule in every),
            options.hold_cap,
            options.at_cap,
            options.classifiers,
            profanity,
            injection,
        )

    @staticmethod
    def _check(profile: Profile) -> None:
        """Compile what is not built in: a mistake shows at the start, not with the first request."""
        for channel in Channel:
            try:
                profile.machine(channel)
            except RuleError as error:
                raise ProfileError(f'profile "{profile.name}", {error}') from None


def _stricter(one: Rule, two: Rule) -> Rule:
    action = max(one.action, two.action, key=_STRICTNESS.__getitem__)
    return replace(one, action=action, replacement=max(one.replacement, two.replacement, key=_HIDING.__getitem__))


def _channel(profile: str, name: str) -> Channel:
    try:
        return Channel(name)
    except ValueError:
        known = ", ".join(Channel)
        raise ProfileError(f'profile "{profile}": where has "{name}"; there are {known}') from None


def _sets(regions: tuple[str, ...]) -> Sets:
    """The sets of rules, with the telephone numbers of these regions."""
    if not regions:
        return SETS
    try:
        rule = national(regions)
    except PhonesMissing:
        raise ProfileError(
            "phone_regions needs the tables of phonenumberslite, which is not installed; "
            "run: pip install 'tidegate[phones]'"
        ) from None
    except UnknownRegion as error:
        raise ProfileError(
            f'phone_regions has "{error}", which is no region; write two letters as ISO 3166 has them, such as "DE"'
        ) from None
    return {**SETS, "pii": {**PII, rule.name: rule}}


def _classifiers(options: tuple[ClassifierOptions, ...]) -> tuple[str, ...]:
    names = tuple(each.name for each in options)
    for each in options:
        for where in each.where:
            if where not in _ANSWER:
                raise ProfileError(f'classifier "{each.name}": where has "{where}"; there are {", ".join(_ANSWER)}')
        if names.count(each.name) > 1:
            raise ProfileError(f'classifier "{each.name}" is there twice; give each a name of its own')
    return names


def _own_rule(profile: str, options: RuleOptions, sets: Sets) -> Rule:
    if bool(options.core) == bool(options.words):
        raise ProfileError(f'profile "{profile}", rule "{options.name}": write either core or words')
    if any(options.name in each for each in sets.values()) or options.name in sets:
        raise ProfileError(f'profile "{profile}", rule "{options.name}": the name is taken; give yours its own')
    if options.words:
        return words(options.name, options.words, label=options.label)
    return Rule(
        name=options.name,
        core=options.core,
        left=options.left,
        right=options.right,
        ignore_case=options.ignore_case,
        label=options.label,
    )


def _chosen(options: ProfileOptions, own: Mapping[str, Rule], sets: Sets) -> dict[str, Rule]:
    """The rules that the options name, in order, the profile's own ones first."""
    found = dict(own)
    for name in options.rules:
        wanted = name.removeprefix("-")
        rules = sets.get(wanted) or next(({wanted: each[wanted]} for each in sets.values() if wanted in each), None)
        if rules is None and wanted == PHONE_NATIONAL:
            raise ProfileError(
                f'profile "{options.name}": the rule "{wanted}" has to know whose numbers; name their countries, '
                'such as phone_regions = ["DE", "FR"] in [safety]'
            )
        if rules is None:
            raise ProfileError(
                f'profile "{options.name}": rules has "{name}"; there are the sets {", ".join(sets)} and the rules '
                f"{', '.join([*PII, *DENY])}, and those of secrets"
            )
        if name != wanted:
            found = {known: rule for known, rule in found.items() if known not in rules}
        else:
            found |= rules
    return found


def _action(options: ProfileOptions, rule: Rule, sets: Sets) -> Action:
    of_set = next(
        (options.actions[name] for name, rules in sets.items() if rule.name in rules and name in options.actions), None
    )
    name = options.actions.get(rule.name) or of_set
    if name is None:
        return rule.action
    try:
        return Action(name)
    except ValueError:
        known = ", ".join(Action)
        raise ProfileError(
            f'profile "{options.name}": actions has "{name}" for "{rule.name}"; there are {known}'
        ) from None
