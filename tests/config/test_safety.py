"""config/load.py: the ways in which ``[safety]`` names and defines profiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.test_load import HASH, UPSTREAM, problems, read


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("key", ["profile", "use"])
def test_a_profile_is_named(key: str) -> None:
    safety = read(f'{UPSTREAM}[safety]\n{key} = "strict"').safety
    assert (safety.use, safety.profiles) == ("strict", ())


def test_the_environment_names_one_too() -> None:
    """And wins over the file."""
    environ = {"TIDEGATE_SAFETY__PROFILE": "strict"}
    assert read(UPSTREAM, environ).safety.use == "strict"
    assert read(f'{UPSTREAM}[safety]\nprofile = "default"', environ).safety.use == "strict"


def test_profiles_are_tables_by_name() -> None:
    """With rules of their own, and each under the name that its header has."""
    own = '[[safety.profile.mine.own]]\nname = "ticket"\ncore = "T-[0-9]+"\n'
    safety = read(
        f'{UPSTREAM}[safety]\nuse = "mine"\n[safety.profile.mine]\nrules = ["email"]\n{own}[safety.profile.other]\n'
    ).safety
    assert [profile.name for profile in safety.profiles] == ["mine", "other"]
    assert safety.use == "mine"
    assert safety.profiles[0].rules == ("email",)
    assert safety.profiles[0].own[0].core == "T-[0-9]+"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            '[safety]\nprofile = "stict"',
            "1: [safety]: there is no profile of that name; there are off, default, strict",
        ),
        (
            '[safety.profile]\nrules = ["email"]',
            "2: [safety.profile] holds profiles by name; write [safety.profile.NAME] before rules",
        ),
        (
            '[safety.profile.mine]\nrulse = ["email"]',
            '2: unknown key "rulse" in [safety.profile.mine]; did you mean "rules"?',
        ),
    ],
)
def test_a_mistake_is_named(text: str, line: str) -> None:
    assert problems(f"{text}\n{UPSTREAM}") == [line]


def test_a_key_may_have_a_profile_of_its_own() -> None:
    """One that is there."""
    key = f'[[auth.key]]\nid = "a"\nhash = "{HASH}"\nsafety = "{{}}"\n'
    assert read(UPSTREAM + key.format("strict")).auth.keys[0].safety == "strict"
    assert problems(key.format("stict") + UPSTREAM) == [
        "4: [[auth.key]] safety must name a profile; there are off, default, strict"
    ]


def test_an_upstream_may_have_a_profile_of_its_own() -> None:
    """One that is there."""
    upstream = '[[upstream]]\nname = "a"\nbase_url = "http://127.0.0.1:1/v1"\nsafety = "{}"\n'
    assert read(upstream.format("strict")).upstreams[0].safety == "strict"
    assert problems(upstream.format("stict")) == [
        "4: [[upstream]] safety must name a profile; there are off, default, strict"
    ]


def test_a_model_may_have_a_profile_of_its_own() -> None:
    """One that is there."""
    model = '[[safety.model]]\nmodel = "gpt-*"\nprofile = "{}"\n'
    assert [(each.model, each.profile) for each in read(UPSTREAM + model.format("strict")).safety.models] == [
        ("gpt-*", "strict")
    ]
    assert problems(f"{model.format('stict')}{UPSTREAM}") == [
        '[safety]: model "gpt-*": there is no profile of that name; there are off, default, strict'
    ]


def test_classifiers_are_tables_by_name() -> None:
    safety = read(
        f'{UPSTREAM}[safety.classifier.house]\nuse = "house:Judge"\nmode = "cut"\nsettings = {{ word = "x" }}\n'
        '[safety.profile.mine]\nclassifiers = ["house"]\nprofanity = "block"\ninjection_threshold = 0.5\n'
    ).safety
    (house,) = safety.classifiers
    assert (house.name, house.use, house.mode, house.settings) == ("house", "house:Judge", "cut", {"word": "x"})
    assert safety.profiles[0].classifiers == ("house",)
    assert (safety.profiles[0].profanity, safety.profiles[0].injection_threshold) == ("block", 0.5)


def test_what_answers_are_checked_for() -> None:
    validation = read(
        f'{UPSTREAM}[safety.validation]\nschema = true\nstrict_json = "cut"\nfinish_reasons = ["stop"]\n'
        '[[safety.validation.rule]]\nname = "source"\npattern = "[[]\\\\d+[]]"\n'
    ).safety.validation
    assert (validation.schema, validation.strict_json, validation.finish_reasons) == (True, "cut", ("stop",))
    assert [(rule.name, rule.must) for rule in validation.rules] == [("source", "contain")]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (
            '[safety.profile.mine]\nclassifiers = ["x"]',
            'profile "mine": classifiers has "x"; there are none; write [',
        ),
        (
            '[safety.classifier.x]\nuse = "house"',
            '"house"; write "package.module:attribute", or one of openai',
        ),
        ('[safety.classifier.x]\nwhere = ["input"]', 'classifier "x": where has "input"; there are output, reasoning'),
        ('[safety.classifier.x]\nmode = "stop"', "mode"),
        ("[safety.classifier.x]\ndeadline = 0", "deadline"),
        ('[safety.classifier.x]\nuse = "presidio"\nurl = "presidio"', "http"),
        ('[safety.classifier.x]\nuse = "openai-moderation"\napi_key = "env:NOT_SET"', "NOT_SET"),
        ('[safety.classifier.x]\nuse = "a:b"\nurl = "http://x"', "is for use = openai-moderation and presidio only"),
        ('[safety.classifier]\nuse = "a:b"', "holds classifiers by name; write [safety.classifier.NAME] before use"),
        ('[safety.validation]\nstrict_json = "yes"', "strict_json"),
        ('[[safety.validation.rule]]\nname = "odd"\npattern = "(?=a)"', 'rule "odd": at character'),
        ("[safety.profile.mine]\nprofanity_threshold = 2.0", "profanity_threshold"),
        ('[safety.profile.mine]\ninjection = "block"', "injection"),
    ],
)
def test_a_mistake_in_a_check_is_named(text: str, part: str) -> None:
    (line,) = problems(f"{text}\n{UPSTREAM}")
    assert part in line
