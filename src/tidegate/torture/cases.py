"""PURE. The cases: what the model server does, what an honest gateway makes of it, and what is let pass.

A case stands in the prompt (``[[torture:NAME]]``), because a prompt is what every gateway passes on; many have their
model names fixed in a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatch
from typing import Final

from tidegate.simulator.faults import TABLE

__all__ = ["CASES", "GOOD", "Act", "Case", "Outcome", "case_of", "chosen", "marker"]


class Outcome(StrEnum):
    """What a client got; the text is for the table."""

    ANSWER = "the answer"
    VERBATIM = "the answer, the malformed event with it"
    ERROR_STATUS = "an error status"
    ERROR_EVENT = "an error event"
    BROKEN = "a visibly broken connection"
    STOPPED = "the model was stopped"
    HELD_UP = "the model was held up"
    ALTERED = "another answer, as a success"
    PARTIAL = "half an answer, as a success"
    SILENT = "a silent end: no finish reason, no error"
    FALSE_DONE = "[DONE] without a finish reason"
    EMPTY = "an empty success"
    NO_STREAM = "200 with what is not a stream"
    LEAK = "the key of the model server"
    HANG = "nothing more, for as long as was waited"
    RAN_ON = "the model ran on for nobody"
    SWALLOWED = "the model was let run ahead of its reader"


_FAILS: Final = frozenset({Outcome.ERROR_STATUS, Outcome.ERROR_EVENT, Outcome.BROKEN})
_ANSWERS: Final = frozenset({Outcome.ANSWER})
_ANSWERS_OR_FAILS: Final = _ANSWERS | _FAILS


class Act(StrEnum):
    """What the client does."""

    READ = "reads"
    WHOLE = "asks without stream"
    TWICE = "asks twice"
    THEN_GOOD = "asks, and then asks for a good answer"
    LEAVE_WAITING = "leaves before the head"
    LEAVE_MIDWAY = "leaves after five tokens"
    LEAVE_WHOLE = "leaves while it waits for a whole answer"
    HALF_CLOSE = "closes its sending side"
    NEVER_READ = "never reads"
    BAD_BODY = "sends a body that is not JSON"
    NO_UPSTREAM = "asks while nobody listens upstream"


@dataclass(frozen=True, slots=True)
class Case:
    """``fault`` is a simulator's, by name."""

    name: str
    fault: str
    honest: frozenset[Outcome]
    act: Act = Act.READ
    says: str = ""
    """What the model server does, when the fault's own words are not it."""
    expects: str = ""
    """What an honest gateway makes of it."""

    @property
    def group(self) -> str:
        """For a report."""
        if self.act not in (Act.READ, Act.TWICE, Act.WHOLE):
            return "client"
        if Outcome.ANSWER not in self.honest:
            return "failure"
        return "odd" if self.honest == _ANSWERS else "malformed"

    @property
    def does(self) -> str:
        return self.says or _words(self.fault)

    @property
    def wanted(self) -> str:
        return self.expects or _WANTED[self.honest]


_WANTED: Final = {
    _FAILS: "an error that an SDK notices, never a success",
    _ANSWERS: "the whole answer",
    _ANSWERS_OR_FAILS: "the whole answer or an error, nothing in between",
}


def _words(fault: str) -> str:
    known = TABLE.get(fault) or TABLE.get(re.sub(r"-\d+$", "-N", fault))
    text = ((known.__doc__ if known is not None else "") or "").partition("\n")[0].partition(" ->")[0]
    number = re.search(r"-(\d+)$", fault)
    return re.sub(r"\bN\b", number[1], text) if number else text


def _all(honest: frozenset[Outcome], names: str) -> Iterator[Case]:
    return (Case(name, name, honest) for name in names.split())


GOOD: Final = Case("good", "default", _ANSWERS, says="Answers well")
"""Asked for before each case: a gateway that is still sulking about the last one must not be judged for this one."""

_MARKER: Final = re.compile(r"\[\[torture:([a-z0-9-]+)\]\]")

CASES: Final[tuple[Case, ...]] = (
    GOOD,
    *_all(_FAILS, "401 403 404 429 500 503 html text-body error-body redirect no-content head-bomb not-http no-answer"),
    *_all(_FAILS, "stall silent endless-comments stall-after-5"),
    *_all(
        _FAILS, "cut-after-5 cut-clean-after-5 rst-after-5 cut-in-chunk bad-chunk short-length short-gzip half-event"
    ),
    *_all(
        _FAILS, "no-finish done-only null-finish one-choice-cut tool-call-cut empty only-comments only-role only-done"
    ),
    *_all(
        _FAILS, "error-first error-event error-string error-named error-then-done error-finish late-error-after-finish"
    ),
    *_all(_FAILS, "two-lengths two-framings"),
    *_all(_ANSWERS, "crlf cr comments bom no-space multi-line unknown-fields split-utf8 surrogates"),
    *_all(
        _ANSWERS, "dribble burst slow-head interim gzip http10 length-framed untyped no-role null-choices usage-beside"
    ),
    *_all(_ANSWERS, "no-done finish-then-hang twice-done twice-finished after-done strawberry big-event-2 json"),
    Case(
        "no-last-chunk",
        "no-last-chunk",
        _ANSWERS_OR_FAILS,
        expects="the answer, since it is complete, or an error",
    ),
    Case("garbage", "garbage", _ANSWERS_OR_FAILS | {Outcome.VERBATIM}, expects="the answer without it, or an error"),
    Case(
        "invalid-utf8",
        "invalid-utf8",
        _ANSWERS_OR_FAILS | {Outcome.VERBATIM},
        expects="the answer without it, or an error",
    ),
    Case("big-event-20", "big-event-20", _ANSWERS_OR_FAILS),
    Case("echo-key", "echo-key", _FAILS, expects="an error without the key"),
    Case("echo-key-stream", "echo-key-stream", _FAILS, expects="an error, without the key anywhere"),
    Case("whole-cut", "short-json", _FAILS, Act.WHOLE),
    Case("whole-half", "half-json", _FAILS, Act.WHOLE),
    Case("whole-html", "html", _FAILS, Act.WHOLE),
    Case("keepalive-close", "keepalive-close", _ANSWERS, Act.TWICE, expects="both answers, over a fresh connection"),
    Case("extra-answer", "extra-answer", _ANSWERS, Act.THEN_GOOD, expects="the next client gets its own answer"),
    Case(
        "client-leaves-waiting",
        "stall",
        frozenset({Outcome.STOPPED}),
        Act.LEAVE_WAITING,
        "Thinks, and its client leaves before the head",
        "the model is stopped",
    ),
    Case(
        "client-leaves-midway",
        "default?tokens=3000&tps=50",
        frozenset({Outcome.STOPPED}),
        Act.LEAVE_MIDWAY,
        "Streams, and its client leaves after five tokens",
        "the model is stopped",
    ),
    Case(
        "client-leaves-whole",
        "default?tokens=3000&tps=50",
        frozenset({Outcome.STOPPED}),
        Act.LEAVE_WHOLE,
        "Is asked without stream, and its client leaves",
        "the model is stopped",
    ),
    Case(
        "client-half-closes",
        "default",
        _ANSWERS_OR_FAILS,
        Act.HALF_CLOSE,
        "Answers a client that has closed its sending side",
        "the answer, or a closed connection",
    ),
    Case(
        "client-never-reads",
        "flood-64",
        frozenset({Outcome.HELD_UP}),
        Act.NEVER_READ,
        "Offers 64 MiB to a client that does not read",
        "the model is held up",
    ),
    Case(
        "client-sends-garbage",
        "default",
        frozenset({Outcome.ERROR_STATUS}),
        Act.BAD_BODY,
        "Is not even asked: the request is not JSON",
        "a 4xx",
    ),
    Case(
        "nobody-listens",
        "default",
        _FAILS,
        Act.NO_UPSTREAM,
        "Does not listen any more",
        "an error that an SDK notices",
    ),
)


def marker(case: Case) -> str:
    """What the prompt carries."""
    return f"[[torture:{case.name}]]"


def case_of(text: str) -> Case | None:
    """The case that a prompt carries."""
    found = _MARKER.search(text)
    name = found[1] if found else ""
    return next((case for case in CASES if case.name == name), None)


def chosen(patterns: tuple[str, ...]) -> tuple[Case, ...]:
    """The cases whose names match one of the globs; all for none."""
    if not patterns:
        return CASES
    return tuple(case for case in CASES if any(fnmatch(case.name, pattern) for pattern in patterns))
