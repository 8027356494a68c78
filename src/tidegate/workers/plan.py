"""PURE. Who does what: the sockets of each worker, its share of what a process may have, when it is started again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tidegate.server.options import GatewayOptions

__all__ = ["GOOD", "assigned", "pause", "share"]

GOOD: Final = 30.0
"""Seconds for which a worker must have served so that its death counts as the first one."""

PAUSES: Final = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before a worker is started again, by how many have died before without serving well."""


def pause(failures: int) -> float:
    """:param failures: deaths in a row, before this one."""
    return PAUSES[min(failures, len(PAUSES) - 1)]


def assigned(sockets: int, workers: Sequence[int]) -> dict[int, list[int]]:
    """The sockets that each worker accepts from: its own, and those of workers that are not there.

    A socket that nobody accepts from would let its connections wait. With one for all, everybody accepts from it.

    :param workers: numbers of those that serve; from 0.
    """
    if sockets == 1:
        return {worker: [0] for worker in workers}
    found: dict[int, list[int]] = {worker: [] for worker in workers}
    for place in range(sockets) if workers else ():
        found[place if place in found else workers[place % len(workers)]].append(place)
    return found


def share(options: GatewayOptions, number: int, count: int) -> GatewayOptions:
    """The options of one worker: what bounds a process is divided, so that all together keep to it.

    :param number: of the worker, from 0.
    """

    def part(whole: int, least: int = 1) -> int:
        return max(least, whole // count + (number < whole % count))

    return replace(
        options,
        server=replace(options.server, workers=1, max_streams=part(options.server.max_streams)),
        upstreams=tuple(
            replace(
                upstream,
                max_connections=part(upstream.max_connections),
                max_idle_connections=part(upstream.max_idle_connections, 0),
            )
            for upstream in options.upstreams
        ),
    )
