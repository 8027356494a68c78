"""What a proxy before the gateway adds: nginx, HAProxy and Caddy, configured by ``tidegate edge``."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.load import LoadSpec
from bench.measure import abort_times, process, run_load, start_relay, upstream_server
from bench.proc import cpu_seconds, tree
from bench.relays import RELAYS, Unavailable
from bench.rig import RigError, free_port, get_json, wait_ready
from bench.stats import median, percentile

__all__ = ["CHECK", "PROXIES", "SERVE", "environment", "program", "run", "whole"]

PROXIES = {"nginx": "nginx-light", "haproxy": "haproxy", "caddy": "caddy"}
"""Program -> Debian's package of it."""
CHECK = {
    "nginx": ("-t", "-c"),
    "haproxy": ("-c", "-f"),
    "caddy": ("validate", "--adapter", "caddyfile", "--config"),
}
SERVE = {
    "nginx": ("-g", "daemon off;", "-c"),
    "haproxy": ("-db", "-f"),
    "caddy": ("run", "--adapter", "caddyfile", "--config"),
}
DIRECT = "none"


def program(name: str) -> str:
    """The path of a proxy's program."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise Unavailable(f"not installed: apt-get install -y --no-install-recommends {PROXIES[name]}")
    return found


def environment(folder: Path) -> dict[str, str]:
    """Variables with which a proxy leaves nothing outside of ``folder``."""
    return {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}


def whole(name: str, text: str, folder: Path) -> str:
    """What ``tidegate edge`` prints, as a file that the program can be started with beside others of its kind."""
    if name == "nginx":
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        head = f"pid {folder}/pid; error_log {folder}/log; events {{}} worker_processes 1;"
        return f"{head} http {{ access_log off; {paths}\n{text}\n}}\n"
    if name == "caddy":
        text = text.replace("{\n\tservers", "{\n\tadmin off\n\tskip_install_trust\n\tservers", 1)
        return text.replace("\tservers {\n", "\tauto_https disable_redirects\n\tservers {\n", 1)
    return text


@contextlib.contextmanager
def started(name: str, gateway: int) -> Iterator[tuple[int, int]]:
    """The proxy before the gateway; its port and process id."""
    port = free_port()
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        folder.chmod(0o755)  # nginx's worker is another user
        edge = [sys.executable, "-m", "tidegate", "edge", name]
        edge += ["--listen", f"127.0.0.1:{port}", "--gateway", f"127.0.0.1:{gateway}"]
        printed = subprocess.run(edge, capture_output=True, text=True, check=True, cwd=folder).stdout
        file = folder / "configuration"
        file.write_text(whole(name, printed, folder))
        with process([program(name), *SERVE[name], str(file)], environment(folder), folder / "output") as child:
            if not wait_ready(port, "/healthz", 30.0):
                raise RigError(f"{name} did not start: {(folder / 'output').read_text(errors='replace')[-300:]}")
            yield port, child.pid


def once(port: int, pid: int | None, upstream: int) -> dict[str, float]:
    """50 streams of 100 tokens every 10 ms; then as many, of which half hang up midway. Milliseconds; µs a token."""
    get_json(upstream, "/stats?reset")
    spec = LoadSpec(port=port, ramp=0.25, gaps=True)
    pids = [] if pid is None else tree(pid)
    before = cpu_seconds(pids)
    result = run_load(spec)
    spent = cpu_seconds(pids) - before
    if result.whole != spec.streams:
        raise RigError(f"{spec.streams - result.whole} streams were not whole: {result.problems}")
    left = run_load(dataclasses.replace(spec, cancel_after=40, cancel_streams=25, ramp=0.5))
    aborted = abort_times(upstream, len(left.closed_at))
    latencies = [(aborted[ident] - at) / 1e6 for ident, at in left.closed_at.items() if ident in aborted]
    return {
        "gap p50": percentile(result.gaps, 0.50) * 1e3,
        "gap p99": percentile(result.gaps, 0.99) * 1e3,
        "ttft p50": percentile(result.overhead, 0.50) * 1e3,
        "ttft p99": percentile(result.overhead, 0.99) * 1e3,
        "cancel p50": percentile(latencies, 0.50),
        "cancel p99": percentile(latencies, 0.99),
        "never aborted": float(left.cancelled - len(latencies)),
        "cpu": spent / result.tokens * 1e6,
    }


def run(rounds: int) -> list[dict[str, Any]]:
    """Interleaved rounds without a proxy and behind each; medians, and medians of what was added within a round."""
    from bench.run import progress

    found: dict[str, list[dict[str, float]]] = {}
    missing: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(upstream_server())
        gateway = stack.enter_context(start_relay(RELAYS["tidegate"], upstream)).port
        ways: dict[str, tuple[int, int | None]] = {DIRECT: (gateway, None)}
        for name in PROXIES:
            try:
                ways[name] = stack.enter_context(started(name, gateway))
            except (Unavailable, RigError) as error:
                missing[name] = str(error)
                progress(f"{name}: {error}")
        for port, pid in ways.values():
            once(port, pid, upstream)  # warm: connections are there
        for turn in range(rounds):
            for name, (port, pid) in ways.items():
                found.setdefault(name, []).append(once(port, pid, upstream))
            progress(f"proxies round {turn + 1}/{rounds}")
    return [row(name, ones, found[DIRECT]) for name, ones in found.items()] + [
        {"proxy": f"{name}: {why}"} | dict.fromkeys(COLUMNS[1:], "–") for name, why in missing.items()
    ]


COLUMNS = (
    *("proxy", "gap p50 ms", "gap p99 ms", "added to gap p99", "added TTFT p50 ms", "added TTFT p99 ms"),
    *("cancel p50 ms", "cancel p99 ms", "never aborted", "CPU µs a token"),
)


def row(name: str, ones: list[dict[str, float]], direct: list[dict[str, float]]) -> dict[str, Any]:
    """One line of the table."""

    def middle(figure: str) -> float:
        return median([one[figure] for one in ones])

    def added(figure: str) -> float:
        return median([one[figure] - other[figure] for one, other in zip(ones, direct, strict=True)])

    alone = name == DIRECT
    values: tuple[Any, ...] = (
        name,
        middle("gap p50"),
        middle("gap p99"),
        "–" if alone else added("gap p99"),
        "–" if alone else added("ttft p50"),
        "–" if alone else added("ttft p99"),
        middle("cancel p50"),
        middle("cancel p99"),
        int(sum(one["never aborted"] for one in ones)),
        "–" if alone else middle("cpu"),
    )
    return dict(zip(COLUMNS, values, strict=True))
