"""bench/processes.py: a model server and a gateway that are gone when their block is over."""

from __future__ import annotations

import asyncio
import json
import urllib.request

import pytest

from tests.cli.running import gone
from tidegate.bench.processes import _command, gateway, simulator
from tidegate.errors import GatewayFault


def test_they_run_for_as_long_as_their_block_and_know_nothing_of_our_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIDEGATE_SERVER__PORT", "not a port")

    async def case() -> int:
        async with simulator() as upstream, gateway(upstream) as (url, pid):
            body = json.dumps(
                {"model": "sim/default?ttft=0&tps=0", "messages": [{"role": "user", "content": "Why?"}]}
            ).encode()
            request = urllib.request.Request(f"{url}/v1/chat/completions", body, {"content-type": "application/json"})
            answer = await asyncio.to_thread(lambda: json.load(urllib.request.urlopen(request)))
            assert answer["choices"][0]["finish_reason"] == "stop"
            return pid

    assert gone(asyncio.run(case()))


def test_a_command_that_ends_at_once_did_not_start() -> None:
    async def case() -> None:
        async with _command(["version"]):
            raise AssertionError

    with pytest.raises(GatewayFault, match="tidegate version did not start"):
        asyncio.run(case())
