"""Two workers beside one, at saturation: tokens a second, and what a token costs.

The rig (load client and model server) takes its own share of the same cores. With few of them two workers cannot reach
twice as much, however well they share: so the cost of a token is told too, and what follows from it where every worker
has a core of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.load import LoadSpec
from bench.measure import Running, run_load, spec_for, start_relay, upstream_server
from bench.proc import cpu_seconds
from bench.relays import Launch, Relay, tidegate_launch
from bench.rig import RigError
from bench.stats import median

__all__ = ["run"]

STREAMS, TOKENS = 200, 1000

HEAVY = {"TIDEGATE_SAFETY__USE": "strict", "TIDEGATE_SERVER__FAST_PATH": "false"}
"""A token costs the gateway several times what it costs the rig, so that the gateway is what saturates."""


def relay(workers: int, **environ: str) -> Relay:
    """The gateway with so many workers."""

    def launch(port: int, upstream: int, _: Path) -> Launch:
        return tidegate_launch(
            port, upstream, TIDEGATE_LEDGER__URL="off", TIDEGATE_SERVER__WORKERS=str(workers), **environ
        )

    return Relay(f"{workers} workers", launch, prose=bool(environ))


def once(running: Running) -> tuple[float, float]:
    """Tokens a second, and CPU seconds a token."""
    given = spec_for(running).__dict__ | {"streams": STREAMS, "tokens": TOKENS, "interval": 0.0}
    before = cpu_seconds(running.pids())
    result = run_load(LoadSpec(**given))
    if result.broken:
        raise RigError(f"{running.relay.name}: {result.problems[:1]}")
    return result.tokens / result.seconds, (cpu_seconds(running.pids()) - before) / result.tokens


def compare(what: str, rounds: int, say: Callable[[str], None], **environ: str) -> dict[str, Any]:
    """Interleaved rounds of one and two workers; medians."""
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(upstream_server())
        started = {count: stack.enter_context(start_relay(relay(count, **environ), upstream)) for count in found}
        for turn in range(rounds + 1):
            for count, running in started.items():
                one = once(running)
                if turn:  # the first one warms up
                    found[count].append(one)
            say(f"workers, {what}: round {turn}/{rounds}")
    rate = {count: median([tokens for tokens, _ in each]) for count, each in found.items()}
    cost = {count: median([cpu for _, cpu in each]) for count, each in found.items()}
    return {
        "gateway": what,
        "one: tokens a second": rate[1],
        "two: tokens a second": rate[2],
        "two ÷ one": median([two / one for (one, _), (two, _) in zip(found[1], found[2], strict=True)]),
        "one: CPU µs a token": cost[1] * 1e6,
        "two: CPU µs a token": cost[2] * 1e6,
        "two ÷ one, a core each": 2 * cost[1] / cost[2],
    }


def run(rounds: int) -> list[dict[str, Any]]:
    """As it is, and with a token that costs more than the rig."""
    from bench.run import progress

    return [compare("as it is", rounds, progress), compare("strict, plain ASGI", rounds, progress, **HEAVY)]
