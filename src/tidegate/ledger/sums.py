"""What ``tables.totals`` keeps of the legs that come and go, added up before it is written: forty streams of one key
are one change of its hour.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from tidegate.ledger.entries import LegRow
from tidegate.ledger.statements import add
from tidegate.ledger.tables import totals

__all__ = ["count"]

_HOUR: Final = 3600

Key = tuple[str, str, str, int]


def count(connection: Connection, rows: Iterable[LegRow], sign: int = 1) -> None:
    """In the transaction in which the rows themselves come.

    :param sign: -1 for rows that go.
    """
    alike: dict[tuple[str, str, str, str, int], list[int]] = {}
    for row in rows:
        kind = (row.key_id, row.model, row.tags, row.reason, int(row.ended_at // _HOUR))
        _add_to(alike, kind, _figures(row))
    found: dict[Key, list[int]] = {}
    for (key_id, model, tags, reason, hour), figures in alike.items():
        changes = [sign * figure for figure in figures]
        for dimension, value in (("all", ""), ("key", key_id), ("model", model), *_tags(tags)):
            _add_to(found, (dimension, value, reason, hour), changes)
    # In one order, whoever writes: the pages of the table then come one after another.
    add(connection, totals, [(*key, *found[key]) for key in sorted(found)])


def _add_to(sums: dict[Any, list[int]], key: Any, figures: list[int]) -> None:
    known = sums.get(key)
    sums[key] = figures if known is None else list(map(int.__add__, known, figures))


def _figures(row: LegRow) -> list[int]:
    """A stream is its final leg. What is unknown is in no sum; what cost nothing because it brought nothing is not
    unpriced.
    """
    prompt, output = row.prompt_tokens or 0, row.output_tokens or 0
    unpriced = row.final if row.cost is None and prompt + output > 0 else 0
    tokens = (prompt, row.cached_tokens or 0, output, row.reasoning_tokens or 0)
    return [row.final, *tokens, row.cost or 0, row.final * row.estimated, unpriced]


@lru_cache(maxsize=1024)
def _tags(tags: str) -> tuple[tuple[str, str], ...]:
    pairs: dict[str, Any] = msgspec.json.decode(tags)
    return tuple(("tag", f"{name}={value}") for name, value in pairs.items())
