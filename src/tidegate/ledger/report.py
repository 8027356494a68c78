"""Reports over the ledger: who used what, what it cost, how it ended.

They come from ``tables.totals``, in the order of its key, and not from a million rows. What an hour that is cut by
``since`` adds comes from the rows themselves, so every figure is exact; only percentiles are of the latest
:data:`MOST_TIMES` answers.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Integer, Select, case, cast, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from tidegate.ledger.entries import GATEWAY_CRASH
from tidegate.ledger.tables import legs, seen, totals
from tidegate.wire.seen import completion_ratio

__all__ = ["GROUPS", "MOST_TIMES", "Group", "Query", "since_of", "usage"]

Group = Literal["key", "tag", "model", "reason", "day"]
GROUPS: Final[Sequence[Group]] = get_args(Group)

MOST_TIMES: Final = 100_000
"""Answers whose times percentiles are made of, and readers' reports that are counted: the latest ones."""

COMPLETED: Final = ("stop", "length", "tool_calls", "content_filter", "filtered", "soft_stop")
"""Reasons of streams that came to the end that was wanted."""

_HOUR: Final = 3600
_DAY: Final = 86400
_NANOS: Final = 1_000_000_000
_UNITS: Final = {"s": 1, "m": 60, "h": _HOUR, "d": _DAY, "w": 7 * _DAY}
_SUMS: Final = (
    *("streams", "prompt_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
    *("cost", "estimated", "unpriced"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a report is of."""

    by: Group = "key"
    since: float | None = None
    """Unix seconds; streams that ended before are left out."""
    reason: str | None = None
    """Only streams that ended so."""


def since_of(text: str, now: float) -> float:
    """``30d``, ``12h``, ``90m``, ``today``, a date or a time of ISO 8601 (UTC when it does not say) as Unix seconds.

    :raises ValueError: it is none of them.
    """
    text = text.strip()
    if text == "today":
        return now // _DAY * _DAY
    if match := re.fullmatch(r"(\d{1,6})([smhdw])", text):
        return now - int(match[1]) * _UNITS[match[2]]
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def usage(connection: Connection, query: Query) -> Iterator[dict[str, Any]]:
    """One object for each group, in the order of its name.

    ``cost`` is in US dollars, ``None`` where nothing has a price; ``unpriced`` streams are not in it. ``unknown``
    streams are those of gateways that died: their tokens and cost are in no sum, and where nothing else is, the sums
    are ``None``. ``readers`` pages reported, of which ``readers_completion_ratio`` finished; ``perceived`` is what
    passed from submit to the first text painted, in seconds. By model there are the percentiles of TTFT and TPOT, in
    seconds, of the ``timed`` latest answers.
    """
    sqlite = connection.dialect.name == "sqlite"
    groups: dict[str, _Sums] = defaultdict(_Sums)
    for statement in _statements(query, sqlite=sqlite):
        for row in connection.execute(statement):
            groups[str(row.value)].add(row)
    times = _times(connection, query) if query.by == "model" else {}
    pages: dict[str, _Pages] = defaultdict(_Pages)
    for row in connection.execute(_seen(query, sqlite=sqlite)):
        pages[str(row.value)].add(row)
    for name, sums in sorted(groups.items()):
        shown = {query.by: _day(name) if query.by == "day" else name, **sums.shown(), **pages[name].shown()}
        if query.by == "model":
            for which in ("ttft", "tpot"):
                shown.update(_percentiles(which, times.get((name, which), []), (50, 95, 99)))
            shown["timed"] = len(times.get((name, "ttft"), []))
        yield shown


class _Sums:
    """Figures of one group."""

    def __init__(self) -> None:
        self._sums = dict.fromkeys(_SUMS, 0)
        self._reasons: dict[str, int] = defaultdict(int)

    def add(self, row: Any) -> None:
        streams = int(row.streams or 0)
        self._reasons[row.reason] += streams
        if row.reason == GATEWAY_CRASH:
            # Rows of former versions say zero, and that they are estimated.
            self._sums["streams"] += streams
            return
        for name in _SUMS:
            self._sums[name] += int(getattr(row, name) or 0)

    def shown(self) -> dict[str, Any]:
        sums = self._sums
        streams, unknown = sums["streams"], self._reasons[GATEWAY_CRASH]
        nothing = bool(unknown) and streams == unknown
        return {
            "streams": streams,
            **{name: None if nothing else sums[name] for name in _SUMS[1:5]},
            "cost": None if nothing or (sums["unpriced"] and not sums["cost"]) else sums["cost"] / _NANOS,
            "unpriced": sums["unpriced"],
            "unknown": unknown,
            "estimated_share": None if nothing else _share(sums["estimated"], streams - unknown),
            "completion_ratio": _share(sum(self._reasons[reason] for reason in COMPLETED), streams),
            "cancel_ratio": _share(self._reasons["client_cancel"], streams),
        }


class _Pages:
    """What readers' pages reported of one group."""

    def __init__(self) -> None:
        self._reports = 0
        self._ends: dict[str, int] = defaultdict(int)
        self._times: list[float] = []

    def add(self, row: Any) -> None:
        self._reports += 1
        if row.reader_end is not None:
            self._ends[row.reader_end] += 1
        if row.perceived is not None:
            self._times.append(row.perceived)

    def shown(self) -> dict[str, Any]:
        ratio = completion_ratio(self._ends)
        return {
            "readers": self._reports,
            "readers_completion_ratio": None if ratio is None else round(ratio, 6),
            **_percentiles("perceived", self._times, (50, 95)),
        }


def _statements(query: Query, *, sqlite: bool) -> Iterator[Select[Any]]:
    """Over the whole hours, and over the rows of the hour that ``since`` cuts."""
    dimension = "all" if query.by in ("reason", "day") else query.by
    # `//` of SQLAlchemy is the databases' own `/` of whole numbers.
    value: ColumnElement[Any] = {"reason": totals.c.reason, "day": totals.c.hour // 24}.get(query.by, totals.c.value)
    whole = select(value.label("value"), totals.c.reason, *(func.sum(totals.c[name]).label(name) for name in _SUMS))
    whole = whole.where(totals.c.dimension == dimension)
    if query.reason is not None:
        whole = whole.where(totals.c.reason == query.reason)
    border = None
    if query.since is not None:
        border = -int(-query.since // _HOUR)
        whole = whole.where(totals.c.hour >= border)
    yield whole.group_by(value, totals.c.reason)
    if query.since is not None and border is not None and border * _HOUR > query.since:
        yield _cut_hour(query, query.since, border * _HOUR, sqlite=sqlite)


def _group_of_legs(query: Query, *, sqlite: bool) -> tuple[Any, ColumnElement[Any]]:
    """What to select from, and by which value, when rows are read themselves."""
    source: Any = legs
    value: ColumnElement[Any]
    if query.by == "tag":
        pairs = func.json_each(legs.c.tags) if sqlite else func.jsonb_each_text(legs.c.tags.cast(JSONB))
        tags = pairs.table_valued("key", "value", name="tags")
        source, value = legs.join(tags, literal(value=True)), tags.c.key.concat("=").concat(tags.c.value)
    elif query.by == "day":
        value = cast(func.floor(legs.c.ended_at / _DAY), Integer)
    else:
        value = {"key": legs.c.key_id, "model": legs.c.model, "reason": legs.c.reason}[query.by]
    return source, value


def _cut_hour(query: Query, since: float, border: float, *, sqlite: bool) -> Select[Any]:
    source, value = _group_of_legs(query, sqlite=sqlite)
    unpriced = (legs.c.cost.is_(None)) & (legs.c.prompt_tokens + legs.c.output_tokens > 0)
    figures = {
        "streams": legs.c.final,
        "cost": func.coalesce(legs.c.cost, 0),
        "estimated": legs.c.final * legs.c.estimated,
        "unpriced": case((unpriced, legs.c.final), else_=0),
    }
    sums = (func.sum(figures.get(name, legs.c.get(name))).label(name) for name in _SUMS)
    cut = select(value.label("value"), legs.c.reason, *sums).select_from(source)
    cut = cut.where(legs.c.ended_at >= since, legs.c.ended_at < border)
    if query.reason is not None:
        cut = cut.where(legs.c.reason == query.reason)
    return cut.group_by(value, legs.c.reason)


def _seen(query: Query, *, sqlite: bool) -> Select[Any]:
    """The latest reports, each with the group of its stream."""
    latest = select(seen).order_by(seen.c.ended_at.desc()).limit(MOST_TIMES)
    if query.since is not None:
        latest = latest.where(seen.c.ended_at >= query.since)
    reports = latest.subquery()
    source, value = _group_of_legs(query, sqlite=sqlite)
    found = select(value.label("value"), reports.c.reader_end, reports.c.perceived)
    found = found.select_from(source.join(reports, legs.c.id == reports.c.leg_id))
    return found if query.reason is None else found.where(legs.c.reason == query.reason)


def _times(connection: Connection, query: Query) -> dict[tuple[str, str], list[float]]:
    latest = select(legs.c.model, legs.c.ttft, legs.c.tpot).where(legs.c.final == 1)
    if query.since is not None:
        latest = latest.where(legs.c.ended_at >= query.since)
    if query.reason is not None:
        latest = latest.where(legs.c.reason == query.reason)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for model, ttft, tpot in connection.execute(latest.order_by(legs.c.ended_at.desc()).limit(MOST_TIMES)):
        if ttft is not None:
            found[(model, "ttft")].append(ttft)
        if tpot is not None:
            found[(model, "tpot")].append(tpot)
    return found


def _percentiles(which: str, times: list[float], wanted: Sequence[int]) -> dict[str, float | None]:
    times.sort()
    last = len(times) - 1
    return {
        f"{which}_p{percent}": round(times[round(last * percent / 100)], 6) if times else None for percent in wanted
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


def _day(number: str) -> str:
    return datetime.fromtimestamp(int(number) * _DAY, UTC).date().isoformat()
