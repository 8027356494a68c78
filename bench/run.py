"""One run of the benchmark: interleaved rounds, then the other parts, then the report."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from bench.measure import Measurement, Running, measure, start_relay, upstream_server
from bench.relays import Relay, Unavailable
from bench.rig import RigError
from bench.shapes import Shape

__all__ = ["Plan", "Results", "progress", "run"]


@dataclass(kw_only=True)
class Plan:
    """What is to be run."""

    relays: list[Relay]
    shapes: list[Shape]
    parts: list[str]
    rounds: int
    save: bool
    slow_everywhere: bool


@dataclass
class Results:
    """All that was measured, and what could not be and why."""

    measurements: list[Measurement] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    """Relay -> why it has no figures."""
    burst: list[dict[str, Any]] = field(default_factory=list)
    cancel: list[dict[str, Any]] = field(default_factory=list)
    memory: list[dict[str, Any]] = field(default_factory=list)
    live: list[dict[str, Any]] = field(default_factory=list)
    stalled: list[dict[str, Any]] = field(default_factory=list)
    comply: dict[str, Any] = field(default_factory=dict)
    torture: list[dict[str, Any]] = field(default_factory=list)
    missing_torture: dict[str, str] = field(default_factory=dict)
    batch: list[dict[str, Any]] = field(default_factory=list)
    proxies: list[dict[str, Any]] = field(default_factory=list)
    workers: list[dict[str, Any]] = field(default_factory=list)


STARTED = time.monotonic()


def progress(text: str) -> None:
    """One line on standard error, with the minutes so far."""
    print(f"[{(time.monotonic() - STARTED) / 60:5.1f} min] {text}", file=sys.stderr, flush=True)


def us(value: float) -> str:
    return f"{value * 1e6:.1f} us"


def ms(value: float) -> str:
    return f"{value * 1e3:.2f}"


def run_shape(plan: Plan, shape: Shape, results: Results) -> None:
    """Every relay in this shape, A B C, A B C …; all are started first, and all but the one measured are stopped."""
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(upstream_server())
        started: list[Running] = []
        for relay in plan.relays:
            if relay.slow and shape is not plan.shapes[0] and not plan.slow_everywhere:
                continue
            if relay.name in results.missing:
                continue
            try:
                running = stack.enter_context(start_relay(relay, upstream))
            except (Unavailable, RigError) as error:
                results.missing[relay.name] = str(error)
                progress(f"{relay.name}: {error}")
                continue
            running.freeze()
            started.append(running)
        for round_ in range(plan.rounds):
            for running in started:
                running.thaw()
                try:
                    one = measure(running, shape, round_)
                except RigError as error:
                    progress(f"{running.relay.name}: {error}")
                    continue
                finally:
                    running.freeze()
                results.measurements.append(one)
                progress(
                    f"{shape.name} round {round_ + 1}/{plan.rounds} {one.relay:15} CPU {us(one.cpu_per_token):>9}/token"
                    f"  {one.tokens_per_second:8.0f} tok/s  ttft+ {ms(one.overhead_p50)}/{ms(one.overhead_p99)} ms"
                    f"  transit {ms(one.transit_p50)}/{ms(one.transit_p99)} ms  RSS {one.rss_peak / 1e6:.0f} MB"
                    + (f"  BROKEN {one.broken}: {one.problems[:1]}" if one.broken else "")
                )


def run(plan: Plan) -> int:
    """Run the plan, print the report, save it when asked to."""
    from bench.report import print_report, save_report

    results = Results()
    if "shapes" in plan.parts:
        for shape in plan.shapes:
            run_shape(plan, shape, results)
    run_parts(plan, results)
    print_report(plan, results)
    if plan.save:
        progress(f"saved in {save_report(plan, results)}")
    return 0 if results.measurements or "shapes" not in plan.parts else 1


def run_parts(plan: Plan, results: Results) -> None:
    """The parts beside the shapes; each is one function in bench/parts.py or bench/comply.py."""
    from bench import parts

    if "burst" in plan.parts:
        parts.burst(plan, results)
    if "cancel" in plan.parts:
        parts.cancel(plan, results)
    if "memory" in plan.parts:
        parts.memory(plan, results)
    if "live" in plan.parts:
        parts.live(plan, results)
    if "stalled" in plan.parts:
        parts.stalled(plan, results)
    if "comply" in plan.parts:
        from bench import comply

        results.comply = comply.run()
    if "torture" in plan.parts:
        from bench import torture

        asked = tuple(relay.name for relay in plan.relays if relay.name in torture.GATEWAYS)
        results.torture, results.missing_torture = torture.run(asked)
    if "batch" in plan.parts:
        from bench.batch import run as run_batch

        results.batch = run_batch(plan.rounds)
    if "proxies" in plan.parts:
        from bench.proxies import run as run_proxies

        results.proxies = run_proxies(plan.rounds)
    if "workers" in plan.parts:
        from bench.workers import run as run_workers

        results.workers = run_workers(plan.rounds)
