"""``python -m bench``: the relay beside its peers. README.md says how it measures."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Sequence

from bench.relays import RELAYS, Relay
from bench.rig import raise_nofile
from bench.run import Plan, run
from bench.shapes import SHAPES

PARTS = ("shapes", "burst", "cancel", "memory", "live", "stalled", "comply", "torture", "batch", "proxies", "workers")


def names(text: str, known: Sequence[str], what: str) -> list[str]:
    """A comma-separated choice, checked."""
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    for name in chosen:
        if name not in known:
            raise SystemExit(f"bench: no {what} {name!r}; there are: {', '.join(known)}")
    return chosen


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", help=f"relays, comma-separated: {', '.join(RELAYS)}")
    parser.add_argument("--shape", help=f"shapes, comma-separated: {', '.join(SHAPES)}")
    parser.add_argument("--part", help=f"parts, comma-separated: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--quick", action="store_true", help="first shape, 2 rounds, tidegate and nginx, nothing saved")
    parser.add_argument("--no-save", action="store_true", help="print only; leave bench/results alone")
    parser.add_argument("--install", action="store_true", help="first install the peers that are missing (PyPI)")
    return parser.parse_args(argv)


def plan_of(options: argparse.Namespace) -> Plan:
    """What the command line asks for."""
    quick = options.quick
    default_relays = [name for name in RELAYS if name != "custom"]
    if quick:
        default_relays = ["direct", "tidegate", "tidegate-ndjson", "nginx"]
    relays: list[Relay] = [
        RELAYS[name] for name in (names(options.only, list(RELAYS), "relay") if options.only else default_relays)
    ]
    shapes = names(options.shape, list(SHAPES), "shape") if options.shape else list(SHAPES)
    if quick and not options.shape:
        shapes = shapes[:1]
    parts = names(options.part, PARTS, "part") if options.part else list(PARTS)
    if (quick or options.shape) and not options.part:
        parts = ["shapes"]
    return Plan(
        relays=relays,
        shapes=[SHAPES[name] for name in shapes],
        parts=parts,
        rounds=2 if quick and options.rounds == 5 else options.rounds,
        save=not (quick or options.no_save),
        slow_everywhere=bool(options.only and options.shape),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when everything ran (whatever the figures are), 1 when the rig failed."""
    options = parse(argv)
    raise_nofile()
    # So that relays and upstreams end with the run, also when a supervisor ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.install:
        from bench.install import install_peers

        install_peers()
    with contextlib.suppress(KeyboardInterrupt):
        return run(plan_of(options))
    return 130


if __name__ == "__main__":
    sys.exit(main())
