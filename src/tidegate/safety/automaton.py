"""The rules as one automaton: positions of all their expressions, and deterministic states made when they are needed.

Glushkov's construction: a position for every character set in an expression (repetitions written out), no empty moves,
and every position lies on a way to a match. So *alive* and *can still become a match* are the same thing, and text is
held for no other reason. A deterministic state is the set of positions that the last character may have been.

Building all states first does not scale: 26 rules have 5,800, 140 have 64,000. What texts reach is a thousand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tidegate.safety.chars import Alphabet, Chars
from tidegate.safety.syntax import Alternatives, NotRegular, One, Repeat, Syntax
from tidegate.safety.syntax import Sequence as InOrder

__all__ = ["Automaton", "Expression", "State"]

MAX_POSITIONS: Final = 8192
"""Of one rule: what a list of a thousand words needs. A repetition in a repetition multiplies."""

Fragment = tuple[bool, list[int], list[int]]
"""Whether it matches the empty text, its first positions, its last ones."""


class Expression:
    """The positions of one rule's expression.

    :raises NotRegular: it matches the empty text, or has too many positions.
    """

    __slots__ = ("first", "follow", "last", "sets")

    def __init__(self, syntax: Syntax) -> None:
        self.sets: list[Chars] = []
        self.follow: list[set[int]] = []
        nullable, self.first, self.last = self._fragment(syntax)
        if nullable:
            raise NotRegular("it matches the empty text; something of it must be there: + in place of *")

    def _fragment(self, syntax: Syntax) -> Fragment:
        match syntax:
            case One():
                return self._one(syntax)
            case InOrder():
                whole: Fragment = (True, [], [])
                for item in syntax.items:
                    whole = self._then(whole, self._fragment(item))
                return whole
            case Alternatives():
                parts = [self._fragment(item) for item in syntax.items]
                first = [position for part in parts for position in part[1]]
                last = [position for part in parts for position in part[2]]
                return any(part[0] for part in parts), first, last
        return self._repeat(syntax)

    def _one(self, one: One) -> Fragment:
        if len(self.sets) == MAX_POSITIONS:
            raise NotRegular(f"it is longer than {MAX_POSITIONS} characters with its repetitions written out")
        self.sets.append(one.of)
        self.follow.append(set())
        at = [len(self.sets) - 1]
        return False, at, at

    def _then(self, one: Fragment, two: Fragment) -> Fragment:
        for position in one[2]:
            self.follow[position].update(two[1])
        first = one[1] + two[1] if one[0] else one[1]
        last = two[2] + one[2] if two[0] else two[2]
        return one[0] and two[0], first, last

    def _again(self, one: Fragment) -> Fragment:
        for position in one[2]:
            self.follow[position].update(one[1])
        return one

    def _repeat(self, repeat: Repeat) -> Fragment:
        whole: Fragment = (True, [], [])
        for _ in range(repeat.least - 1):
            whole = self._then(whole, self._fragment(repeat.item))
        if repeat.most is None:
            endless = self._again(self._fragment(repeat.item))
            return self._then(whole, (endless[0] or not repeat.least, endless[1], endless[2]))
        if repeat.least:
            whole = self._then(whole, self._fragment(repeat.item))
        # x{0,3} is (x(x(x)?)?)?: linear in its size, where x?x?x? has an arrow from each to every later one.
        optional: Fragment = (True, [], [])
        for _ in range(repeat.most - repeat.least):
            _, first, last = self._then(self._fragment(repeat.item), optional)
            optional = (True, first, last)
        return self._then(whole, optional)


class State:
    """A deterministic state. Its row holds the next state by the class of the next character; ``None`` is unknown.

    ``rules`` are those that can still match, ``accepts`` those that match here if the next character allows it.
    """

    __slots__ = ("_fires", "accepts", "ahead", "alone", "row", "rules", "validated")

    def __init__(self, ahead: tuple[int, ...], rules: frozenset[int], size: int) -> None:
        self.ahead = ahead
        self.rules = rules
        self.row: list[State | None] = [None] * size
        self.accepts: list[tuple[int, int]] = []
        self.alone = next(iter(rules)) if len(rules) == 1 else -1
        """The one rule that can still match, or -1."""
        self.validated = False
        """Whether a rule with a validator can still match."""
        self._fires: dict[int, tuple[int, ...]] = {}

    def fires(self, code: int) -> tuple[int, ...]:
        """The rules that match up to here when a character of class ``code`` comes next, in their order."""
        if not self.accepts:
            return ()
        found = self._fires.get(code)
        if found is None:
            found = tuple(rule for rule, forbidden in self.accepts if not forbidden >> code & 1)
            self._fires[code] = found
        return found


class Automaton:
    """All rules together.

    :param expressions: of each rule, in order.
    :param rights: the classes that must not follow a match of each rule, as bits.
    :param validated: which rules have a validator.
    """

    def __init__(
        self,
        expressions: Sequence[Expression],
        alphabet: Alphabet,
        rights: Sequence[int],
        validated: frozenset[int],
    ) -> None:
        self._size = alphabet.size
        self._rights = rights
        self._validated = validated
        self._first: list[tuple[int, ...]] = []
        self._follow: list[tuple[int, ...]] = []
        self._masks: list[int] = []
        self._rule: list[int] = []
        self._final: list[bool] = []
        for rule, expression in enumerate(expressions):
            self._add(rule, expression, alphabet)
        self._states: dict[tuple[int, ...], State] = {}
        self.dead = State((), frozenset(), 0)

    def _add(self, rule: int, expression: Expression, alphabet: Alphabet) -> None:
        base = len(self._masks)
        masks = {of: alphabet.mask(of) for of in set(expression.sets)}
        self._masks += [masks[of] for of in expression.sets]
        self._follow += [tuple(base + position for position in follow) for follow in expression.follow]
        self._rule += [rule] * len(expression.sets)
        last = set(expression.last)
        self._final += [position in last for position in range(len(expression.sets))]
        self._first.append(tuple(base + position for position in expression.first))

    @property
    def size(self) -> int:
        """States made so far."""
        return len(self._states)

    def start(self, rules: Iterable[int]) -> State:
        """Before the first character, for these rules only."""
        among = frozenset(rules)
        ahead = tuple(position for rule in sorted(among) for position in self._first[rule])
        return State(ahead, among, self._size)

    def after(self, state: State, code: int) -> State:
        """Fills the row: the state after one more character of class ``code``."""
        masks = self._masks
        key = tuple(sorted(position for position in state.ahead if masks[position] >> code & 1))
        found = self._states.get(key) if key else self.dead
        if found is None:
            found = self._states[key] = self._make(key)
        state.row[code] = found
        return found

    def forget(self) -> None:
        """Drops every state; those in use go on and find their next ones anew."""
        for state in self._states.values():
            state.row = [None] * self._size
        self._states.clear()

    def _make(self, key: tuple[int, ...]) -> State:
        ahead: set[int] = set()
        for position in key:
            ahead.update(self._follow[position])
        state = State(tuple(ahead), frozenset(self._rule[position] for position in key), self._size)
        accepted = sorted({self._rule[position] for position in key if self._final[position]})
        state.accepts = [(rule, self._rights[rule]) for rule in accepted]
        state.validated = not self._validated.isdisjoint(state.rules)
        return state
