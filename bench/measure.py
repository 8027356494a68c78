"""Starting relays and measuring one: CPU per token, time to first token, transit, memory."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import LoadResult, LoadSpec
from bench.proc import cpu_seconds, rss_bytes, tree
from bench.relays import ROOT, Relay
from bench.rig import RigError, free_port, get_json, raise_nofile, wait_ready
from bench.shapes import Shape
from bench.stats import percentile

__all__ = ["Measurement", "Running", "measure", "run_load", "spec_for", "start_relay", "upstream_server"]


@dataclass(kw_only=True)
class Measurement:
    """One relay, one shape, one round. Seconds, bytes; NaN where it does not apply."""

    relay: str
    shape: str
    round: int
    tokens: int
    whole: int
    broken: int
    cpu_per_token: float
    tokens_per_second: float
    overhead_p50: float
    overhead_p99: float
    transit_p50: float
    transit_p99: float
    rss_idle: float
    rss_peak: float
    rss_per_stream: float
    problems: list[str] = field(default_factory=list)


@contextlib.contextmanager
def process(argv: list[str], environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child in its own process group, ended with the block: SIGTERM, then SIGKILL."""
    # A `TIDEGATE_` variable that it does not know is a typo to Tidegate, and the rig has some of its own.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_BENCH_")}
    with log.open("wb") as stderr:
        child = subprocess.Popen(
            argv,
            env={**inherited, **environ},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGCONT)
                os.killpg(child.pid, number)
            try:
                child.wait(patience)
                break
            except subprocess.TimeoutExpired:
                continue
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # grandchildren that outlived it


@contextlib.contextmanager
def upstream_server() -> Iterator[int]:
    """The bench's model server; yields its port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-m", "bench.upstream", "--port", str(port)]
        with process(argv, {}, Path(folder) / "upstream.log"):
            if not wait_ready(port, "/stats", 10.0):
                raise RigError("the bench upstream did not start")
            yield port


@dataclass
class Running:
    """A relay that answered. ``child`` is None for ``direct``."""

    relay: Relay
    port: int
    child: subprocess.Popen[bytes] | None
    rss_idle: float = math.nan

    def pids(self) -> list[int]:
        return [] if self.child is None else tree(self.child.pid)

    def freeze(self) -> None:
        """Stop the whole process group, so that a relay that waits for its turn takes nothing from the others."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """To the process group; one that has died shows in the figures, as broken streams."""
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, number)


@contextlib.contextmanager
def start_relay(relay: Relay, upstream_port: int) -> Iterator[Running]:
    """The relay in front of the upstream, ready: two tokens have come through it. Raises Unavailable or RigError."""
    if relay.launch is None:
        yield Running(relay, upstream_port, None)
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's worker is another user
        launch = relay.launch(port, upstream_port, folder)
        log = folder / "relay.log"
        with process(launch.argv, launch.environ, log) as child:
            running = Running(relay, port, child)
            deadline = time.monotonic() + relay.start_timeout
            probe = dataclasses.replace(spec_for(running), streams=1, tokens=2, timeout=10.0)
            while (result := run_load(probe)).whole != 1:
                if child.poll() is not None or time.monotonic() > deadline:
                    last = log.read_text(errors="replace").strip().splitlines()[-1:]
                    state = "exited" if child.poll() is not None else "no stream came through it"
                    raise RigError(f"{relay.name}: {state}; {'; '.join([*result.problems, *last])[:300]}")
                time.sleep(0.2)
            running.rss_idle = rss_bytes(running.pids())
            yield running


def spec_for(running: Running, shape: Shape | None = None) -> LoadSpec:
    """The load for this relay, in this shape."""
    spec = LoadSpec(
        port=running.port,
        path=running.relay.path,
        framing=running.relay.framing,
        headers=dict(running.relay.headers),
        prose=running.relay.prose,
        connections=running.relay.connections,
    )
    if shape is None:
        return spec
    return dataclasses.replace(
        spec,
        streams=shape.streams,
        tokens=shape.tokens,
        interval=shape.interval,
        batches=shape.batches,
        ramp=shape.ramp,
    )


def run_load(spec: LoadSpec) -> LoadResult:
    """One load process, to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=json.dumps(dataclasses.asdict(spec)).encode(),
        capture_output=True,
        cwd=ROOT,
        check=False,
        preexec_fn=raise_nofile,
    )
    if done.returncode:
        raise RigError(f"the load client failed: {done.stderr.decode(errors='replace')[-500:]}")
    document = json.loads(done.stdout)
    document["closed_at"] = {int(key): value for key, value in document["closed_at"].items()}
    return LoadResult(**document)


class MemoryWatch:
    """Samples the RSS of some processes four times a second until stopped."""

    def __init__(self, pids: list[int]) -> None:
        self.pids = pids
        self.peak = rss_bytes(pids)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self) -> None:
        while not self.stopping.wait(0.25):
            self.peak = max(self.peak, rss_bytes(self.pids))

    def __enter__(self) -> MemoryWatch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join()
        self.peak = max(self.peak, rss_bytes(self.pids))


def measure(running: Running, shape: Shape, round_: int) -> Measurement:
    """Run ``shape`` through a relay that runs, and read what it cost."""
    pids = running.pids()
    before = cpu_seconds(pids)
    with MemoryWatch(pids) as memory:
        result = run_load(spec_for(running, shape))
    spent = cpu_seconds(pids) - before
    alone = running.child is None
    return Measurement(
        relay=running.relay.name,
        shape=shape.name,
        round=round_,
        tokens=result.tokens,
        whole=result.whole,
        broken=result.broken,
        cpu_per_token=math.nan if alone or not result.tokens else spent / result.tokens,
        tokens_per_second=result.tokens / result.seconds,
        overhead_p50=percentile(result.overhead, 0.50),
        overhead_p99=percentile(result.overhead, 0.99),
        transit_p50=percentile(result.transit, 0.50),
        transit_p99=percentile(result.transit, 0.99),
        rss_idle=running.rss_idle,
        rss_peak=math.nan if alone else memory.peak,
        rss_per_stream=math.nan if alone else (memory.peak - running.rss_idle) / shape.streams,
        problems=result.problems,
    )


def abort_times(upstream_port: int, expected: int, timeout: float = 10.0) -> dict[int, int]:
    """Stream id -> when the upstream saw its generation aborted; waits until nothing runs there any more."""
    deadline = time.monotonic() + timeout
    while True:
        stats = get_json(upstream_port, "/stats")
        if len(stats["aborts"]) >= expected or time.monotonic() > deadline:
            return {entry["id"]: entry["at"] for entry in stats["aborts"]}
        time.sleep(0.1)
