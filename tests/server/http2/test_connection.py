"""server/http2/connection.py: what a peer may do and what it may not, and how a connection ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from unittest.mock import patch

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, Event, PingAckReceived, ResponseReceived, StreamEnded, StreamReset
from hyperframe.frame import DataFrame, HeadersFrame, PingFrame, SettingsFrame, WindowUpdateFrame

from tests.e2e.faces import SSE, question
from tests.fakes.gateway import HTTP2, Rig, rig, run, simulator_options, until
from tests.fakes.http2 import Http2Reader, client_context
from tests.fakes.loop import timers_left
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.server.http2 import connection
from tidegate.server.http2.connection import Http2Protocol

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LONG = request_bytes(SSE, json.dumps(question("sim/default?tokens=100000")).encode())


class Peer:
    """A connection on which anything can be said."""

    def __init__(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.stream, self.writer = stream, writer
        self.h2 = H2Connection(H2Configuration(client_side=True, validate_outbound_headers=False))
        self.h2.initiate_connection()
        self.flush()

    @classmethod
    async def connect(cls, gate: Rig) -> Peer:
        made = await asyncio.open_connection("127.0.0.1", gate.port, ssl=client_context(), server_hostname="localhost")
        return cls(*made)

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def ask(self, method: str = "GET", path: str = "/healthz", *more: tuple[str, str], end: bool = True) -> int:
        number = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path), *more]
        self.h2.send_headers(number, fields, end_stream=end)
        self.flush()
        return number

    async def until(self, kind: type[Event], number: int | None = None) -> Any:
        """Read until there is such an event."""
        while data := await asyncio.wait_for(self.stream.read(65_536), 30):
            found = None
            for event in self.h2.receive_data(data):
                if isinstance(event, kind) and (number is None or getattr(event, "stream_id", None) == number):
                    found = event
            if not isinstance(found, ConnectionTerminated):
                self.flush()
            if found is not None:
                return found
        raise AssertionError(f"the connection ended before {kind.__name__}")

    async def closed(self) -> None:
        """Until the other side has closed."""
        try:
            while await asyncio.wait_for(self.stream.read(65_536), 30):
                pass
        except ConnectionError:
            pass
        self.writer.transport.abort()


def protocol_of(gate: Rig) -> Http2Protocol:
    (found,) = gate.server.server_state.connections
    assert isinstance(found, Http2Protocol)
    return found


WRONG = {
    "data on no stream": DataFrame(3, data=b"x").serialize(),
    "a window beyond all windows": WindowUpdateFrame(0, window_increment=2**31 - 1).serialize() * 2,
    "headers that are none": HeadersFrame(1, data=b"\xff\xff\xff", flags=["END_HEADERS"]).serialize(),
    "an even stream": HeadersFrame(2, data=b"\x82", flags=["END_HEADERS"]).serialize(),
    "a frame that is too long": b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + b"x" * 20_000,
    "a setting that is none": SettingsFrame(0, settings={4: 2**31}).serialize(),
    "a whole other protocol": b"GET / HTTP/1.1\r\n\r\n" * 3,
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_breaks_the_protocol_ends_the_connection_and_its_streams(wrong: str) -> None:
    """With a GOAWAY where one can be said; the model stops."""

    async def case() -> None:
        async with rig(fast=HTTP2) as gate:
            reader = await Reader.connect(gate.port)
            reader.send(LONG)
            assert await reader.head() == 200
            reader.writer.write(WRONG[wrong])
            assert (await gate.ended()).reason == "client_cancel"
            await until(lambda: not gate.server.server_state.connections)
            await reader.close()

    run(case())


def test_anything_else_that_goes_wrong_ends_the_connection_too(capfd: pytest.CaptureFixture[str]) -> None:
    async def case() -> None:
        async with rig(fast=HTTP2) as gate:
            peer = await Peer.connect(gate)
            await until(lambda: bool(gate.server.server_state.connections))
            with patch.object(protocol_of(gate).h2, "receive_data", side_effect=KeyError("secret")):
                peer.ask()
                await peer.closed()

    run(case())
    out, err = capfd.readouterr()
    assert "server.bug" in out + err
    assert "secret" not in out + err


def test_who_resets_more_streams_than_anybody_needs_is_refused() -> None:
    """Each would cost a request to a model. They are forgotten after a while."""

    async def case() -> None:
        with patch.object(connection, "MAX_RESETS", 5), patch.object(connection, "RESET_PERIOD", 1000.0):
            async with rig(fast=HTTP2) as gate:
                peer = await Peer.connect(gate)
                await until(lambda: bool(gate.server.server_state.connections))
                protocol = protocol_of(gate)
                protocol._resets, protocol._resets_since = 5, protocol._resets_since - 2000.0
                for left in (1, 2):
                    peer.h2.reset_stream(peer.ask("POST", SSE, end=False), 8)
                    peer.flush()
                    await until(lambda left=left: protocol._resets == left)  # type: ignore[misc] # as it is now
                for _ in range(4):
                    peer.h2.reset_stream(peer.ask("POST", SSE, end=False), 8)
                peer.flush()
                assert (await peer.until(ConnectionTerminated)).error_code == 11
                await peer.closed()

    run(case())


def test_a_stream_that_is_begun_and_reset_in_one_read_is_none() -> None:
    async def case() -> None:
        async with rig(fast=HTTP2) as gate:
            peer = await Peer.connect(gate)
            await until(lambda: bool(gate.server.server_state.connections))
            data = b""
            for _ in range(3):
                number = peer.h2.get_next_available_stream_id()
                fields = [(":method", "POST"), (":scheme", "https"), (":authority", "a"), (":path", SSE)]
                peer.h2.send_headers(number, fields)
                peer.h2.reset_stream(number, 8)
                data += peer.h2.data_to_send()
            peer.writer.write(data)
            last = peer.ask()
            await peer.until(StreamEnded, last)
            assert not protocol_of(gate)._exchanges
            assert gate.opened == 0
            peer.writer.close()

    run(case())


def test_who_does_not_read_the_answers_to_its_pings_is_refused() -> None:
    async def case() -> None:
        with patch.object(connection, "MAX_OWED", 1000):
            async with rig(fast=HTTP2) as gate:
                peer = await Peer.connect(gate)
                peer.h2.ping(b"12345678")
                peer.flush()
                await peer.until(PingAckReceived)
                protocol_of(gate).paused = True
                peer.writer.write(PingFrame(0, opaque_data=b"12345678").serialize() * 100)
                await peer.closed()

    run(case())


def test_a_connection_that_does_nothing_is_closed_and_one_with_a_stream_is_not() -> None:
    """No timer is left."""

    async def case() -> None:
        async with rig(fast=HTTP2, simulated=simulator_options(tokens=30, tps=50)) as gate:
            gate.server.config.timeout_keep_alive = 0.2  # type: ignore[assignment] # any number will do
            reader = await Reader.connect(gate.port)
            reader.send(request_bytes(SSE, json.dumps(question("sim/default")).encode()))
            await reader.head()
            await reader.rest()
            assert reader.done
            await until(lambda: not gate.server.server_state.connections)
            await reader.close()
        assert not [name for name in timers_left() if "Http2" in name]

    run(case(), count_timers=True)


def test_a_server_that_goes_says_so_and_answers_what_it_has() -> None:
    """A request that comes later is refused as one that was not begun, so that it can be asked elsewhere."""

    async def case() -> None:
        async with rig(fast=HTTP2, simulated=simulator_options(tokens=20, tps=100)) as gate:
            peer = await Peer.connect(gate)
            body = json.dumps(question("sim/default")).encode()
            number = peer.ask("POST", SSE, end=False)
            peer.h2.send_data(number, body, end_stream=True)
            peer.flush()
            await peer.until(ResponseReceived, number)
            protocol_of(gate).shutdown()
            protocol_of(gate).shutdown()
            assert (await peer.until(ConnectionTerminated)).last_stream_id == number
            assert (await gate.ended()).reason == "length"
            await peer.closed()
            idle = await Peer.connect(gate)
            await until(lambda: bool(gate.server.server_state.connections))
            protocol_of(gate).shutdown()
            await idle.until(ConnectionTerminated)
            await idle.closed()

    run(case())


def test_a_request_after_its_goodbye_is_refused() -> None:
    async def case() -> None:
        async with rig(fast=HTTP2) as gate:
            peer = await Peer.connect(gate)
            first = peer.ask("POST", SSE, end=False)  # its body never comes
            await until(lambda: bool(gate.server.server_state.tasks))
            protocol_of(gate)._going = True
            refused = peer.ask()
            assert (await peer.until(StreamReset, refused)).error_code == 7
            peer.h2.reset_stream(first, 8)
            peer.flush()
            await peer.closed()

    run(case())


def test_a_peer_that_says_goodbye_reads_nothing_more() -> None:
    async def case() -> None:
        async with rig(fast=HTTP2) as gate:
            reader = await Reader.connect(gate.port)
            assert isinstance(reader, Http2Reader)
            reader.send(LONG)
            await reader.head()
            reader.h2.close_connection()
            reader.writer.write(reader.h2.data_to_send())
            assert (await gate.ended()).reason == "client_cancel"
            await until(lambda: not gate.server.server_state.connections)
            await reader.close()

    run(case())


@pytest.mark.parametrize(
    ("method", "path", "status", "length"),
    [("HEAD", "/healthz", 200, 0), ("GET", "/healthz", 200, 1), ("GET", "/no", 404, 1)],
)
def test_other_routes_are_answered_as_ever(method: str, path: str, status: int, length: int) -> None:
    async def case() -> None:
        async with rig(fast=HTTP2) as gate:
            reader = await ask(gate.port, path, None, method=method)
            assert reader.status == status
            assert bool(reader.body) == bool(length)
            assert reader.whole

    run(case())


def test_a_request_is_what_it_is_over_http1() -> None:
    """Authority, path and query; a body in padded frames; a length that is wrong ends the connection."""
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        seen.append({**scope, "body": body})
        await send({"type": "http.response.start", "status": 204, "headers": [(b"transfer-encoding", b"chunked")]})
        await send({"type": "http.response.body", "body": b""})

    async def case() -> None:
        async with rig(fast=HTTP2) as gate:
            gate.server.config.loaded_app = app
            peer = await Peer.connect(gate)
            number = peer.ask("POST", "/a%20b/%C3%A9?x=1%202&y", ("x-one", "1"), end=False)
            for data in (b"one ", b"two ", b"three"):
                peer.h2.send_data(number, data, pad_length=100, end_stream=data == b"three")
                peer.flush()
                await asyncio.sleep(0.01)
            head = await peer.until(ResponseReceived, number)
            assert (b":status", b"204") in head.headers
            assert b"transfer-encoding" not in dict(head.headers)
            peer.writer.close()

    run(case())
    (scope,) = seen
    assert scope["body"] == b"one two three"
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b/é", b"/a%20b/%C3%A9", b"x=1%202&y")
    assert (scope["http_version"], scope["scheme"], scope["method"]) == ("2", "https", "POST")
    assert scope["headers"] == [(b"host", b"localhost"), (b"x-one", b"1")]
    assert scope["client"][0] == scope["server"][0] == "127.0.0.1"
