"""PURE. What has been made for the reader and waits for verdicts. In order: nothing overtakes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Set
from typing import NamedTuple, TypeAlias

__all__ = ["Gate", "Sentence"]

Sentence: TypeAlias = tuple[int, int]
"""Which judge, and the number of the sentence."""


class _Held(NamedTuple):
    out: bytes
    needs: frozenset[Sentence]
    finished: tuple[int, ...]


class Gate:
    """Bytes of whole events, each piece with the sentences that it needs a verdict on."""

    __slots__ = ("_held", "finished", "size")

    def __init__(self) -> None:
        self._held: deque[_Held] = deque()
        self.size = 0
        """Bytes that wait."""
        self.finished: set[int] = set()
        """Choices whose finish reason has left."""

    def put(self, out: bytes, needs: Set[Sentence], finished: Iterable[int], open_: Set[Sentence]) -> bytes:
        """Add a piece; returns what may leave.

        :param open_: sentences without a verdict.
        """
        self._held.append(_Held(out, frozenset(needs), tuple(finished)))
        self.size += len(out)
        return self.release(open_)

    def release(self, open_: Set[Sentence]) -> bytes:
        """What may leave now."""
        left: list[bytes] = []
        while self._held and not self._held[0].needs & open_:
            held = self._held.popleft()
            self.size -= len(held.out)
            self.finished.update(held.finished)
            left.append(held.out)
        return b"".join(left)

    def drop(self) -> None:
        """Nothing of what waits will leave."""
        self._held.clear()
        self.size = 0
