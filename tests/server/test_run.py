"""server/run.py: the process around the gateway: its signals, its background models, its URL; on a real port."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes.gateway import simulator_options, until
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.errors import ConfigError
from tidegate.policy.options import AuthOptions
from tidegate.server import run as run_module
from tidegate.server.app import create_app
from tidegate.server.options import GatewayOptions, ServerOptions
from tidegate.server.run import GatewayServer, run, serve
from tidegate.simulator.server import Simulator
from tidegate.upstream.options import UpstreamOptions

QUESTION = b'{"model":"sim/default?tokens=5000&tps=50","stream":true,"messages":[{}]}'


pytestmark = pytest.mark.usefixtures("collector")


def options(**server: Any) -> GatewayOptions:
    given = {"port": 0, "drain_timeout": 0.2, **server}
    return GatewayOptions(server=ServerOptions(**given), auth=AuthOptions(anonymous=True))


@asynccontextmanager
async def simulated() -> AsyncIterator[UpstreamOptions]:
    """A model server in the background."""
    simulator = Simulator(simulator_options())
    await simulator.start()
    try:
        yield UpstreamOptions(name="sim", base_url=simulator.url, models=("sim/*",), trust_env=False)
    finally:
        await simulator.close()


class Served:
    """``serve`` in the test's own loop, from its first readiness to its end."""

    def __init__(self, reload: Callable[[], GatewayOptions] | None = None, **server: Any) -> None:
        self.url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(
            serve(options(**server), on_ready=self.url.set_result, reload=reload, background=[simulated])
        )

    async def port(self) -> int:
        return int((await asyncio.wait_for(self.url, 60)).rpartition(":")[2])

    async def streaming(self) -> Reader:
        reader = await Reader.connect(await self.port())
        reader.send(request_bytes("/v1/chat/completions", QUESTION))
        await reader.head()
        await reader.until(b" day")
        return reader

    async def ended(self) -> None:
        await asyncio.wait_for(self.task, 60)


def on_loop(case: Callable[[], Any]) -> None:
    async def main() -> None:
        await case()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_it(number: signal.Signals) -> None:
    """Live streams get their time and are told; then everything is closed, the background model too."""

    async def case() -> None:
        served = Served()
        reader = await served.streaming()
        os.kill(os.getpid(), number)
        await reader.rest()
        assert reader.events()[-1]["error"]["code"] == "shutdown"
        await reader.close()
        await served.ended()

    on_loop(case)


def test_the_same_signal_again_ends_it_now() -> None:
    async def case() -> None:
        served = Served()
        reader = await served.streaming()
        # Both are there before the drain has begun to wait.
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGTERM)
        await reader.rest()
        assert reader.events()[-1]["error"]["code"] == "shutdown"
        await reader.close()
        await served.ended()

    on_loop(case)


def test_until_a_balancer_has_seen_it_new_streams_are_taken() -> None:
    """`/readyz` says at once that it goes; the same signal again ends the delay as well."""

    async def case() -> None:
        served = Served(drain_delay=3600.0)
        port = await served.port()
        assert (await ask(port, "/readyz", None, method="GET")).status == 200
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0)
        ready = await ask(port, "/readyz", None, method="GET")
        assert (ready.status, ready.events()[0]["status"]) == (503, "draining")
        reader = await served.streaming()
        os.kill(os.getpid(), signal.SIGTERM)
        await reader.rest()
        assert reader.events()[-1]["error"]["code"] == "shutdown"
        await reader.close()
        await served.ended()

    on_loop(case)


def test_after_the_delay_it_drains() -> None:
    async def case() -> None:
        served = Served(drain_delay=0.1)
        await served.port()
        os.kill(os.getpid(), signal.SIGTERM)
        await served.ended()

    on_loop(case)


def test_without_a_live_stream_a_signal_ends_it_at_once() -> None:
    async def case() -> None:
        served = Served()
        await served.port()
        os.kill(os.getpid(), signal.SIGTERM)
        await served.ended()

    on_loop(case)


def test_its_end_waits_for_no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """It need not wake up only to see whether it is over."""
    monkeypatch.setattr(run_module, "TICK", 3600.0)
    test_without_a_live_stream_a_signal_ends_it_at_once()


def test_hangup_reads_everything_again_and_keeps_the_background_model() -> None:
    """A mistake in it changes nothing."""
    made: list[GatewayOptions | ConfigError] = []

    def again() -> GatewayOptions:
        given = made.pop(0)
        if isinstance(given, ConfigError):
            raise given
        return given

    async def case() -> None:
        served = Served(reload=again)
        port = await served.port()
        named = UpstreamOptions(name="other", base_url="http://127.0.0.1:9/v1", models=("other-model",))
        given = options()
        made.append(GatewayOptions(server=given.server, upstreams=(named,), auth=AuthOptions(anonymous=True)))
        made.append(ConfigError("No such secret."))
        for left in (1, 0):
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda left=left: len(made) == left)  # type: ignore[misc] # bound as it is now
            models = [model["id"] for model in (await ask(port, "/v1/models", None, method="GET")).events()[0]["data"]]
            assert "other-model" in models
            assert "sim/default" in models
        os.kill(os.getpid(), signal.SIGTERM)
        await served.ended()

    on_loop(case)


def test_its_signals_are_given_back() -> None:
    """Whoever had them before has them again."""

    async def case() -> None:
        server = GatewayServer(create_app(options()), options(), reload=options)
        with server.capture_signals():
            assert signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL

    on_loop(case)


@pytest.mark.parametrize(
    ("bound", "url"),
    [
        (("127.0.0.1", 80), "http://127.0.0.1:80"),
        (("0.0.0.0", 80), "http://127.0.0.1:80"),
        (("::", 80, 0, 0), "http://[::1]:80"),
        (("::1", 80, 0, 0), "http://[::1]:80"),
    ],
)
def test_the_url_is_one_that_can_be_opened(bound: tuple[Any, ...], url: str) -> None:
    """An address that means all of them is none to go to."""

    class Socket:
        def getsockname(self) -> tuple[Any, ...]:
            return bound

    class Listener:
        sockets = (Socket(),)

    server = GatewayServer(create_app(options()), options())
    server.servers = [Listener()]  # type: ignore[list-item] # nothing is bound here
    assert server.url == url


def test_more_than_one_process_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"server\.workers"):
        asyncio.run(serve(options(workers=2)))


@pytest.mark.parametrize("uvloop", [True, False], ids=["uvloop", "asyncio"])
def test_it_runs_with_and_without_uvloop(uvloop: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    loops: list[str] = []

    def ready(_url: str) -> None:
        loops.append(type(asyncio.get_running_loop()).__module__)
        os.kill(os.getpid(), signal.SIGTERM)

    if not uvloop:
        monkeypatch.setattr("tidegate.server.run.find_spec", lambda name: None)
    run(options(), on_ready=ready)
    assert [name.startswith("uvloop") for name in loops] == [uvloop]
