"""The rules compiled: one machine for every stream that they watch, growing with the texts that it meets.

Everything that a stream needs to know between two chunks is its :class:`Situation`: the state of each text position
from which a match may have begun, the oldest first. Where those positions are is kept beside it, so that situations are
few and shared, and what a chunk does to one is remembered: a token seen before costs one look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from tidegate.safety.automaton import Automaton, Expression, State
from tidegate.safety.chars import ANY, Alphabet
from tidegate.safety.rules import Action, Replacement, Rule
from tidegate.safety.syntax import NotRegular, parse, parse_set

__all__ = ["HOLD_CAP", "AtCap", "Learnt", "Machine", "RuleError", "Situation", "Step", "compile"]

AtCap = Literal["pass", "block"]

HOLD_CAP: Final = 1024
"""Characters of a match, unless its replacement has left already. An e-mail address has 254 at most."""

MOST_SLOTS: Final = 12
"""Beginnings in one situation. More of them are followed one by one, without being remembered."""

MAX_STATES: Final = 20_000
MAX_SITUATIONS: Final = 6_000
MAX_MEMO: Final = 16_384
"""Chunks remembered, over all situations; 0.4 kB each. When a limit is reached everything is forgotten and relearnt."""

MEMO_LENGTH: Final = 16
"""Characters of a chunk that is remembered. Chunks with digits never are: a memo must not collect card numbers."""

_DIGITS: Final = frozenset("0123456789")


class RuleError(ValueError):
    """A rule that cannot be used. The message names it, says why, and what to write instead."""

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(f'rule "{rule}": {why}')
        self.rule = rule
        self.why = why


@dataclass(slots=True)
class Step:
    """One character more, from a situation. ``to`` is ``None`` when it takes a closer look: a match may have ended, two
    beginnings have become one, or there are too many of them.
    """

    to: Situation | None
    keep: tuple[int, ...] | None = None
    """The beginnings that are left, by their place; ``None`` for all of them."""
    begins: bool = False
    """A match may begin with this character."""


class Learnt(NamedTuple):
    """What a chunk does in a situation."""

    to: Situation
    pre: str | None
    """What of it leaves, behind all that was held; ``None`` when something that was held still is."""
    post: str
    """What of it is held, when ``pre`` leaves."""
    keep: tuple[int, ...] | None
    """When something is still held: which beginnings are left; ``None`` for all."""
    new: tuple[int, ...]
    """Where beginnings are: in ``post``, or the new ones in the chunk."""


class Situation:
    """What a stream is in the middle of."""

    __slots__ = ("memo", "row", "slots", "start")

    def __init__(self, start: State, slots: tuple[State, ...], size: int) -> None:
        self.start = start
        """Where a match that begins with the next character begins: the character before decides which rules may."""
        self.slots = slots
        self.row: list[Step | None] = [None] * size
        self.memo: dict[str, Learnt] = {}


class Machine:
    """What :func:`compile` makes. Its streams are :class:`tidegate.safety.stream.TextFilter`.

    :param rules: in the order in which they win.
    :param hold_cap: the most characters of one match; see :data:`HOLD_CAP`.
    :param at_cap: what becomes of a beginning that could still match and is longer: it passes, or ends the text.
    :raises RuleError: the first rule that cannot be used.
    """

    def __init__(self, rules: Sequence[Rule], *, hold_cap: int = HOLD_CAP, at_cap: AtCap = "pass") -> None:
        self.rules = tuple(rules)
        self.hold_cap = hold_cap
        self._hiding = frozenset(
            at for at, rule in enumerate(self.rules) if at_cap == "block" and rule.action is not Action.TAG
        )
        expressions, lefts, rights = [], [], []
        for rule in self.rules:
            try:
                expressions.append(Expression(parse(rule.core, ignore_case=rule.ignore_case)))
                lefts.append(parse_set(rule.left))
                rights.append(parse_set(rule.right))
            except NotRegular as error:
                raise RuleError(rule.name, str(error)) from None
        self.alphabet = Alphabet([ANY, *lefts, *rights, *(each for one in expressions for each in one.sets)])
        validated = frozenset(at for at, rule in enumerate(self.rules) if rule.validate is not None)
        masks = [self.alphabet.mask(right) for right in rights]
        self.automaton = Automaton(expressions, self.alphabet, masks, validated)
        self.commits = tuple(rule.validate is None and rule.replacement is Replacement.LABEL for rule in self.rules)
        """By rule: whether its replacement may leave before its match has ended."""
        self._starts = self._starts_by_class([self.alphabet.mask(left) for left in lefts])
        self.opening = self.automaton.start(range(len(self.rules)))
        """The start at the beginning of a text, where nothing stands before."""
        self._situations: dict[tuple[State, ...], Situation] = {}
        self._memos = 0
        self.begin = self.situation(self.opening, ())
        self.closely = Situation(self.opening, (), 0)
        """Where a stream is that looks closer: nothing is ever remembered there."""

    def _starts_by_class(self, lefts: list[int]) -> list[State]:
        known: dict[tuple[int, ...], State] = {}
        starts = []
        for code in range(self.alphabet.size):
            allowed = tuple(rule for rule, forbidden in enumerate(lefts) if not forbidden >> code & 1)
            if allowed not in known:
                known[allowed] = self.automaton.start(allowed)
            starts.append(known[allowed])
        return starts

    def start_after(self, code: int) -> State:
        """Where a match begins behind a character of class ``code``."""
        return self._starts[code]

    def situation(self, start: State, slots: tuple[State, ...]) -> Situation:
        """The one of this start and these states."""
        key = (start, *slots)
        found = self._situations.get(key)
        if found is None:
            if len(self._situations) >= MAX_SITUATIONS or self.automaton.size >= MAX_STATES:
                self.forget()
            found = self._situations[key] = Situation(start, slots, self.alphabet.size + 1)
        return found

    def step(self, situation: Situation, code: int) -> Step:
        """Fills the row: what one more character of class ``code`` does."""
        step = situation.row[code] = self._step(situation, code)
        return step

    def _step(self, situation: Situation, code: int) -> Step:
        if code == self.alphabet.skip:
            return Step(None)
        keep, slots = [], []
        for place, state in enumerate(situation.slots):
            if state.fires(code):
                return Step(None)
            after = state.row[code] or self.automaton.after(state, code)
            if after.rules:
                keep.append(place)
                slots.append(after)
        after = situation.start.row[code] or self.automaton.after(situation.start, code)
        if after.rules:
            slots.append(after)
        if len(slots) > MOST_SLOTS or len(set(slots)) < len(slots) or any(map(self.decides, slots)):
            return Step(None)
        to = self.situation(self._starts[code], tuple(slots))
        return Step(to, None if len(keep) == len(situation.slots) else tuple(keep), bool(after.rules))

    def unfinished(self, state: State) -> int | None:
        """The first rule for whose sake nothing of a beginning may pass that outgrew the cap in this state."""
        return min(self._hiding & state.rules, default=None)

    def decides(self, state: State) -> bool:
        """Whether nothing can follow, so that a validator's word is final already."""
        return bool(state.accepts) and not state.ahead and state.validated

    def remember(self, situation: Situation, chunk: str, learnt: Learnt) -> None:
        """What ``chunk`` does in ``situation``. Only what is short and has no digits is kept."""
        if len(chunk) > MEMO_LENGTH or not _DIGITS.isdisjoint(chunk):
            return
        if self._memos >= MAX_MEMO:
            for each in self._situations.values():
                each.memo.clear()
            self._memos = 0
        situation.memo[chunk] = learnt
        self._memos += 1

    def forget(self) -> None:
        """Drops what was learnt. Streams go on in the situations that they are in, which learn anew."""
        for situation in self._situations.values():
            situation.row = [None] * (self.alphabet.size + 1)
            situation.memo.clear()
        self._situations.clear()
        self._memos = 0
        self.automaton.forget()
        for start in {self.opening, *self._starts}:
            start.row = [None] * self.alphabet.size

    @property
    def learnt(self) -> tuple[int, int, int]:
        """States, situations and chunks that are remembered."""
        return self.automaton.size, len(self._situations), self._memos


def compile(  # noqa: A001 # as re.compile
    rules: Sequence[Rule], *, hold_cap: int = HOLD_CAP, at_cap: AtCap = "pass"
) -> Machine:
    """A machine for these rules.

    :raises RuleError: a rule that cannot be used.
    """
    return Machine(rules, hold_cap=hold_cap, at_cap=at_cap)
