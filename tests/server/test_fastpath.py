"""server/fastpath.py: uvicorn's internals are where we need them; where they are not, everything runs without."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tests.fakes.gateway import gateway, run, simulator_options, until, upstream
from tests.fakes.loop import timers_left
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.server import fastpath
from tidegate.server.fastpath import NEEDED, NEEDED_ON_CYCLE, NEEDED_ON_PROTOCOL, FastProtocol, protocol_class
from tidegate.simulator.server import Simulator

PATH = "/v1/chat/completions"
BODY = json.dumps({"model": "sim/default", "stream": True, "messages": [{}]}).encode()


def test_uvicorns_internals_are_where_the_fast_path_needs_them() -> None:
    """When they have moved, look at every use in fastpath.py before the range in pyproject.toml is widened."""
    assert protocol_class() is FastProtocol, f"uvicorn {uvicorn.__version__} has moved what NEEDED names"
    names = RequestResponseCycle.__init__.__code__.co_names + RequestResponseCycle.__init__.__code__.co_varnames
    for name in NEEDED_ON_CYCLE:
        assert name in names, f"uvicorn {uvicorn.__version__}: a cycle has no {name}"
    made = HttpToolsProtocol.__init__.__code__.co_names
    for name in NEEDED_ON_PROTOCOL:
        assert name in made, f"uvicorn {uvicorn.__version__}: a protocol has no {name}"
    assert {*NEEDED} == {HttpToolsProtocol, RequestResponseCycle}


def test_the_live_objects_have_what_is_needed_and_are_used() -> None:
    """A token really takes the fast path: nothing of it passes through ``send``."""
    seen: list[Any] = []

    async def case() -> None:
        simulator = Simulator(simulator_options())
        await simulator.start()
        async with gateway(upstream(simulator.url)) as gate:
            reader = await Reader.connect(gate.port)
            reader.send(request_bytes(PATH, BODY))
            await reader.head()
            (protocol,) = gate.server.server_state.connections
            assert isinstance(protocol, FastProtocol)
            assert protocol._fast is not None
            seen.extend(name for name in NEEDED_ON_CYCLE if hasattr(protocol.cycle, name))
            seen.extend(name for name in NEEDED_ON_PROTOCOL if hasattr(protocol, name))
            await reader.rest()
            assert reader.done
            await reader.close()
        await simulator.close()

    run(case())
    assert seen == [*NEEDED_ON_CYCLE, *NEEDED_ON_PROTOCOL]


def test_the_system_takes_little_for_a_reader_who_does_not_read() -> None:
    async def case() -> None:
        async with gateway() as gate:
            reader = await Reader.connect(gate.port)
            await until(lambda: len(gate.server.server_state.connections) == 1)
            (protocol,) = gate.server.server_state.connections
            sock = protocol.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == fastpath.MAX_UNSENT
            await reader.close()

    run(case())


def test_without_them_it_says_so_once_and_answers_over_plain_send(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fastpath, "NEEDED", {HttpToolsProtocol: ("no_longer_there",), RequestResponseCycle: ()})

    async def case() -> None:
        simulator = Simulator(simulator_options())
        await simulator.start()
        async with gateway(upstream(simulator.url)) as gate:
            assert gate.server.config.http_protocol_class is httptools_impl.HttpToolsProtocol
            for _ in range(2):
                reader = await ask(gate.port, PATH, json.loads(BODY))
                assert reader.done
        await simulator.close()

    run(case())
    out, err = capfd.readouterr()
    (line,) = [line for line in (out + err).splitlines() if "server.fast_path_off" in line]
    assert "HttpToolsProtocol.no_longer_there" in line


def test_a_kept_connection_that_is_reset_leaves_no_timer() -> None:
    """uvicorn's own would hold the whole request for the 75 seconds of an idle connection."""

    async def case() -> None:
        simulator = Simulator(simulator_options())
        await simulator.start()
        async with gateway(upstream(simulator.url)) as gate:
            reader = await Reader.connect(gate.port)
            reader.send(request_bytes(PATH, BODY))
            await reader.head()
            await reader.rest()
            await until(lambda: "FastProtocol.timeout_keep_alive_handler" in timers_left())
            reader.hang_up()
            await until(lambda: not gate.server.server_state.connections)
            assert "FastProtocol.timeout_keep_alive_handler" not in timers_left()
        await asyncio.sleep(0)
        await simulator.close()

    run(case(), count_timers=True)


def _raw(body: bytes = BODY, extra: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n%b" % (
        PATH.encode(),
        extra,
        len(body),
        body,
    )


def test_a_request_that_is_there_as_a_whole_begins_without_a_task() -> None:
    """And one whose body comes later begins in a task; both are answered alike."""
    tasks: list[int] = []

    async def case() -> None:
        simulator = Simulator(simulator_options())
        await simulator.start()
        async with gateway(upstream(simulator.url)) as gate:
            for cut in (0, 20):
                reader = await Reader.connect(gate.port)
                whole = _raw()
                reader.send(whole[: len(whole) - cut])
                if cut:
                    await until(lambda: bool(gate.server.server_state.tasks))
                    reader.send(whole[len(whole) - cut :])
                await reader.head()
                tasks.append(len(gate.server.server_state.tasks))
                await reader.rest()
                assert reader.done
                await reader.close()
        await simulator.close()

    run(case())
    assert tasks == [0, 1]


def test_requests_that_come_in_one_read_are_answered_in_their_order() -> None:
    """Pipelining (RFC 9112 §9.3.2): the second waits until the first is answered."""

    async def case() -> None:
        simulator = Simulator(simulator_options())
        await simulator.start()
        async with gateway(upstream(simulator.url)) as gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            whole = json.dumps({"model": "sim/default", "messages": [{}]}).encode()
            writer.write(_raw() + _raw(whole, b"connection: close\r\n"))
            answers = await asyncio.wait_for(reader.read(), 30)
            writer.close()
            assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2
            first, _, second = answers.partition(b"\r\n0\r\n\r\n")
            assert first.rstrip().endswith(b"data: [DONE]")
            assert json.loads(second.partition(b"\r\n\r\n")[2])["object"] == "chat.completion"
        await simulator.close()

    run(case())


@pytest.mark.parametrize("close", [False, True])
def test_the_head_says_how_the_body_is_framed_and_whether_the_connection_is_kept(close: bool) -> None:
    async def case() -> None:
        simulator = Simulator(simulator_options())
        await simulator.start()
        async with gateway(upstream(simulator.url)) as gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(_raw(extra=b"connection: close\r\n" if close else b""))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:-2]]
            assert len(names) == len(set(names))
            assert {b"x-stream-id", b"content-type", b"transfer-encoding"} <= {*names}
            assert (b"connection: close" in head) == close
            body = await asyncio.wait_for(reader.read() if close else reader.readuntil(b"\r\n0\r\n\r\n"), 30)
            assert body.endswith(b"\r\n0\r\n\r\n")
            writer.close()
        await simulator.close()

    run(case())


def test_a_failure_of_ours_at_the_very_beginning_is_a_500_and_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def case() -> None:
        simulator = Simulator(simulator_options())
        await simulator.start()
        async with gateway(upstream(simulator.url)) as gate:

            def broken(*_: Any, **__: Any) -> None:
                raise RuntimeError("a secret of the prompt")

            monkeypatch.setattr(gate.gateway.relay, "begin", broken)
            reader = await Reader.connect(gate.port)
            reader.send(request_bytes(PATH, BODY))
            assert await reader.head() == 500
            assert b"internal_error" in await reader.rest()
            await reader.close()
        await simulator.close()

    run(case())
    out, err = capfd.readouterr()
    assert "server.bug" in out + err
    assert "secret of the prompt" not in out + err
