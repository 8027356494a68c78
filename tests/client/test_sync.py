"""The sync client over real sockets: the same streams, from plain code and from threads."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.client.test_aio import ASK, ENDLESS, the_answer
from tests.fakes.gateway import Rig, rig, run, until
from tidegate.client import Cancelled, Stream, StreamClient, StreamTruncated
from tidegate.errors import ConnectFailed, UpstreamRefused
from tidegate.events import TextDelta


def using(use: Callable[[StreamClient], None], after: Callable[[Rig], bool] | None = None, **options: Any) -> None:
    """Run plain code in a thread, against a gateway in this one."""

    def work(url: str) -> None:
        with StreamClient(endpoint=url, retry_delay=0.01, trust_env=False, **options) as client:
            use(client)

    async def case() -> None:
        async with rig() as gate:
            await asyncio.to_thread(work, f"http://127.0.0.1:{gate.port}")
            if after is not None:
                await until(lambda: after(gate))

    run(case())


def aborted(gate: Rig) -> bool:
    return gate.simulator is not None and gate.simulator.stats()["aborted"] == 1


def test_an_answer() -> None:
    def use(client: StreamClient) -> None:
        for _ in range(2):
            with client.stream(ASK, model="sim/prose") as stream:
                assert "".join(stream) == the_answer()
            assert stream.result.complete
            assert stream.text == the_answer()
            assert stream.id == stream.result.stream_id
            assert list(stream) == []
        events = list(client.stream(ASK, model="sim/prose", raw=True))
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == the_answer()

    using(use)


def test_a_cut_raises_with_what_came() -> None:
    def use(client: StreamClient) -> None:
        pieces: list[str] = []
        with pytest.raises(StreamTruncated) as caught:
            pieces.extend(client.stream(ASK, model="sim/cut-after-5"))
        assert caught.value.text == the_answer(5)
        assert "".join(pieces) == the_answer(5)
        with pytest.raises(UpstreamRefused), client.stream(ASK, model="sim/401"):
            pass

    using(use)


def test_breaking_out_stops_the_model() -> None:
    def use(client: StreamClient) -> None:
        with client.stream(ASK, model=ENDLESS) as stream:
            next(stream)
        stream.close()
        assert stream.result.reason == "client_cancel"

    using(use, aborted)


def test_cancel_from_another_thread() -> None:
    def use(client: StreamClient) -> None:
        stream = client.stream(ASK, model=ENDLESS)
        next(stream)
        timer = threading.Timer(0.1, stream.cancel)
        timer.start()
        with pytest.raises(Cancelled):
            for _ in stream:
                pass
        timer.join()

    using(use, aborted)


def test_a_soft_stop_keeps_the_answer() -> None:
    def use(client: StreamClient) -> None:
        with client.stream(ASK, model=ENDLESS) as stream:
            text = next(stream)
            stream.stop()
            text += "".join(stream)
        assert stream.result.reason == "soft_stop"
        assert stream.text == text

    using(use)


def test_a_stream_that_is_dropped_closes_its_socket_and_warns() -> None:
    def use(client: StreamClient) -> None:
        streams = [client.stream(ASK, model=ENDLESS)]
        next(streams[0])
        with pytest.warns(ResourceWarning, match="unfinished stream"):
            streams.clear()

    using(use, aborted)


def test_a_reader_that_does_not_read_stops_the_model() -> None:
    """The gateway sees a paused reader, and the simulator a full socket."""

    def use(client: StreamClient) -> None:
        with client.stream(ASK, model="sim/flood-64") as stream:
            next(stream)
            time.sleep(1.0)
            held.append(len(stream.text))

    held: list[int] = []
    using(use, aborted)
    assert held[0] < 4 * 1024 * 1024


def test_callbacks() -> None:
    def use(client: StreamClient) -> None:
        pieces: list[str] = []
        ends: list[Any] = []
        result = client.generate(ASK, model="sim/prose", on_chunk=pieces.append, on_complete=ends.append)
        assert "".join(pieces) == result.text == the_answer()
        assert ends == [result]
        errors: list[Any] = []
        cut = client.generate(ASK, model="sim/cut-after-3", on_complete=ends.append, on_error=errors.append)
        assert isinstance(errors[0], StreamTruncated)
        assert (cut.text, len(ends)) == (the_answer(3), 1)
        with pytest.raises(StreamTruncated):
            client.generate(ASK, model="sim/cut-after-3")

    using(use)


def test_it_works_inside_a_running_loop() -> None:
    """As in a notebook. Nobody listens there, which is enough to see that it runs."""

    async def case() -> None:
        with StreamClient(endpoint="http://127.0.0.1:9/v1", retry_attempts=0) as client, pytest.raises(ConnectFailed):
            next(client.stream(ASK))

    asyncio.run(case())


def test_a_closed_client_can_be_used_again() -> None:
    def use(client: StreamClient) -> None:
        assert "".join(client.stream(ASK, model="sim/prose")) == the_answer()
        client.close()
        assert "".join(client.stream(ASK, model="sim/prose")) == the_answer()
        assert client.config.retry_delay == 0.01

    using(use)


def test_a_client_that_is_dropped_leaves_nothing_open() -> None:
    def work(url: str) -> None:
        client = StreamClient(endpoint=url, trust_env=False)
        stream: Stream[str] = client.stream(ASK, model="sim/prose")
        assert "".join(stream) == the_answer()
        loop = client._loop
        del client, stream
        gc.collect()
        loop.close()

    async def case() -> None:
        async with rig() as gate:
            await asyncio.to_thread(work, f"http://127.0.0.1:{gate.port}")
            await until(lambda: not gate.server.server_state.connections)

    run(case())
