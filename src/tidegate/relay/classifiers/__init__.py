"""Classifiers of others, made ready: by import path, the OpenAI moderation endpoint, Presidio's analyzer.

Each is a file with a class that fulfils :class:`tidegate.safety.classifier.Classifier`; imported when it is configured.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any, Final

from tidegate.errors import ConfigError
from tidegate.safety.classifier import Classifier, ClassifierOptions

__all__ = ["READY", "ClassifierError", "close", "make"]

READY: Final[Mapping[str, str]] = {
    "openai-moderation": "tidegate.relay.classifiers.openai_moderation:OpenAIModeration",
    "presidio": "tidegate.relay.classifiers.presidio:Presidio",
}
"""Those that come along, by the name that ``use`` gives them."""


class ClassifierError(ValueError):
    """A classifier that cannot be; the message says which, why, and what to write instead."""


def make(options: ClassifierOptions, environ: Mapping[str, str]) -> Classifier:
    """The classifier that ``use`` names.

    :raises ClassifierError: there is none, or it cannot be made.
    """
    name, use = options.name, options.use
    if not use:
        raise ClassifierError(
            f'classifier "{name}": use is empty, and the application gave none of that name; write '
            f'use = "package.module:attribute", or one of {", ".join(READY)}'
        )
    if use in READY:
        try:
            made: Classifier = _found(name, READY[use])(options, environ)
        except ConfigError as error:
            raise ClassifierError(f'classifier "{name}": {error.message}') from None
        return made
    found = _found(name, use)
    if inspect.isclass(found) or (callable(found) and not hasattr(found, "check")):
        try:
            found = found(**options.settings)
        except Exception as error:
            raise ClassifierError(
                f'classifier "{name}": {use} was called with settings {sorted(options.settings)} and raised '
                f"{type(error).__name__}"
            ) from None
    check = getattr(found, "check", None)
    if check is None or not inspect.iscoroutinefunction(check):
        raise ClassifierError(
            f'classifier "{name}": {use} has no `async def check(self, sentence)`, which gives the verdict'
        )
    classifier: Classifier = found
    return classifier


def _found(name: str, path: str) -> Any:
    module_name, colon, attribute = path.partition(":")
    if not colon or not attribute or not module_name:
        raise ClassifierError(
            f'classifier "{name}": use is "{path}"; write "package.module:attribute", or one of {", ".join(READY)}'
        )
    try:
        found = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ImportError as error:
        raise ClassifierError(f'classifier "{name}": {module_name} cannot be imported ({error})') from None
    except AttributeError:
        raise ClassifierError(f'classifier "{name}": {module_name} has no {attribute}') from None
    return found


async def close(classifier: Classifier) -> None:
    """Let it close what it has open."""
    end = getattr(classifier, "close", None)
    if end is not None:
        result = end()
        if inspect.isawaitable(result):
            await result
