"""server/negotiation.py: what a connection speaks, on real ports, on both loops."""

from __future__ import annotations

import asyncio
import json
import ssl
from unittest.mock import patch

import pytest

from tests.e2e.faces import SSE, question
from tests.fakes.gateway import HTTP2, rig, run, until
from tests.fakes.http2 import Http2Reader, client_context
from tests.fakes.loop import timers_left
from tests.fakes.reader import HTTP2_PORTS, Reader, ask, request_bytes
from tidegate.server import negotiation
from tidegate.server.fastpath import FastProtocol
from tidegate.server.http2.connection import Http2Protocol
from tidegate.server.negotiation import PREFACE, Negotiation

LOOPS = pytest.mark.parametrize("plain_loop", [False, True], ids=["uvloop", "asyncio"])
REQUEST = request_bytes("/healthz", b"", method="GET")


async def over_tls(port: int, *offered: str) -> Reader:
    """A connection that offers these."""
    made = await asyncio.open_connection("127.0.0.1", port, ssl=client_context(*offered), server_hostname="localhost")
    agreed = made[1].get_extra_info("ssl_object").selected_alpn_protocol()
    assert agreed == offered[0]
    return Http2Reader(*made) if agreed == "h2" else Reader(*made)


@LOOPS
@pytest.mark.parametrize(("offered", "kind"), [("h2", Http2Protocol), ("http/1.1", FastProtocol)])
def test_tls_has_agreed_on_it(offered: str, kind: type, plain_loop: bool) -> None:
    async def case() -> None:
        async with rig(fast=HTTP2) as gate:
            reader = await over_tls(gate.port, offered)
            for _ in range(2):
                reader.send(REQUEST)
                assert await reader.head() == 200
                await reader.rest()
            (protocol,) = gate.server.server_state.connections
            assert type(protocol) is kind
            await reader.close()

    run(case(), plain_loop=plain_loop)


@LOOPS
def test_tokens_over_http1_behind_tls_go_to_the_connection_itself(plain_loop: bool) -> None:
    async def case() -> None:
        async with rig(fast=HTTP2) as gate:
            reader = await over_tls(gate.port, "http/1.1")
            reader.send(request_bytes(SSE, b'{"model":"sim/stall-after-5","stream":true,"messages":[{}]}'))
            await reader.head()
            (protocol,) = gate.server.server_state.connections
            assert isinstance(protocol, FastProtocol)
            assert protocol._fast is not None
            reader.hang_up()
            assert (await gate.ended()).reason == "client_cancel"
            await reader.close()
            whole = await over_tls(gate.port, "http/1.1")
            whole.send(request_bytes(SSE, json.dumps(question("sim/default")).encode()))
            await whole.head()
            await whole.rest()
            assert whole.done
            await whole.close()

    run(case(), plain_loop=plain_loop)


def test_without_tls_the_first_bytes_say_it() -> None:
    """In one piece or in many; and what is no preface is HTTP/1.1."""

    async def case() -> None:
        async with rig(server={"h2c": True}) as gate:
            one = await ask(gate.port, "/healthz", None, method="GET")
            assert one.status == 200
            reader = Http2Reader(*await asyncio.open_connection("127.0.0.1", gate.port))
            reader.send(request_bytes(SSE, b'{"model":"sim/default","stream":true,"messages":[{}]}'))
            assert await reader.head() == 200
            await reader.rest()
            assert reader.done
            await reader.close()
            stream, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            for byte in PREFACE:
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            assert (await asyncio.wait_for(stream.readexactly(9), 30))[3] == 4, "its SETTINGS"
            writer.close()
            late = await Reader.connect(gate.port)
            for byte in REQUEST:
                late.send(bytes([byte]))
                await asyncio.sleep(0)
            assert await late.head() == 200
            await late.close()

    run(case())


def test_h2c_is_not_spoken_unless_it_is_asked_for() -> None:
    async def case() -> None:
        async with rig() as gate:
            stream, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(PREFACE)
            assert b"400" in await asyncio.wait_for(stream.readuntil(b"\r\n"), 30)
            writer.close()

    run(case())


def test_who_says_nothing_is_not_waited_for_for_ever() -> None:
    """Nor when the server goes."""

    async def case() -> None:
        with patch.object(negotiation, "PATIENCE", 0.05):
            async with rig(server={"h2c": True}) as gate:
                stream, writer = await asyncio.open_connection("127.0.0.1", gate.port)
                try:
                    assert await asyncio.wait_for(stream.read(), 30) == b""
                except ConnectionResetError:
                    pass
                writer.close()
        async with rig(server={"h2c": True}) as gate:
            stream, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            await until(lambda: bool(gate.server.server_state.connections))
            (waiting,) = gate.server.server_state.connections
            assert isinstance(waiting, Negotiation)
            waiting.shutdown()
            assert await asyncio.wait_for(stream.read(), 30) == b""
            writer.close()
        assert not [name for name in timers_left() if "abort" in name]

    run(case(), count_timers=True)


def test_a_client_that_does_not_trust_the_certificate_goes_and_nothing_is_left() -> None:
    async def case() -> None:
        async with rig(fast=HTTP2) as gate:
            with pytest.raises(ssl.SSLError):
                await asyncio.open_connection("127.0.0.1", gate.port, ssl=ssl.create_default_context())
            assert gate.port in HTTP2_PORTS
            assert (await ask(gate.port, SSE, question("sim/default"))).done

    run(case())
