"""The models of the scores, read from their files when a profile first wants one, and kept."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from tidegate.safety.weights import unpack

if TYPE_CHECKING:
    from tidegate.safety.injection import InjectionModel
    from tidegate.safety.profanity import ProfanityModel

__all__ = ["injection", "profanity"]


@cache
def profanity() -> ProfanityModel:
    """Takes a twentieth of a second the first time, and 6 MB."""
    from tidegate.safety.profanity import ProfanityModel

    return ProfanityModel(unpack(_read("profanity.bin")))


@cache
def injection() -> InjectionModel:
    """Takes a twentieth of a second the first time, and 6 MB."""
    from tidegate.safety.injection import InjectionModel

    return InjectionModel(unpack(_read("injection.bin")))


def _read(name: str) -> bytes:
    return files("tidegate.safety").joinpath("data", name).read_bytes()
