"""Real processes and real signals: SIGKILL of the upstream, SIGTERM of the gateway, each with a live stream."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from tests.e2e.faces import NDJSON, SSE, assert_told, face, question
from tests.fakes.gateway import rig, run, simulator_options, until
from tests.fakes.reader import Reader, ask, request_bytes


@contextmanager
def process(*arguments: str, ready: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``tidegate …`` and the URL that it prints when it is ready."""
    started = subprocess.Popen(
        [sys.executable, "-m", "tidegate", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environ},
    )
    assert started.stdout is not None
    try:
        found = next(match for line in started.stdout if (match := re.search(rf"{ready}: (http://\S+)", line)))
        yield started, found[1]
    finally:
        started.kill()
        started.wait(60)
        started.stdout.close()


async def streaming(url: str, path: str) -> Reader:
    """A reader in the middle of an answer that would take minutes."""
    reader = await Reader.connect(urlsplit(url).port or 0)
    reader.send(request_bytes(path, json.dumps(question("sim/default")).encode()))
    assert await reader.head() == 200
    await reader.until(b" day")
    return reader


@pytest.mark.parametrize("fast", ["true", "false"], ids=["fast", "plain"])
def test_live_streams_are_told_when_a_process_dies(fast: str) -> None:
    """The model server is killed: a cut. The gateway is stopped: what the drain leaves is told, and it exits 0."""
    simulate = ("simulate", "--port", "0", "--tps", "20", "--tokens", "5000")
    environ = {"TIDEGATE_SERVER__FAST_PATH": fast, "TIDEGATE_SERVER__DRAIN_TIMEOUT": "0.3"}
    with (
        process(*simulate, ready="server is ready") as (model, model_url),
        process("serve", "--port", "0", "--upstream", model_url, ready="is ready", **environ) as (gateway, url),
        process(*simulate, ready="server is ready") as (_, other_url),
        process("serve", "--port", "0", "--upstream", other_url, ready="is ready", **environ) as (stopped, stopped_url),
    ):

        async def case() -> None:
            cut = [await streaming(url, path) for path in (SSE, NDJSON)]
            late = [await streaming(stopped_url, path) for path in (SSE, NDJSON)]
            model.send_signal(signal.SIGKILL)
            stopped.send_signal(signal.SIGTERM)
            for readers, code in ((cut, "upstream_cut"), (late, "shutdown")):
                for reader in readers:
                    await asyncio.wait_for(reader.rest(), 60)
                    assert_told(reader, code)
                    await reader.close()

        run(case())
        assert stopped.wait(60) == 0
        assert gateway.poll() is None, "the death of an upstream is no death of the gateway"


@face
def test_draining_refuses_new_streams_and_ends_late_ones(fast: bool, path: str) -> None:
    """readyz 503, new ones 503 with Retry-After, a late one gets an error that it can see."""

    async def case() -> None:
        async with rig(fast=fast, simulated=simulator_options(tps=20, tokens=10000)) as gate:
            reader = await Reader.connect(gate.port)
            reader.send(request_bytes(path, b'{"model":"sim/default","stream":true,"messages":[{}]}'))
            await reader.head()
            await reader.until(b" day")
            draining = asyncio.create_task(gate.gateway.relay.drain(0.5))
            await until(lambda: gate.gateway.relay.draining)
            ready = await ask(gate.port, "/readyz", None, method="GET")
            assert ready.status == 503
            refused = await ask(gate.port, path, question("sim/default"))
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            await reader.rest()
            assert_told(reader, "shutdown")
            assert await draining == 1
            assert (await gate.ended()).reason == "shutdown"
            await reader.close()

    run(case())
