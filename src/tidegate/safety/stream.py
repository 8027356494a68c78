"""The filter over one stream of text: what cannot become a match leaves at once, what is one is replaced.

Two ways through. **Quick**: nothing has matched; the situation and the beginnings say it all, and one step per
character, or one look-up per chunk, moves them. **Close** (:mod:`tidegate.safety.closely`): something may have matched;
each beginning is followed by itself until the oldest is decided. Both give the same text; the quick one is there
because nearly all text is like that.

The output is the same for every way to cut the text into chunks: ``sanitize(text)`` is one ``feed`` and ``close``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tidegate.safety.closely import CloseLook
from tidegate.safety.machine import Learnt, Machine, Situation
from tidegate.safety.rules import Hit

__all__ = ["Sanitized", "TextFilter", "sanitize"]

_PIECE: Final = 256
"""Characters walked at a time: no beginning in a piece can reach the hold cap within it."""


class TextFilter:
    """One answer's text in one channel. ``feed`` what arrives, send what it returns, ``close`` at the end.

    :param key: for the digests in records and replacements; of one answer, so that they cannot be looked up elsewhere.
    :param on_hit: told every hit when it is complete.
    """

    __slots__ = ("_cap", "_fed", "_held", "_look", "_machine", "_piece", "_situation", "_starts", "closed")

    def __init__(self, machine: Machine, *, key: bytes, on_hit: Callable[[Hit], None] | None = None) -> None:
        self._machine = machine
        self._cap = machine.hold_cap
        self._piece = max(1, min(_PIECE, self._cap // 2))
        self._situation = machine.begin
        self._fed = 0
        self._held = ""
        # Where beginnings are in what is held, the first at 0.
        self._starts: tuple[int, ...] = ()
        self._look = CloseLook(machine, key, on_hit)
        self.closed = False

    @property
    def held(self) -> int:
        """Characters that wait."""
        return self._look.held if self._look.looking else len(self._held)

    @property
    def blocked(self) -> Hit | None:
        """The hit of a rule that blocks: nothing leaves any more."""
        return self._look.blocked

    def feed(self, chunk: str) -> str:
        """What can leave now, of this chunk and of what was held."""
        learnt = self._situation.memo.get(chunk)
        if learnt is None:
            return self._feed(chunk)
        to, pre, post, _, new = learnt
        if pre is None:
            return self._hold(chunk, learnt)
        self._situation = to
        self._starts = new
        self._fed += len(chunk)
        if self._held:
            pre = self._held + pre
        self._held = post
        return pre

    def close(self) -> str:
        """The text has ended: the rest of it. Nothing can be fed any more."""
        if self.closed:
            return ""
        self.closed = True
        end = self._machine.alphabet.end
        if not self._look.looking and any(state.fires(end) for state in self._situation.slots):
            self._look_closer()
        self._situation = self._machine.closely
        if self._look.looking:
            return self._look.close()
        out, self._held = self._held, ""
        return out

    def _hold(self, chunk: str, learnt: Learnt) -> str:
        """A remembered chunk behind text that is held on."""
        held = self._held
        size = len(held)
        if size + len(chunk) > self._cap:
            return self._feed(chunk)
        self._situation = learnt.to
        self._fed += len(chunk)
        starts = self._starts
        if learnt.keep is not None:
            starts = tuple([starts[place] for place in learnt.keep])
        if learnt.new:
            starts += tuple([size + at for at in learnt.new])
        gone = starts[0]
        held += chunk
        if not gone:
            self._starts = starts
            self._held = held
            return ""
        self._starts = tuple([start - gone for start in starts])
        self._held = held[gone:]
        return held[:gone]

    def _feed(self, chunk: str) -> str:
        if self.closed:
            raise ValueError("The text has been closed.")
        if len(chunk) <= self._piece:
            return self._feed_piece(chunk) if chunk else ""
        return "".join([self._feed_piece(chunk[at : at + self._piece]) for at in range(0, len(chunk), self._piece)])

    def _feed_piece(self, piece: str) -> str:
        codes = self._machine.alphabet.codes(piece)
        size = len(piece)
        at = 0
        out = ""
        while at < size and self.blocked is None:
            step = self._closely if self._look.looking else self._quickly
            at, passed = step(piece, codes, at)
            out += passed
        return out

    def _look_closer(self) -> None:
        self._look.begin(self._situation, self._starts, self._held, self._fed)
        self._held = ""
        self._situation = self._machine.closely

    def _closely(self, piece: str, codes: Sequence[int], at: int) -> tuple[int, str]:
        look = self._look
        at, passed = look.feed(piece, codes, at)
        if not look.looking and look.blocked is None:
            self._situation, self._starts, self._held, self._fed = look.result()
        return at, passed

    def _quickly(self, piece: str, codes: Sequence[int], at: int) -> tuple[int, str]:
        """Steps up to the end of the piece, or to what takes a closer look: where that is, and what leaves."""
        size = len(piece)
        if self._starts and len(self._held) + size - at > self._cap:
            self._look_closer()  # the oldest beginning may grow too old within this piece
            return at, ""
        machine = self._machine
        first = situation = self._situation
        offset = len(self._held) - at
        starts = list(self._starts)
        stop = size
        for index in range(at, size):
            code = codes[index]
            step = situation.row[code] or machine.step(situation, code)
            if step.to is None:
                stop = index
                break
            situation = step.to
            if step.keep is not None:
                starts = [starts[place] for place in step.keep]
            if step.begins:
                starts.append(index + offset)
        if not at and stop == size:
            machine.remember(first, piece, self._learnt(situation, piece, starts))
        text = self._held + piece[at:stop]
        gone = starts[0] if starts else len(text)
        self._situation = situation
        self._fed += stop - at
        self._starts = tuple([start - gone for start in starts])
        self._held = text[gone:]
        if stop < size:
            self._look_closer()
        return stop, text[:gone]

    def _learnt(self, to: Situation, piece: str, starts: list[int]) -> Learnt:
        held = len(self._held)
        if not starts or starts[0] >= held:
            cut = starts[0] - held if starts else len(piece)
            return Learnt(to, piece[:cut], piece[cut:], None, tuple([start - held - cut for start in starts]))
        new = tuple([start - held for start in starts if start >= held])
        old = starts[: len(starts) - len(new)]
        keep = None if len(old) == len(self._starts) else tuple([self._starts.index(start) for start in old])
        return Learnt(to, None, "", keep, new)


@dataclass(frozen=True, slots=True)
class Sanitized:
    """What became of a whole text."""

    text: str
    hits: tuple[Hit, ...]
    blocked: Hit | None = None


def sanitize(machine: Machine, text: str, *, key: bytes) -> Sanitized:
    """The whole text at once: one ``feed`` and ``close``."""
    hits: list[Hit] = []
    stream = TextFilter(machine, key=key, on_hit=hits.append)
    out = stream.feed(text) + stream.close()
    return Sanitized(out, tuple(hits), stream.blocked)
