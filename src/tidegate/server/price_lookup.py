"""Everybody's prices without the table in this process: it is 14 MB, for the few models that a gateway serves.

``python -m tidegate.server.price_lookup`` is the process that has it for a moment: ``[model, address]`` in, the model's
rates out, both JSON.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from threading import Lock
from typing import Final

import msgspec
import structlog

from tidegate.policy.prices import Rates
from tidegate.server.price_table import BuiltInPrices

__all__ = ["PricesApart"]

MOST: Final = 2
"""Models that are looked up so. With more of them the table is worth its memory, and a moment for each is too much."""

PATIENCE: Final = 10.0
"""Seconds for one."""

_log = structlog.get_logger()


class Found(msgspec.Struct):
    """What the process says: ``known`` unless the price depends on the hour."""

    known: bool
    rates: Rates | None = None


class PricesApart:
    """A :data:`tidegate.policy.prices.PriceTable` with the same answers as :class:`BuiltInPrices`. Not for the event
    loop: a model's first question takes a third of a second.

    :param addresses: the base URL of each upstream, by its name.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses
        self._found: dict[tuple[str, str], Rates | None] = {}
        self._here: BuiltInPrices | None = None
        self._lock = Lock()

    def __call__(self, model: str, upstream: str, at: float | None = None) -> Rates | None:
        with self._lock:
            if (model, upstream) in self._found:
                return self._found[(model, upstream)]
            if self._here is None:
                found = _ask(model, self._addresses.get(upstream)) if len(self._found) < MOST else None
                if found is not None and found.known:
                    self._found[(model, upstream)] = found.rates
                    return found.rates
                self._here = BuiltInPrices(self._addresses)
        return self._here(model, upstream, at)


def _ask(model: str, address: str | None) -> Found | None:
    """``None``: no process can be started here, or it did not answer."""
    argv = [sys.executable, "-m", "tidegate.server.price_lookup"]
    asked = msgspec.json.encode([model, address])
    try:
        done = subprocess.run(argv, input=asked, capture_output=True, timeout=PATIENCE, check=True)  # noqa: S603 - this program
        return msgspec.json.decode(done.stdout, type=Found)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        _log.info("prices.no_process", kind=type(error).__name__, effect="the table is loaded here")
        return None


def main() -> None:
    """Answer one question."""
    model, address = msgspec.json.decode(sys.stdin.buffer.read(), type=tuple[str, str | None])
    table = BuiltInPrices({"it": address} if address else {})
    found = Found(known=False) if table.changes(model, "it") else Found(known=True, rates=table(model, "it"))
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
