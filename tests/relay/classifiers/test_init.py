"""Which classifier ``use`` names, and what it says when it names none."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType

import pytest

from tidegate.relay.classifiers import ClassifierError, close, make
from tidegate.relay.classifiers.openai_moderation import OpenAIModeration
from tidegate.relay.classifiers.presidio import Presidio
from tidegate.safety.classifier import Classifier, ClassifierOptions, Verdict


class Mine:
    def __init__(self, word: str = "bad") -> None:
        self.word = word
        self.closed = False

    async def check(self, sentence: str) -> Verdict:
        return Verdict(self.word in sentence)

    async def close(self) -> None:
        self.closed = True


def made_here(word: str) -> Mine:
    return Mine(word)


class Sync:
    closed = False

    def check(self, sentence: str) -> bool:
        return "bad" in sentence

    def close(self) -> None:
        self.closed = True


def broken() -> None:
    raise RuntimeError("secret")


@pytest.fixture(autouse=True)
def _module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("house_classifier")
    vars(module).update(Mine=Mine, made_here=made_here, ready=Mine("x"), Sync=Sync, broken=broken, number=3)
    monkeypatch.setitem(sys.modules, "house_classifier", module)


def options(use: str, **more: object) -> ClassifierOptions:
    return ClassifierOptions(name="one", use=use, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("use", "settings", "word"),
    [
        ("house_classifier:Mine", {}, "bad"),
        ("house_classifier:Mine", {"word": "odd"}, "odd"),
        ("house_classifier:made_here", {"word": "odd"}, "odd"),
        ("house_classifier:ready", {}, "x"),
    ],
)
def test_a_class_a_function_or_an_object(use: str, settings: dict[str, str], word: str) -> None:
    made = make(options(use, settings=settings), {})
    assert isinstance(made, Classifier)
    assert isinstance(made, Mine)
    assert made.word == word
    asyncio.run(close(made))
    assert made.closed


@pytest.mark.parametrize(("use", "kind"), [("openai-moderation", OpenAIModeration), ("presidio", Presidio)])
def test_those_that_come_along(use: str, kind: type) -> None:
    assert isinstance(make(options(use, url="http://127.0.0.1:1"), {}), kind)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("", 'use is empty, and the application gave none of that name; write use = "package.module:attribute"'),
        ("house_classifier", 'use is "house_classifier"; write "package.module:attribute"'),
        (":Mine", 'use is ":Mine"; write'),
        ("no_such_house:Mine", "no_such_house cannot be imported"),
        ("house_classifier:Yours", "house_classifier has no Yours"),
        ("house_classifier:Sync", "has no `async def check(self, sentence)`"),
        ("house_classifier:number", "has no `async def check(self, sentence)`"),
        ("house_classifier:broken", "was called with settings [] and raised RuntimeError"),
        ("house_classifier:made_here", "raised TypeError"),
    ],
)
def test_a_mistake_is_named(use: str, message: str) -> None:
    with pytest.raises(ClassifierError) as error:
        make(options(use), {})
    assert str(error.value).startswith('classifier "one": ')
    assert message in str(error.value)
    assert "secret" not in str(error.value)


def test_an_address_that_is_none_is_named() -> None:
    with pytest.raises(ClassifierError, match="base_url must begin with http"):
        make(options("presidio", url="presidio:5002"), {})


def test_closing_what_cannot_be_closed_is_nothing() -> None:
    asyncio.run(close(object()))  # type: ignore[arg-type]
    sync = Sync()
    asyncio.run(close(sync))  # type: ignore[arg-type]
    assert sync.closed
