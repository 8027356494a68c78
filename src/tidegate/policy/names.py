"""Which names a list of patterns covers. ``*`` is any run of characters, ``?`` is one; everything else is itself.

Not ``fnmatch``: its ``[...]`` would read real model names (``org/[beta]-model``) as character classes, and it folds
case on some platforms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["Names", "is_glob", "names"]


def is_glob(pattern: str) -> bool:
    """Whether the pattern stands for more than one name."""
    return "*" in pattern or "?" in pattern


class Names:
    """Exact names and globs, compiled once. Case matters, as it does to every model server."""

    __slots__ = ("_exact", "_globs")

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = tuple(patterns)
        self._exact = frozenset(pattern for pattern in patterns if not is_glob(pattern))
        globs = [_expression(pattern) for pattern in patterns if is_glob(pattern)]
        self._globs = re.compile("|".join(globs), re.DOTALL) if globs else None

    def exactly(self, name: str) -> bool:
        """The name itself is listed."""
        return name in self._exact

    def by_glob(self, name: str) -> bool:
        """A glob covers the name."""
        return self._globs is not None and self._globs.fullmatch(name) is not None

    def covers(self, name: str) -> bool:
        """Either of the two."""
        return name in self._exact or (self._globs is not None and self._globs.fullmatch(name) is not None)


def _expression(pattern: str) -> str:
    # Runs of stars are one star: `a**b` would otherwise backtrack for each of them.
    pattern = re.sub(r"\*+", "*", pattern)
    return "".join(".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)


@lru_cache(maxsize=1024)
def names(patterns: tuple[str, ...]) -> Names:
    """The compiled patterns; the same tuple is compiled once."""
    return Names(patterns)
