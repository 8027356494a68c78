"""``tidegate batch`` with pooled connections against one connection a request, which is what scripts do.

Short answers, over plain HTTP on loopback: the least that a pool can save. Every TLS handshake and every millisecond of
distance to the server comes on top.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.measure import process
from bench.proc import cpu_seconds
from bench.rig import RigError, free_port, wait_ready
from bench.stats import median

__all__ = ["run"]

REQUESTS = 3000
IN_FLIGHT = 32


def requests_file(folder: Path) -> Path:
    """Requests whose answers are five tokens without any thought."""
    path = folder / "in.jsonl"
    body = {"model": "sim/default?ttft=0&tps=0&tokens=5", "messages": [{"role": "user", "content": "Why?"}]}
    with path.open("w") as file:
        for number in range(REQUESTS):
            line = {"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")
    return path


def once(folder: Path, port: int, server: int, *, fresh: bool) -> tuple[float, float, float]:
    """Seconds, and CPU seconds of the client and of the server."""
    command = [sys.executable, "-m", "tidegate", "batch", str(requests_file(folder)), str(folder / "out.jsonl")]
    command += ["--overwrite", "--quiet", "--url", f"http://127.0.0.1:{port}"]
    command += ["--start", str(IN_FLIGHT), "--most", str(IN_FLIGHT), "--tolerance", "1000"]
    before, server_before = resource.getrusage(resource.RUSAGE_CHILDREN), cpu_seconds([server])
    began = time.monotonic()
    done = subprocess.run([*command, *(["--fresh"] if fresh else [])], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode:
        raise RigError(f"tidegate batch: {done.stderr.strip()[-200:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    client = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, client, cpu_seconds([server]) - server_before


def run(rounds: int) -> list[dict[str, Any]]:
    """Interleaved rounds of both; medians."""
    from bench.run import progress

    found: dict[bool, list[tuple[float, float, float]]] = {False: [], True: []}
    port = free_port()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        argv = [sys.executable, "-m", "tidegate", "simulate", "--port", str(port)]
        with process(argv, {}, folder / "simulate.log") as server:
            if not wait_ready(port, "/healthz", 20.0):
                raise RigError("the simulator did not start")
            for turn in range(rounds):
                for fresh in (False, True):
                    found[fresh].append(once(folder, port, server.pid, fresh=fresh))
                progress(f"batch round {turn + 1}/{rounds}")
    return [
        {
            "connections": "one a request" if fresh else "pooled",
            "requests": REQUESTS,
            "in flight": IN_FLIGHT,
            "requests a second": median([REQUESTS / seconds for seconds, _, _ in found[fresh]]),
            "client CPU µs a request": median([client / REQUESTS * 1e6 for _, client, _ in found[fresh]]),
            "server CPU µs a request": median([server_cpu / REQUESTS * 1e6 for _, _, server_cpu in found[fresh]]),
        }
        for fresh in (False, True)
    ]
