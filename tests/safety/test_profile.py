"""Profiles: which rules hold, merged to what is as strict as both."""

from __future__ import annotations

import sys

import pytest

from tidegate.safety import Action, Replacement, sanitize
from tidegate.safety.classifier import ClassifierOptions
from tidegate.safety.profile import (
    OFF,
    Channel,
    ModelProfile,
    Profile,
    ProfileError,
    ProfileOptions,
    Profiles,
    RuleOptions,
    SafetyOptions,
    Score,
)

ANSWER = {Channel.OUTPUT, Channel.REASONING, Channel.TOOL_ARGUMENTS}


def profiles(*made: ProfileOptions, use: str = "off", known: tuple[str, ...] = ()) -> Profiles:
    return Profiles(SafetyOptions(use=use, profiles=made), known_keys=known)


def said(profile: Profile, text: str, channel: Channel = Channel.OUTPUT) -> str:
    machine = profile.machine(channel)
    return text if machine is None else sanitize(machine, text, key=b"k").text


TEXT = "bob@example.com +44 20 7946 0958 sk-proj-abcdefghij0123456789 fuck"


def test_three_profiles_are_there() -> None:
    every = Profiles()
    assert every.names == ("off", "default", "strict")
    assert every.use == "off"
    assert said(every.named("off"), TEXT) == TEXT
    assert said(every.named("default"), TEXT) == "[EMAIL] +44 20 7946 0958 [OPENAI_KEY] fuck"
    assert said(every.named("strict"), TEXT) == "[EMAIL] [PHONE] [OPENAI_KEY] fuck"


def test_where_they_look() -> None:
    every = Profiles()
    assert every.named("default").machine(Channel.INPUT) is None
    assert all(every.named("default").machine(channel) for channel in ANSWER)
    assert said(every.named("strict"), TEXT, Channel.INPUT).startswith("[EMAIL] [PHONE]")
    assert [every.named(name).active for name in every.names] == [False, True, True]


def test_the_machine_of_a_profile_is_made_once() -> None:
    profile = Profiles().named("default")
    ready = [profile.ready]
    profile.prepare()
    assert [*ready, profile.ready] == [False, True]
    assert profile.machine(Channel.OUTPUT) is profile.machine(Channel.REASONING)
    assert OFF.ready


def test_a_profile_of_ones_own() -> None:
    every = profiles(
        ProfileOptions(
            name="mine",
            rules=("pii", "-email", "profanity"),
            actions={"pii": "tag", "ssn": "block"},
            replacement="mask",
            where=("output",),
            own=(
                RuleOptions(name="ticket", core=r"TICKET-\d+", left=r"\w", label="T"),
                RuleOptions(name="names", words=("Project Tide", "Moon")),
            ),
        ),
    )
    mine = every.named("mine")
    found = {rule.name: rule for rule, _ in mine.rules}
    assert list(found)[:2] == ["ticket", "names"]
    assert "email" not in found
    assert (found["card"].action, found["ssn"].action) == (Action.TAG, Action.BLOCK)
    assert (found["ticket"].action, found["profanity"].action) == (Action.REDACT, Action.REDACT)
    assert found["ticket"].replacement is Replacement.MASK
    assert {channel for _, channels in mine.rules for channel in channels} == {Channel.OUTPUT}
    assert said(mine, "TICKET-123456 project  tide") == "******-**3456 *******  tide"


WRONG = {
    "taken": (ProfileOptions(name="strict"), 'profile "strict" is taken; give yours a name of its own'),
    "reserved": (ProfileOptions(name="on"), 'profile "on" is taken'),
    "rule": (
        ProfileOptions(name="m", rules=("emial",)),
        'profile "m": rules has "emial"; there are the sets secrets, pii',
    ),
    "where": (
        ProfileOptions(name="m", where=("outptu",)),
        'profile "m": where has "outptu"; there are input, output, rea',
    ),
    "action": (
        ProfileOptions(name="m", actions={"email": "hide"}),
        'actions has "hide" for "email"; there are tag, redact',
    ),
    "of": (ProfileOptions(name="m", actions={"mac": "tag"}), 'actions has "mac", which is none of its rules or sets'),
    "both": (
        ProfileOptions(name="m", own=(RuleOptions(name="r", core="x", words=("y",)),)),
        'profile "m", rule "r": write either core or words',
    ),
    "neither": (ProfileOptions(name="m", own=(RuleOptions(name="r"),)), "write either core or words"),
    "name": (ProfileOptions(name="m", own=(RuleOptions(name="email", core="x"),)), "the name is taken"),
    "set": (ProfileOptions(name="m", own=(RuleOptions(name="pii", core="x"),)), "the name is taken"),
    "regex": (
        ProfileOptions(name="m", own=(RuleOptions(name="r", core=r"\bsecret\b"),)),
        'profile "m", rule "r": at character 1: "\\b", which looks at what stands around; name what must not stand',
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_profile_that_cannot_be_says_what_to_write_instead(case: str) -> None:
    options, why = WRONG[case]
    with pytest.raises(ProfileError) as caught:
        profiles(options)
    assert why in str(caught.value)


def test_a_name_that_is_not_there_is_not_repeated() -> None:
    """It comes from a header, and goes into an error text."""
    with pytest.raises(ProfileError) as caught:
        Profiles().named("<script>")
    assert str(caught.value) == "there is no profile of that name; there are off, default, strict"
    with pytest.raises(ProfileError):
        profiles(use="none")


def test_a_request_may_ask_for_more_and_never_for_less() -> None:
    every = profiles(
        ProfileOptions(name="tags", rules=("email",), actions={"email": "tag"}, where=("output",)), use="tags"
    )
    assert every.of_request().name == "tags"
    assert every.of_request("off", None).name == "tags"
    asked = every.of_request(None, "default")
    assert asked.name == "tags+default"
    assert said(asked, "bob@example.com") == "[EMAIL]"
    assert every.of_request("strict", "off").name == "tags+strict"
    assert every.of_request("strict", "tags") == every.of_request("strict")
    assert every.of_request(None, "default") is asked


@pytest.mark.parametrize("word", ["on", "ON", " true ", "1", "default"])
def test_on_is_default(word: str) -> None:
    assert Profiles().named(word).name == "default"


def test_merging_keeps_the_stricter_of_each() -> None:
    one = profiles(
        ProfileOptions(
            name="a", rules=("email", "card"), actions={"email": "block"}, replacement="mask", where=("output",)
        ),
        ProfileOptions(name="b", rules=("email", "ssn"), actions={"email": "tag"}, where=("input",), hold_cap=2048),
    )
    merged = one.named("a").stricter(one.named("b"))
    found = {rule.name: (rule.action, rule.replacement, set(channels)) for rule, channels in merged.rules}
    assert found == {
        "email": (Action.BLOCK, Replacement.LABEL, {Channel.OUTPUT, Channel.INPUT}),
        "card": (Action.REDACT, Replacement.MASK, {Channel.OUTPUT}),
        "ssn": (Action.REDACT, Replacement.LABEL, {Channel.INPUT}),
    }
    assert merged.hold_cap == 2048
    assert one.named("a").stricter(one.named("a")) is one.named("a")
    assert (OFF.stricter(one.named("a")).name, one.named("a").stricter(OFF).name) == ("a", "a")


def test_known_keys_are_redacted_whatever_the_profile_says() -> None:
    every = profiles(ProfileOptions(name="few", rules=("ssn",)), known=("local-key-4711",))
    for name in ("default", "strict", "few"):
        assert said(every.named(name), "it is local-key-4711!") == "it is [KEY]!"
    assert not every.named("off").active


def test_what_outgrows_the_cap_ends_the_text_when_either_of_two_profiles_says_so() -> None:
    """By default it passes."""
    options = SafetyOptions(
        profiles=(
            ProfileOptions(name="open", rules=("email",), hold_cap=16),
            ProfileOptions(name="closed", rules=("email",), hold_cap=16, at_cap="block"),
        )
    )
    profiles = Profiles(options)
    text = "so " + "a" * 40
    for names, wanted in ((("open",), text), (("closed",), "so "), (("closed", "open"), "so ")):
        machine = profiles.of_request(*names).machine(Channel.OUTPUT)
        assert machine is not None
        done = sanitize(machine, text, key=b"k")
        assert done.text == wanted
        assert (done.blocked is None) == (wanted == text)


def test_national_telephone_numbers_join_the_set_of_personal_things() -> None:
    """When it is said whose."""
    text = "030 901820"
    assert said(Profiles(SafetyOptions()).named("strict"), text) == text
    found = Profiles(SafetyOptions(phone_regions=("DE",)))
    assert said(found.named("strict"), text) == "[PHONE]"
    assert said(found.named("default"), text) == text


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (SafetyOptions(phone_regions=("XX",)), 'has "XX", which is no region'),
        (
            SafetyOptions(profiles=(ProfileOptions(name="mine", rules=("phone-national",)),)),
            'the rule "phone-national" has to know whose numbers',
        ),
    ],
)
def test_whose_telephone_numbers_has_to_be_said(options: SafetyOptions, problem: str) -> None:
    with pytest.raises(ProfileError, match=problem):
        Profiles(options)


def test_without_their_tables_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that asks for no national numbers does not need them."""
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(ProfileError, match=r"pip install 'tidegate\[phones\]'"):
        Profiles(SafetyOptions(phone_regions=("DE",)))
    assert said(Profiles().named("strict"), "+49 30 901820") == "[PHONE]"


JUDGED = SafetyOptions(
    profiles=(
        ProfileOptions(name="mild", rules=(), profanity="tag", injection="observe", classifiers=("one",)),
        ProfileOptions(
            name="hard",
            rules=(),
            profanity="block",
            profanity_threshold=0.5,
            injection="refuse",
            injection_threshold=0.95,
            classifiers=("two", "one"),
            where=("reasoning",),
        ),
        ProfileOptions(name="inside", rules=(), profanity="block", where=("tool-arguments",)),
    ),
    classifiers=(ClassifierOptions(name="one", use="a:b"), ClassifierOptions(name="two", use="a:b")),
)


def test_scores_and_classifiers_merge_to_what_is_as_strict_as_both() -> None:
    profiles = Profiles(JUDGED)
    both = profiles.of_request("mild", "hard")
    assert both.profanity == Score(0.5, True, frozenset({Channel.OUTPUT, Channel.REASONING}))
    assert both.injection == Score(0.9, True)
    assert both.classifiers == ("one", "two")
    assert both.name == "mild+hard"
    only = profiles.of_request("mild", "strict")
    assert only.profanity == Score(0.9, False, frozenset({Channel.OUTPUT, Channel.REASONING}))
    assert profiles.of_request("strict", "mild").injection == Score(0.9, False)


def test_a_profile_with_scores_only_is_on() -> None:
    profiles = Profiles(JUDGED)
    mild, inside = profiles.named("mild"), profiles.named("inside")
    assert (mild.on, mild.active, mild.ready) == (True, True, True)
    assert (inside.on, inside.active, inside.profanity) == (False, False, None)


@pytest.mark.parametrize(
    ("classifiers", "used", "message"),
    [
        ((), ("x",), 'profile "mine": classifiers has "x"; there are none; write [safety.classifier.x]'),
        (("a", "b"), ("x",), 'profile "mine": classifiers has "x"; there are a, b; write [safety.classifier.x]'),
        (("a", "a"), (), 'classifier "a" is there twice; give each a name of its own'),
    ],
)
def test_a_classifier_that_is_not_there_is_named(
    classifiers: tuple[str, ...], used: tuple[str, ...], message: str
) -> None:
    options = SafetyOptions(
        profiles=(ProfileOptions(name="mine", classifiers=used),),
        classifiers=tuple(ClassifierOptions(name=name) for name in classifiers),
    )
    with pytest.raises(ProfileError) as error:
        Profiles(options)
    assert str(error.value) == message


def test_a_classifier_looks_at_answers_only() -> None:
    with pytest.raises(ProfileError, match='where has "input"; there are output, reasoning, tool-arguments'):
        Profiles(SafetyOptions(classifiers=(ClassifierOptions(name="a", where=("input",)),)))


def test_a_model_may_only_have_a_profile_that_is_there() -> None:
    good = SafetyOptions(models=(ModelProfile(model="gpt-*", profile="strict"),))
    assert Profiles(good).use == "off"
    with pytest.raises(ProfileError, match=r'model "gpt-\*": there is no profile of that name'):
        Profiles(SafetyOptions(models=(ModelProfile(model="gpt-*", profile="stict"),)))
