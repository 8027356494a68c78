"""A closer look at a stretch of text in which something may have matched.

Every beginning is a candidate, the oldest first. A candidate that can grow no further is validated at once, its longest
match first, and dropped when nothing of it holds: those that lose do not wait for the oldest to be decided. The oldest
is decided when it can grow no further, or when whatever comes can only make its match longer: then its replacement
leaves at once and the rest of it is swallowed.

Positions count from the beginning of the stream's text.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from tidegate.safety.automaton import State
from tidegate.safety.chars import MAX_INVISIBLE, folded, invisible
from tidegate.safety.machine import MOST_SLOTS, Machine, Situation
from tidegate.safety.rules import KEPT, Action, Hit, Replacement, Rule

__all__ = ["CloseLook"]

_DIGEST: Final = 8
"""Bytes: enough to tell the values of one answer apart."""


class Candidate:
    """A beginning.

    ``state`` is ``None`` once it can grow no further. ``best`` holds where which rule has matched, what counts most
    last. ``merged`` are later beginnings that have come to the same state: what happens to one happens to all, and the
    oldest wins, unless a match before them ends between them. Each has the end of ``best`` from before it joined.
    """

    __slots__ = ("anchor", "best", "certain", "committed", "digest", "merged", "outgrown", "start", "state")

    def __init__(self, start: int, state: State | None) -> None:
        self.start = start
        self.anchor = start
        """From where its length counts against the cap: the start, or how far a match goes that is certain."""
        self.certain = False
        """There is a match, and whatever comes can only make it longer: its label may leave when it is its turn."""
        self.state = state
        self.best: list[tuple[int, int]] = []
        self.merged: deque[tuple[int, int]] | None = None
        self.committed = -1
        """The rule whose replacement has left."""
        self.digest: hashlib.blake2b | None = None
        self.outgrown: tuple[int, int] | None = None
        """Where it grew longer than the cap, and the first rule that it was not done with, when that is the end."""

    def heir(self, end: int) -> Candidate | None:
        """The oldest of the merged beginnings that stands at ``end`` or behind it, with the others behind it."""
        merged, self.merged = self.merged, None
        while merged and merged[0][0] < end:
            merged.popleft()
        return self._succeeded(merged)

    def successor(self, start: int) -> Candidate | None:
        """It is too old to go on: those that are not, ``start`` or later, go on without it; the others stay with it."""
        if not self.merged:
            return None
        older = deque(one for one in self.merged if one[0] < start)
        younger = deque(one for one in self.merged if one[0] >= start)
        self.merged = older or None
        return self._succeeded(younger)

    def _succeeded(self, merged: deque[tuple[int, int]] | None) -> Candidate | None:
        while merged:
            start, joined = merged.popleft()
            best = [each for each in self.best if each[0] > joined]
            if self.state is None and not best:
                continue  # it joined after the last match, and no further one will come
            heir = Candidate(start, self.state)
            heir.best = best
            heir.merged = merged or None
            if self.certain and best:
                heir.certain, heir.anchor = True, self.anchor
            return heir
        return None


class CloseLook:
    """Begun with a situation, fed until :attr:`looking` is false, it gives a situation back.

    :param key: of the digests.
    :param on_hit: told every hit when it is complete.
    """

    __slots__ = (
        "_base",
        "_candidates",
        "_fed",
        "_gap",
        "_key",
        "_last",
        "_machine",
        "_on_hit",
        "_out",
        "_passed",
        "_start",
        "_text",
        "blocked",
        "looking",
    )

    def __init__(self, machine: Machine, key: bytes, on_hit: Callable[[Hit], None] | None) -> None:
        self._machine = machine
        self._key = key
        self._on_hit = on_hit
        self._candidates: list[Candidate] = []
        self._start: State = machine.opening
        self._text = ""
        self._base = 0
        """The position at which ``_text`` begins."""
        self._passed = 0
        """The position up to which everything has left or was replaced."""
        self._fed = 0
        self._last = 0
        """Behind the last character that has a width."""
        self._gap = 0
        """Characters without width since then."""
        self._out: list[str] = []
        self.blocked: Hit | None = None
        self.looking = False

    @property
    def held(self) -> int:
        """Characters that wait."""
        return self._fed - self._passed

    def begin(self, situation: Situation, starts: Sequence[int], held: str, fed: int) -> None:
        """Take over: beginnings at ``starts`` in what is ``held``, which ends at position ``fed``."""
        self._base = self._passed = fed - len(held)
        self._candidates = [
            Candidate(self._base + start, state) for start, state in zip(starts, situation.slots, strict=True)
        ]
        self._start = situation.start
        self._text = held
        self._fed = self._last = fed
        self._gap = 0
        self.looking = True

    def result(self) -> tuple[Situation, tuple[int, ...], str, int]:
        """Give back: the situation, where its beginnings are in what is held, that, and the position behind it."""
        states = tuple([one.state for one in self._candidates if one.state is not None])
        situation = self._machine.situation(self._start, states)
        starts = tuple([one.start - self._passed for one in self._candidates])
        return situation, starts, self._text[self._passed - self._base :], self._fed

    def feed(self, piece: str, codes: Sequence[int], at: int) -> tuple[int, str]:
        """Go on from ``at``, as far as it takes: where it stops, and what leaves."""
        self._text = self._text[self._passed - self._base :] + piece[at:]
        self._base = self._passed
        size = len(piece)
        alphabet = self._machine.alphabet
        while at < size and self.looking:
            code = codes[at]
            if code == alphabet.skip and self._gap < MAX_INVISIBLE:
                self._gap += 1
                self._fed += 1
            else:
                self._advance(code if code != alphabet.skip else alphabet.visible(piece[at]))
                self.looking = self.blocked is None and not self._calm(size - at - 1)
            at += 1
        if not self.looking:
            self._text = self._text[: self._fed - self._base]
        return at, self._leave()

    def close(self) -> str:
        """The text ends here."""
        self.looking = False
        end = self._machine.alphabet.end
        self._confirm_all(end)
        self._candidates = [one for one in self._candidates if one.state is None or self._finish(one)]
        self._settle()
        return self._leave()

    def _leave(self) -> str:
        """What has been decided since the last call."""
        if self.blocked is None:
            self._pass_until(self._candidates[0].anchor if self._candidates else self._fed)
        out = "".join(self._out)
        self._out.clear()
        return out

    def _pass_until(self, end: int) -> None:
        if end > self._passed:
            self._out.append(self._text[self._passed - self._base : end - self._base])
            self._passed = end

    def _calm(self, rest: int) -> bool:
        """Whether nothing is left that the quick way does not know of."""
        candidates = self._candidates
        if not candidates:
            return True
        if len(candidates) > MOST_SLOTS or self._fed + rest - candidates[0].start > self._machine.hold_cap:
            return False
        for one in candidates:
            if one.best or one.merged or one.committed >= 0 or one.state is None:
                return False
        return len(candidates) == 1 or len({one.state for one in candidates}) == len(candidates)

    # One character.

    def _advance(self, code: int) -> None:
        self._confirm_all(code)
        self._grow(code)
        self._begin(code)
        if len(self._candidates) > 1:
            self._merge()
        self._fed += 1
        self._last = self._fed
        self._gap = 0
        self._settle()

    def _confirm_all(self, code: int) -> None:
        """The matches that end before a character of class ``code``."""
        committed = None
        for one in self._candidates:
            if one.state is not None and (fires := one.state.fires(code)):
                self._confirm(one, fires)
                if one.committed >= 0:
                    committed = one
        if committed is not None:
            self._swallow(committed)

    def _confirm(self, one: Candidate, fires: tuple[int, ...]) -> None:
        found = []
        for rule in fires:
            found.append((self._last, rule))
            if self._machine.rules[rule].validate is None:
                # It holds, whatever else does: neither what is shorter nor what comes later in order can win.
                one.best.clear()
                break
        one.best += reversed(found)
        if one.certain:
            one.anchor = self._last

    def _grow(self, code: int) -> None:
        automaton, cap = self._machine.automaton, self._machine.hold_cap
        candidates = []
        for one in self._candidates:
            state = one.state
            if state is None:
                candidates.append(one)
                continue
            after = state.row[code] or automaton.after(state, code)
            if not after.rules:
                if self._finish(one):
                    candidates.append(one)
            elif self._fed + 1 - one.anchor > cap:
                one.state = after
                heir = one.successor(max(one.anchor, self._fed + 1 - cap))
                left = self._outgrown(one, after) or self._finish(one)
                candidates += [each for each in (one if left else None, heir) if each is not None]
            else:
                one.state = after
                if one.best and after.alone == one.best[-1][1] and self._machine.commits[after.alone]:
                    one.certain, one.anchor = True, one.best[-1][0]
                if not self._machine.decides(after) or self._may_hold(one, after) or self._finish(one):
                    candidates.append(one)
        candidates.sort(key=_by_start)
        self._candidates = candidates

    def _outgrown(self, one: Candidate, state: State) -> bool:
        """It grew longer than the cap: whether that is the end of the text, when its turn comes."""
        rule = self._machine.unfinished(state)
        if rule is None:
            return False
        one.state = None
        one.outgrown = self._last, rule
        return True

    def _begin(self, code: int) -> None:
        machine = self._machine
        after = self._start.row[code] or machine.automaton.after(self._start, code)
        if after.rules:
            one = Candidate(self._fed, after)
            if not machine.decides(after) or self._may_hold(one, after):
                self._candidates.append(one)
        self._start = machine.start_after(code)

    def _may_hold(self, one: Candidate, state: State) -> bool:
        """Nothing can follow: whether there is a match at all, should the next character allow it."""
        return any(self._holds(one.start, self._fed + 1, rule) for rule, _ in state.accepts)

    def _merge(self) -> None:
        """Of candidates in one state all but the oldest wait with it, unless a validator may tell them apart."""
        known: dict[State, Candidate] = {}
        left = []
        for one in self._candidates:
            state = one.state
            if state is None or state.validated:
                left.append(one)
            elif state not in known:
                known[state] = one
                left.append(one)
            elif one.best:
                left.append(one)
            else:
                _join(known[state], one)
        self._candidates = left

    def _finish(self, one: Candidate) -> bool:
        """It can grow no further: whether anything of it holds."""
        one.state = None
        if one.committed >= 0:
            assert one.digest is not None
            rule = self._machine.rules[one.committed]
            self._tell(Hit(rule.name, rule.action, one.start, one.anchor - one.start, one.digest.hexdigest()))
            return False
        while one.best and not self._holds(one.start, *one.best[-1]):
            one.best.pop()
        return bool(one.best)

    def _holds(self, start: int, end: int, rule: int) -> bool:
        validate = self._machine.rules[rule].validate
        return validate is None or validate(self._value(start, end))

    def _value(self, start: int, end: int) -> str:
        text = folded(self._text[start - self._base : end - self._base])
        return text if text.isascii() else "".join([char for char in text if not invisible(char)])

    # What is decided.

    def _settle(self) -> None:
        candidates = self._candidates
        while self._candidates and self.blocked is None:
            first = self._candidates[0]
            if first.outgrown is not None:
                self._give_up(first, *first.outgrown)
                break
            if first.state is None:
                end, rule = first.best[-1]
                self._candidates = candidates = _behind(self._candidates[1:], end)
                self._match(first.start, end, self._machine.rules[rule])
                continue
            if first.committed < 0 and first.certain:
                self._commit(first, first.best[-1][1])
            break
        if self.blocked is not None:
            candidates.clear()
            self._candidates = []

    def _match(self, start: int, end: int, rule: Rule) -> None:
        value = self._value(start, end)
        hit = Hit(rule.name, rule.action, start, end - start, self._hash(value).hexdigest())
        self._pass_until(start)
        if rule.action is Action.REDACT:
            self._out.append(_replacement(rule, value, hit.digest))
            self._passed = end
        elif rule.action is Action.TAG:
            self._pass_until(end)
        else:
            self._block(hit)
        self._tell(hit)

    def _give_up(self, one: Candidate, end: int, number: int) -> None:
        """It may have become a match, and is too long to wait for: nothing of it leaves but a label that has left.

        It is the first whose turn it is: whatever began before it would have outgrown the cap before it, or has ended.
        """
        if one.committed >= 0:
            self._finish(one)
        else:
            self._pass_until(one.start)
        name = self._machine.rules[number].name
        digest = self._hash(self._value(one.anchor, end)).hexdigest()
        hit = Hit(name, Action.BLOCK, one.anchor, end - one.anchor, digest)
        self._block(hit)
        self._tell(hit)

    def _commit(self, one: Candidate, number: int) -> None:
        rule = self._machine.rules[number]
        one.committed = number
        one.digest = self._hash("")
        self._pass_until(one.start)
        if rule.action is Action.BLOCK:
            value = self._value(one.start, one.best[-1][0])
            hit = Hit(rule.name, rule.action, one.start, len(value), self._hash(value).hexdigest())
            self._block(hit)
            self._tell(hit)
            return
        if rule.action is Action.REDACT:
            self._out.append(rule.shown)
        self._swallow(one)

    def _swallow(self, one: Candidate) -> None:
        """A match whose replacement has left goes on up to its last end."""
        end = one.best[-1][0]
        assert one.digest is not None
        one.digest.update(self._value(one.anchor, end).encode("utf-8", "surrogatepass"))
        if self._machine.rules[one.committed].action is Action.TAG:
            self._pass_until(end)
        self._passed = one.anchor = end
        self._candidates = [one, *_behind([each for each in self._candidates if each is not one], end)]

    def _block(self, hit: Hit) -> None:
        self.blocked = hit
        self.looking = False
        self._passed = self._fed

    def _hash(self, value: str) -> hashlib.blake2b:
        return hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=_DIGEST, key=self._key)

    def _tell(self, hit: Hit) -> None:
        if self._on_hit is not None:
            self._on_hit(hit)


def _by_start(one: Candidate) -> int:
    return one.start


def _behind(candidates: list[Candidate], end: int) -> list[Candidate]:
    """Those that a match up to ``end`` leaves."""
    left = []
    for one in candidates:
        if one.start >= end:
            left.append(one)
        elif (heir := one.heir(end)) is not None:
            left.append(heir)
    left.sort(key=_by_start)
    return left


def _join(older: Candidate, younger: Candidate) -> None:
    reached = older.best[-1][0] if older.best else -1
    joining = [(younger.start, reached), *((start, reached) for start, _ in younger.merged or ())]
    if older.merged is None:
        older.merged = deque(joining)
    elif older.merged[-1][0] < joining[0][0]:
        older.merged.extend(joining)
    else:
        older.merged = deque(sorted([*older.merged, *joining]))


def _replacement(rule: Rule, value: str, digest: str) -> str:
    if rule.replacement is Replacement.LABEL:
        return rule.shown
    if rule.replacement is Replacement.HASH:
        return f"{rule.shown[:-1]}:{digest}]"
    shown = [at for at, char in enumerate(value) if char.isalnum()]
    hidden = set(shown[: max(len(shown) - KEPT, min(len(shown), KEPT))])
    return "".join("*" if at in hidden else char for at, char in enumerate(value))
