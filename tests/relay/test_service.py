"""relay/service.py: who is let in, what a reload changes, how it drains; against a real model server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes.downstream import Written
from tests.fakes.gateway import run, simulator_options, until, upstream
from tidegate.errors import ConfigError, Draining, ModelNotFound, Overloaded
from tidegate.policy.keys import ANONYMOUS, Principal
from tidegate.relay.endings import Framing
from tidegate.relay.options import StreamOptions
from tidegate.relay.service import Relay
from tidegate.simulator.server import Simulator
from tidegate.telemetry.record import StreamRecord
from tidegate.wire.chat_request import parse_chat_request


class Told:
    """A hook."""

    def __init__(self) -> None:
        self.count = 0
        self.records: list[StreamRecord] = []

    def opened(self) -> None:
        self.count += 1

    def ended(self, record: StreamRecord) -> None:
        self.records.append(record)


@asynccontextmanager
async def relay(*, max_streams: int = 100, environ: dict[str, str] | None = None, **up: Any) -> AsyncIterator[Any]:
    """A relay, the hook that it tells, and the model server behind it."""
    simulator = Simulator(simulator_options())
    await simulator.start()
    told = Told()
    options = StreamOptions(retry_delay=0.01, first_token_timeout=60.0, idle_timeout=60.0)
    made = Relay([upstream(simulator.url, **up)], options, told, max_streams=max_streams, environ=environ or {})
    try:
        yield made, told, simulator
    finally:
        await made.close()
        await simulator.close()
    assert len(made.registry) == 0
    assert told.count == len(told.records)


async def ask(made: Relay, model: str = "sim/default", who: Principal = ANONYMOUS) -> Written:
    down = Written()
    request = parse_chat_request(b'{"model":"%b","messages":[{}],"stream":true}' % model.encode())
    headers = [(b"x-sim-tag", b"tagged"), (b"authorization", b"Bearer app")]
    stream = made.begin(request, who, Framing.SSE, down, headers)
    try:
        await until(lambda: stream.life.ended)
    finally:
        stream.abandon()
    return down


def test_a_stream_is_carried_from_its_beginning_to_its_end() -> None:
    """One record, of the key that asked; the application's headers pass, its credentials do not."""

    async def case() -> None:
        async with relay() as (made, told, simulator):
            down = await ask(made, who=Principal("ann"))
            assert down.body.endswith(b"data: [DONE]\n\n")
            (record,) = told.records
            assert (record.client, record.reason, record.tokens) == ("ann", "length", 20)
            assert simulator.truths[-1].tag == "tagged"

    run(case())


@pytest.mark.parametrize(
    ("model", "who", "found"),
    [
        ("sim/default", ANONYMOUS, True),
        ("other", ANONYMOUS, False),
        ("sim/default", Principal("ann", models=("gpt-*",)), False),
        ("sim/default", Principal("ann", models=("sim/*",)), True),
    ],
)
def test_a_model_is_there_for_those_who_may_use_it(model: str, who: Principal, found: bool) -> None:
    async def case() -> None:
        async with relay(models=("sim/*",)) as (made, _, _):
            if found:
                made.admit(model, who)
            else:
                with pytest.raises(ModelNotFound) as caught:
                    made.admit(model, who)
                assert caught.value.param == "model"

    run(case())


def test_one_more_than_the_limit_is_refused() -> None:
    """Until one has ended."""

    async def case() -> None:
        async with relay(max_streams=1) as (made, told, _):
            made.admit("m", ANONYMOUS)
            carrying = asyncio.create_task(ask(made, "sim/stall-after-5"))
            await until(lambda: len(made.registry) == 1)
            with pytest.raises(Overloaded) as caught:
                made.admit("m", ANONYMOUS)
            assert caught.value.retry_after
            for stream in made.registry:
                stream.on_gone()
            await carrying
            made.admit("m", ANONYMOUS)
            assert told.records[0].reason == "client_cancel"

    run(case())


def test_draining_waits_for_live_streams_and_takes_no_others() -> None:
    async def case() -> None:
        async with relay() as (made, told, _):
            carrying = asyncio.create_task(ask(made))
            await until(lambda: len(made.registry) == 1)
            draining = asyncio.create_task(made.drain(30.0))
            await until(lambda: made.draining)
            with pytest.raises(Draining) as caught:
                made.admit("m", ANONYMOUS)
            assert caught.value.retry_after
            assert (await carrying).finished
            assert await draining == 0
            assert told.records[0].reason == "length"

    run(case())


def test_what_is_late_is_ended_and_told() -> None:
    async def case() -> None:
        async with relay() as (made, told, simulator):
            carrying = asyncio.create_task(ask(made, "sim/stall-after-5"))
            await until(lambda: any(stream.timing.tokens == 5 for stream in made.registry))
            assert await made.drain(0.0) == 1
            down = await carrying
            assert b'"code":"shutdown"' in down.body
            assert not down.body.endswith(b"data: [DONE]\n\n")
            assert told.records[0].reason == "shutdown"
            await until(lambda: simulator.stats()["aborted"] == 1)

    run(case())


def test_a_task_that_is_cancelled_leaves_nothing() -> None:
    """The server takes a request's task away: the model stops, and the reader sees a body that is not whole."""

    async def case() -> None:
        async with relay() as (made, told, simulator):
            carrying = asyncio.create_task(ask(made, "sim/stall-after-5"))
            await until(lambda: any(stream.timing.tokens == 5 for stream in made.registry))
            carrying.cancel()
            with pytest.raises(asyncio.CancelledError):
                await carrying
            assert told.records[0].reason == "shutdown"
            await until(lambda: simulator.stats()["aborted"] == 1)

    run(case())


def test_a_reload_changes_what_is_new_and_leaves_what_is_live() -> None:
    """The stream that runs ends on the upstream that it began on, with the options that it began with."""

    async def case() -> None:
        async with relay(models=("sim/*",)) as (made, told, simulator):
            carrying = asyncio.create_task(ask(made))
            await until(lambda: any(stream.timing.tokens for stream in made.registry))
            made.reload([upstream(simulator.url, name="new", models=("other",))], StreamOptions(heartbeat=1.0))
            assert made.options.heartbeat == 1.0
            with pytest.raises(ModelNotFound):
                made.admit("sim/default", ANONYMOUS)
            made.admit("other", ANONYMOUS)
            assert (await carrying).body.endswith(b"data: [DONE]\n\n")
            await ask(made, "other")
            assert [record.upstream for record in told.records] == ["up", "new"]

    run(case())


def test_an_upstream_that_did_not_change_keeps_its_connections_and_reads_its_secrets_again() -> None:
    async def case() -> None:
        environ = {"KEY": "first-secret-key"}
        async with relay(api_keys=("env:KEY",), environ=environ) as (made, _, simulator):
            await ask(made)
            (client,) = made._clients.values()
            idle = client.idle_connections
            assert idle == 1
            environ["KEY"] = "second-secret-key"
            made.reload([client.options], made.options)
            assert list(made._clients.values()) == [client]
            assert client.idle_connections == idle
            key = client.keys.take(0.0)
            assert key is not None
            assert key.secret == "second-secret-key"
            await ask(made)
            assert simulator.stats()["connections"] == 1

    run(case())


def test_a_reload_that_cannot_be_changes_nothing() -> None:
    async def case() -> None:
        async with relay(models=("sim/*",)) as (made, _, simulator):
            before, options = made.router, made.options
            with pytest.raises(ConfigError):
                made.reload([upstream(simulator.url, name="new", api_keys=("env:MISSING",))], StreamOptions())
            assert (made.router, made.options) == (before, options)
            made.admit("sim/default", ANONYMOUS)
            assert (await ask(made)).finished

    run(case())


def test_closing_aborts_what_is_live() -> None:
    async def case() -> None:
        async with relay() as (made, told, _):
            carrying = asyncio.create_task(ask(made, "sim/stall-after-5"))
            await until(lambda: any(stream.timing.tokens == 5 for stream in made.registry))
            await made.close()
            down = await carrying
            assert (down.aborted, down.finished) == (True, False)
            assert told.records[0].reason == "shutdown"

    run(case())
