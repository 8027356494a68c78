"""``Retry-After`` (RFC 9110 §10.2.3), as servers really send it: whole seconds, fractions, milliseconds, dates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["retry_after"]


def retry_after(headers: Mapping[str, str], *, now_epoch: float) -> float | None:
    """Seconds that an answer asks to wait; 0 for a moment that has passed, ``None`` when it asks nothing.

    ``retry-after-ms`` is the finer one, so it wins.

    :param headers: must find names in lower case.
    :param now_epoch: seconds since 1970.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    seconds = _number(value)
    if seconds is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:  # "-0000" and a missing zone: HTTP dates are always GMT
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now_epoch)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None
