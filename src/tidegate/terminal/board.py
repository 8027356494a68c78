"""PURE. The live table of ``tidegate top``: what it knows, what a key does, and how a screen of it looks."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from tidegate.terminal.cells import clean, fit, sparkline

__all__ = ["Action", "Board"]

LINGER: Final = 5.0
"""Seconds for which an ended stream is still shown, with its reason."""

HISTORY: Final = 600
"""Figures kept for a sparkline: five minutes at two updates a second."""

REVERSE, DIM, BOLD, PLAIN = "\x1b[7m", "\x1b[2m", "\x1b[1m", "\x1b[0m"
KEYS: Final = "↑↓ select   s soft stop   x cancel   / filter   q quit"


class Action(NamedTuple):
    """What a key asks for."""

    what: Literal["stop", "cancel", "quit"]
    stream: str = ""


class _Column(NamedTuple):
    title: str
    width: int
    right: bool = False


_COLUMNS: Final = (
    _Column("CLIENT", 9),
    _Column("MODEL", 17),
    _Column("UPSTREAM", 9),
    _Column("STATE", 14),
    _Column("AGE", 5, right=True),
    _Column("TOKENS", 6, right=True),
    _Column("TOK/S", 5, right=True),
    _Column("TTFT", 6, right=True),
)
"""79 cells with a space between each two."""

LEAST_WIDTH: Final = sum(column.width + 1 for column in _COLUMNS)

_REPLICA: Final = _Column("REPLICA", 12)
"""Where there are several gateways, and room for it."""


@dataclass(slots=True)
class _Row:
    facts: Mapping[str, Any]
    rate: float = 0.0
    seen: float = 0.0
    ended: float | None = None


@dataclass(slots=True)
class Board:
    """Everything that the screen shows.

    :ivar where: the gateway's address.
    """

    where: str
    rows: dict[str, _Row] = field(default_factory=dict)
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))
    lives: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))
    live: int = 0
    chosen: str | None = None
    filter: str = ""
    typing: bool = False
    message: str = ""
    readers: Mapping[str, Any] = field(default_factory=dict)
    """What readers' pages reported; empty for a key that may not see it."""
    partial: bool = False
    """Streams of another gateway may be missing."""

    def update(self, live: int, streams: Sequence[Mapping[str, Any]], now: float) -> list[str]:
        """A new table; returns the ids of streams that were there and are not any more.

        :param now: seconds, monotonic.
        """
        present = {str(stream["id"]) for stream in streams}
        for stream in streams:
            self._see(stream, now)
        gone = [name for name, row in self.rows.items() if name not in present and row.ended is None]
        for name in gone:
            self.rows[name].ended = now
            self.rows[name].rate = 0.0
        self.live = live
        self.lives.append(live)
        self.rates.append(sum(row.rate for row in self.rows.values()))
        self.tick(now)
        return gone

    def ended(self, stream: Mapping[str, Any]) -> None:
        """What became of a stream that has ended."""
        row = self.rows.get(str(stream["id"]))
        if row is not None:
            row.facts = stream

    def tick(self, now: float) -> None:
        """Time passes: streams that ended a while ago leave."""
        self.rows = {name: row for name, row in self.rows.items() if row.ended is None or now - row.ended < LINGER}

    def key(self, key: str) -> Action | None:
        """A key: a character, or ``up``, ``down``, ``page-up``, ``page-down``, ``home``, ``end``, ``enter``,
        ``escape``, ``backspace``.
        """
        if self.typing:
            self._type(key)
            return None
        self.message = ""
        if key in _STEPS:
            self._move(_STEPS[key])
        elif key == "/":
            self.typing = True
        elif key == "escape":
            self.filter = ""
        elif key in ("q", "\x03"):
            return Action("quit")
        elif key in ("s", "x"):
            return self._act("stop" if key == "s" else "cancel")
        return None

    def visible(self) -> list[tuple[str, _Row]]:
        """The rows that pass the filter, in the order of their beginning."""
        words = self.filter.lower().split()
        return [(name, row) for name, row in self.rows.items() if all(word in _haystack(row) for word in words)]

    def screen(self, width: int, height: int) -> list[str]:
        """``height`` lines of at most ``width`` cells."""
        rows = self.visible()
        at = self._chosen_at(rows)
        room = max(1, height - 5)
        first = max(0, min(at - room // 2, len(rows) - room))
        columns = self._columns(width)
        body = [self._line(name, row, columns, width) for name, row in rows[first : first + room]]
        if not rows:
            body = [f"{DIM}{fit('  no stream' + (' matches the filter' if self.filter else ''), width)}{PLAIN}"]
        head = [*self._totals(width), f"{BOLD}{_cells([column.title for column in columns], columns, width)}{PLAIN}"]
        return [*head, *body, *[""] * (height - len(head) - len(body) - 1), self._foot(width, len(rows))]

    def summary(self) -> dict[str, Any]:
        """For ``--json``."""
        streams = [dict(row.facts) for row in self.rows.values()]
        readers = {"readers": dict(self.readers)} if self.readers else {}
        return {"live": self.live, "streams": streams, **readers, **({"partial": True} if self.partial else {})}

    def _see(self, stream: Mapping[str, Any], now: float) -> None:
        name = str(stream["id"])
        row = self.rows.get(name)
        if row is None:
            self.rows[name] = _Row(stream, seen=now)
            return
        if now > row.seen:
            rate = max(0, stream["tokens"] - row.facts["tokens"]) / (now - row.seen)
            # Smoothed over about two updates: a figure that jumps cannot be read.
            row.rate = rate if not row.rate else (row.rate + rate) / 2
        row.facts, row.seen, row.ended = stream, now, None

    def _type(self, key: str) -> None:
        if key in ("enter", "escape"):
            self.typing = False
            self.filter = "" if key == "escape" else self.filter
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif len(key) == 1 and key.isprintable() and len(self.filter) < 60:
            self.filter += key

    def _move(self, step: int) -> None:
        rows = self.visible()
        if rows:
            self.chosen = rows[max(0, min(len(rows) - 1, self._chosen_at(rows) + step))][0]

    def _chosen_at(self, rows: list[tuple[str, _Row]]) -> int:
        """Where the selection stands; on the first row when its own is not there."""
        at = next((place for place, (name, _) in enumerate(rows) if name == self.chosen), 0)
        self.chosen = rows[at][0] if rows else None
        return at

    def _act(self, what: Literal["stop", "cancel"]) -> Action | None:
        self._chosen_at(self.visible())
        if self.chosen is None or self.rows[self.chosen].ended is not None:
            self.message = "no live stream is selected"
            return None
        return Action(what, self.chosen)

    def _totals(self, width: int) -> list[str]:
        rate = self.rates[-1] if self.rates else 0.0
        tokens = sum(int(row.facts["tokens"]) for row in self.rows.values())
        live = f"{self.live} live{' or more' if self.partial else ''}"
        first = f"tidegate top  {self.where}  {live}  {rate:.0f} tokens/s  {tokens} tokens shown"
        half = max(8, (width - 22) // 2)
        bars = (sparkline(list(self.rates), half), sparkline(list(self.lives), half))
        return [
            BOLD + fit(first, width) + PLAIN,
            fit(f"tokens/s {bars[0]}    live {bars[1]}", width),
            self._readers(width),
        ]

    def _readers(self, width: int) -> str:
        if not self.readers:
            return ""
        ratio, latency = self.readers.get("completion_ratio"), self.readers.get("perceived_latency")
        said = [
            "" if ratio is None else f"{ratio:.0%} read to the end",
            "" if latency is None else f"first text after {_seconds(latency)}",
            f"{self.readers.get('reports', 0)} reports",
        ]
        return fit("readers: " + "  ".join(filter(None, said)), width)

    def _columns(self, width: int) -> Sequence[_Column]:
        """What is shown, as wide as there is room for."""
        several = any("replica" in row.facts for row in self.rows.values())
        columns = [*_COLUMNS, _REPLICA] if several and width > LEAST_WIDTH + _REPLICA.width else [*_COLUMNS]
        extra = max(0, width - sum(column.width + 1 for column in columns))
        for place, more in enumerate((extra // 3, extra - extra // 3)):
            columns[place] = columns[place]._replace(width=columns[place].width + more)
        return columns

    def _line(self, name: str, row: _Row, columns: Sequence[_Column], width: int) -> str:
        facts = row.facts
        state = str(facts["reason"] or facts["state"])
        cells = [
            str(facts["client"] or "-"),
            str(facts["model"] or "-"),
            str(facts["upstream"] or "-"),
            "paused" if facts.get("paused") else state,
            _age(facts["duration"]),
            str(facts["tokens"]),
            f"{row.rate:.0f}" if row.ended is None else "",
            "" if facts["ttft"] is None else _seconds(facts["ttft"]),
            str(facts.get("replica", "")),
        ]
        line = _cells(cells, columns, width)
        if name == self.chosen:
            return f"{REVERSE}{line}{PLAIN}"
        return f"{DIM}{line}{PLAIN}" if row.ended is not None else line

    def _foot(self, width: int, count: int) -> str:
        if self.typing:
            return fit(f"filter: {self.filter}▏  Enter keeps it, Esc drops it", width)
        said = clean(self.message) or (f"filter: {self.filter} ({count})   " if self.filter else "") + KEYS
        return DIM + fit(said, width) + PLAIN


_STEPS: Final = {
    "up": -1,
    "k": -1,
    "down": 1,
    "j": 1,
    "page-up": -10,
    "page-down": 10,
    "home": -(10**9),
    "end": 10**9,
}


def _cells(texts: Sequence[str], columns: Sequence[_Column], width: int) -> str:
    parts = [fit(text, column.width, right=column.right) for text, column in zip(texts, columns, strict=False)]
    return fit(" ".join(parts), width)


def _haystack(row: _Row) -> str:
    names = ("id", "client", "model", "upstream", "state", "reason", "replica")
    return " ".join(str(row.facts.get(name) or "") for name in names).lower()


def _age(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f}s"
    return f"{seconds // 60:.0f}m" if seconds < 6000 else f"{seconds // 3600:.0f}h"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms" if seconds < 10 else f"{seconds:.0f}s"
