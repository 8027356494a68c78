"""server/http2/downstream.py: what is special about a stream among others; its faults are those of every face."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.faces import NDJSON, SSE, question, the_answer
from tests.fakes.gateway import HTTP2, rig, run, simulator_options, until
from tests.fakes.http2 import Http2Reader
from tests.fakes.loop import timers_left
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.relay.express import Express
from tidegate.server.http2.connection import Http2Protocol


def test_a_request_that_is_there_as_a_whole_begins_without_a_task_and_its_tokens_go_straight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tasks: list[int] = []
    straight: list[int] = []
    received = Express.data_received

    def counted(self: Express, data: bytes) -> None:
        straight.append(len(data))
        received(self, data)

    monkeypatch.setattr(Express, "data_received", counted)

    async def case() -> None:
        async with rig(fast=HTTP2, simulated=simulator_options(tps=30)) as gate:
            body = json.dumps(question("sim/default")).encode()
            for cut in (0, 20):
                reader = await Reader.connect(gate.port)
                whole = request_bytes(SSE, body)
                reader.send(whole[: len(whole) - cut])
                if cut:
                    await until(lambda: bool(gate.server.server_state.tasks))
                    reader.send(whole[len(whole) - cut :])
                await reader.head()
                tasks.append(len(gate.server.server_state.tasks))
                await reader.rest()
                assert (reader.done, reader.text) == (True, the_answer())
                await reader.close()

    run(case())
    assert tasks == [0, 1]
    assert straight


@pytest.mark.parametrize("fast_path", [True, False], ids=["direct", "plain"])
@pytest.mark.parametrize("origins", [(), ("https://app.example.com",)], ids=["no-cors", "cors"])
def test_middleware_sees_heads_and_ends(fast_path: bool, origins: tuple[str, ...]) -> None:
    """And without the fast path, everything goes through plain ASGI."""

    async def case() -> None:
        server: dict[str, Any] = {"cors_origins": origins, "fast_path": fast_path}
        async with rig(fast=HTTP2, server=server) as gate:
            for path in (SSE, NDJSON):
                reader = await ask(gate.port, path, question("sim/default"), {"origin": "https://app.example.com"})
                assert (reader.status, reader.text) == (200, the_answer())
                assert reader.whole
                assert ("access-control-allow-origin" in reader.headers) == bool(origins)
            refused = await ask(gate.port, SSE, {"model": 7}, {"origin": "https://app.example.com"})
            assert refused.status == 400

    run(case())


def test_what_ended_and_is_not_read_is_given_up() -> None:
    """The stream, and not its connection."""

    async def case() -> None:
        async with rig(fast=HTTP2, stall_timeout=0.3, high_water=1 << 20) as gate:
            reader = await Reader.connect(gate.port)
            assert isinstance(reader, Http2Reader)
            reader.send(request_bytes(SSE, json.dumps(question("sim/default?tokens=600&tps=100000")).encode()))
            assert (await gate.ended()).reason in ("stop", "length")
            (protocol,) = gate.server.server_state.connections
            assert isinstance(protocol, Http2Protocol)
            assert protocol._exchanges, "more than the first window is left"
            await until(lambda: isinstance(protocol, Http2Protocol) and not protocol._exchanges)
            await reader.head()
            await reader.rest()
            assert (reader.whole, reader.reset) == (False, True)
            reader.send(request_bytes(SSE, json.dumps(question("sim/default")).encode()))
            await reader.head()
            await reader.rest()
            assert reader.done
            await reader.close()
        assert not [name for name in timers_left() if "_wait_for" in name]

    run(case(), count_timers=True)


def test_a_middleware_that_fails_with_a_head_ends_the_stream() -> None:
    async def case() -> None:
        async with rig(fast=HTTP2) as gate:
            app = gate.server.config.loaded_app

            async def middle(scope: Any, receive: Any, send: Any) -> None:
                async def failing(message: Any) -> None:
                    raise ValueError("no head today")

                scope.setdefault("extensions", {})["tidegate.send"] = send
                endpoint = app.direct[SSE]
                await endpoint(scope, receive, failing)

            gate.server.config.loaded_app = middle
            reader = await Reader.connect(gate.port)
            reader.send(request_bytes(SSE, json.dumps(question("sim/default")).encode()))
            with pytest.raises(AssertionError):
                assert await reader.chunk()
            assert reader.reset
            await gate.ended()
            await reader.close()

    run(case())
