"""The parts beside the shapes: a burst of starts, cancel latency, memory over rounds, a reader that does not read."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import resource
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.load import Load
from bench.measure import (
    MemoryWatch,
    Running,
    abort_times,
    run_load,
    spec_for,
    start_relay,
    upstream_server,
)
from bench.proc import rss_bytes
from bench.relays import Relay, Unavailable
from bench.rig import RigError, get_json
from bench.stats import median, percentile

if TYPE_CHECKING:
    from bench.run import Plan, Results

__all__ = ["burst", "cancel", "live", "memory", "stalled"]

OFFERED = 200_000_000

SPARE = 100
"""Files of a relay that are no streams."""


def chosen(plan: Plan) -> list[Relay]:
    """The relays of the plan that these parts are about: no baseline, no second framing, nothing slow."""
    framings = ("tidegate-ndjson", "tidegate-gzip")
    return [one for one in plan.relays if one.launch is not None and not one.slow and one.name not in framings]


@contextlib.contextmanager
def fresh(relay: Relay) -> Iterator[tuple[Running, int]]:
    """A relay just started, with an upstream of its own; yields it and the upstream's port."""
    with upstream_server() as upstream, start_relay(relay, upstream) as running:
        yield running, upstream


def each(plan: Plan, results: Results, what: str) -> Iterator[tuple[Running, int]]:
    """Every relay that can be started, one at a time."""
    from bench.run import progress

    for relay in chosen(plan):
        if relay.name in results.missing:
            continue
        try:
            with fresh(relay) as pair:
                progress(f"{what}: {relay.name}")
                yield pair
        except (Unavailable, RigError) as error:
            results.missing[relay.name] = str(error)
            progress(f"{relay.name}: {error}")


def burst(plan: Plan, results: Results) -> None:
    """50 streams asked for at the same moment: time to the first token beyond the upstream's own, in milliseconds."""
    for running, _ in each(plan, results, "50 streams at once"):
        spec = dataclasses.replace(spec_for(running), streams=50, tokens=20)
        run_load(spec)  # warm: the pool of upstream connections is there
        rounds = [run_load(spec).overhead for _ in range(plan.rounds)]
        results.burst.append(
            {
                "relay": running.relay.name,
                "p50": median([percentile(one, 0.50) for one in rounds]) * 1e3,
                "p99": median([percentile(one, 0.99) for one in rounds]) * 1e3,
            }
        )


def cancel_once(running: Running, upstream: int, streams: int, interval: float) -> tuple[list[float], int, int]:
    """Half of the streams hang up midway while the rest stream on.

    Returns the latencies in milliseconds, how many were closed, and how many generations the upstream never saw
    aborted (they ran to their end for nobody).
    """
    get_json(upstream, "/stats?reset")
    spec = dataclasses.replace(
        spec_for(running),
        streams=streams,
        tokens=100,
        interval=interval,
        ramp=50 * interval,
        cancel_after=40,
        cancel_streams=streams // 2,
    )
    result = run_load(spec)
    aborted = abort_times(upstream, len(result.closed_at))
    latencies = [(aborted[ident] - at) / 1e6 for ident, at in result.closed_at.items() if ident in aborted]
    return latencies, result.cancelled, result.cancelled - len(latencies)


def cancel(plan: Plan, results: Results) -> None:
    """Client gone → upstream closed, at 50 streams and at 500 streams and 25,000 tokens/s; medians over rounds."""
    for running, upstream in each(plan, results, "cancel latency"):
        for streams, interval in ((50, 0.01), (500, 0.02)):
            rounds = [cancel_once(running, upstream, streams, interval) for _ in range(plan.rounds)]
            results.cancel.append(
                {
                    "relay": running.relay.name,
                    "streams": streams,
                    "p50": median([percentile(one[0], 0.50) for one in rounds]),
                    "p99": median([percentile(one[0], 0.99) for one in rounds]),
                    "closed": sum(one[1] for one in rounds),
                    "never aborted": sum(one[2] for one in rounds),
                }
            )


def live(plan: Plan, results: Results) -> None:
    """10,000 streams at one token a second, all at once: how many end whole, and what one process holds for them.

    Fewer where a process may not open 20,000 files.
    """
    from bench.run import progress

    streams = min(10_000, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE) // 2)
    for running, _ in each(plan, results, f"{streams:,} live streams"):
        if running.relay.name not in ("tidegate", "nginx"):
            continue
        run_load(dataclasses.replace(spec_for(running), streams=50, tokens=20, interval=0.005))  # warm
        spec = dataclasses.replace(
            spec_for(running), streams=streams, tokens=30, interval=1.0, ramp=15.0, batches=1, timeout=300.0
        )
        with MemoryWatch(running.pids()) as watch:
            result = run_load(spec)
        for problem in dict.fromkeys(result.problems[:5]):
            progress(f"{running.relay.name}: {problem}")
        results.live.append(
            {
                "relay": running.relay.name,
                "streams": spec.streams,
                "whole": result.whole,
                "tokens/s": result.tokens / result.seconds,
                "RSS MB": watch.peak / 1e6,
                "transit p99 ms": percentile(result.transit, 0.99) * 1e3,
            }
        )


def memory(plan: Plan, results: Results) -> None:
    """RSS after 20 rounds of 50 streams against after round 2."""
    for running, _ in each(plan, results, "memory over 20 rounds"):
        spec = dataclasses.replace(spec_for(running), streams=50, tokens=50, interval=0.005)
        after: list[float] = []
        for _ in range(20):
            run_load(spec)
            after.append(rss_bytes(running.pids()))
        results.memory.append(
            {
                "relay": running.relay.name,
                "after round 2": after[1] / 1e6,
                "after round 20": after[-1] / 1e6,
                "growth %": (after[-1] / after[1] - 1) * 100,
            }
        )


def stalled(plan: Plan, results: Results) -> None:
    """200 MB offered as fast as they are taken, to a client that never reads: what does the relay hold?"""
    for running, upstream in each(plan, results, "a reader that does not read"):
        run_load(dataclasses.replace(spec_for(running), streams=50, tokens=50, interval=0.005))  # warm
        get_json(upstream, "/stats?reset")
        pids = running.pids()
        before = rss_bytes(pids)
        size = 16_000
        spec = dataclasses.replace(spec_for(running), tokens=OFFERED // size, interval=0.0, size=size)
        with socket.create_connection(("127.0.0.1", running.port)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            sock.sendall(Load(spec).request(0))
            with MemoryWatch(pids) as watch:
                taken = settle(upstream)
        results.stalled.append(
            {
                "relay": running.relay.name,
                "taken from upstream MB": taken / 1e6,
                "growth KB": (watch.peak - before) / 1e3,
            }
        )


def settle(upstream: int, quiet: float = 1.0, limit: float = 30.0) -> float:
    """The bytes that the upstream could send when it has sent no more for ``quiet`` seconds."""
    begin = changed = time.monotonic()
    sent = -math.inf
    while time.monotonic() - begin < limit and time.monotonic() - changed < quiet:
        time.sleep(0.1)
        now: float = get_json(upstream, "/stats")["sent_bytes"]
        if now != sent:
            sent, changed = now, time.monotonic()
    return sent
