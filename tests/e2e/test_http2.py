"""Many streams on one connection of HTTP/2: none waits for another, each has its own end; and real processes."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes

from tests.e2e.faces import NDJSON, SSE, question
from tests.fakes.gateway import HTTP2, rig, run, simulator_options, until
from tests.fakes.http2 import client_context
from tidegate.server.http2.connection import Http2Protocol

LOOPS = pytest.mark.parametrize("plain_loop", [False, True], ids=["uvloop", "asyncio"])


SLOW = question("sim/default?tokens=150&tps=50")


class Client:
    """One connection with many streams. Streams in ``unread`` get no room beyond their first window."""

    def __init__(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.stream, self.writer = stream, writer
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.status: dict[int, int] = {}
        self.body: dict[int, bytearray] = {}
        self.ended: dict[int, str] = {}
        self.unread: set[int] = set()
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(1 << 24)
        self.flush()
        self.task = asyncio.create_task(self.read())

    @classmethod
    async def connect(cls, port: int) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=client_context(), server_hostname="localhost"))

    def ask(self, path: str, body: object) -> int:
        number = self.h2.get_next_available_stream_id()
        self.body[number] = bytearray()
        data = json.dumps(body).encode()
        fields = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
        self.h2.send_headers(number, [*fields, ("content-length", str(len(data)))])
        self.h2.send_data(number, data, end_stream=True)
        self.flush()
        return number

    def reset(self, number: int) -> None:
        self.h2.reset_stream(number, ErrorCodes.CANCEL)
        self.ended[number] = "cancelled"
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    async def read(self) -> None:
        while data := await self.stream.read(65_536):
            for event in self.h2.receive_data(data):
                if isinstance(event, ResponseReceived):
                    self.status[event.stream_id] = int(dict(event.headers)[b":status"])
                elif isinstance(event, DataReceived):
                    self.body[event.stream_id] += event.data
                    if not event.flow_controlled_length:
                        continue
                    if event.stream_id not in self.unread:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    else:
                        self.h2.increment_flow_control_window(event.flow_controlled_length)
                elif isinstance(event, StreamEnded):
                    self.ended[event.stream_id] = "whole"
                elif isinstance(event, StreamReset):
                    self.ended[event.stream_id] = ErrorCodes(event.error_code).name
            self.flush()

    async def close(self) -> None:
        self.writer.close()
        await asyncio.wait([self.task])
        self.writer.transport.abort()


@LOOPS
def test_a_stream_that_is_not_read_stalls_no_other(plain_loop: bool) -> None:
    """Its upstream is held, and it is given up alone."""

    async def case() -> None:
        async with rig(fast=HTTP2, stall_timeout=0.5) as gate:
            client = await Client.connect(gate.port)
            unread = client.ask(SSE, question("sim/flood-50"))
            client.unread.add(unread)
            await until(lambda: any(stream.paused for stream in gate.gateway.relay.registry))
            others = [client.ask(path, question("sim/default")) for path in (SSE, NDJSON) for _ in range(10)]
            await until(lambda: all(client.ended.get(number) == "whole" for number in others))
            assert all(b"finish_reason" in client.body[number] for number in others)
            await until(lambda: unread in client.ended)
            assert client.ended[unread] == "INTERNAL_ERROR"
            assert len(client.body[unread]) == 65_535, "the window that it had"
            (record,) = [record for record in gate.records if record.reason == "client_stalled"]
            assert record.bytes_in < 8 << 20
            again = client.ask(SSE, question("sim/default"))
            await until(lambda: client.ended.get(again) == "whole")
            await client.close()

    run(case(), plain_loop=plain_loop)


def test_a_hundred_streams_on_one_connection_are_whole_and_each_can_be_cancelled() -> None:
    async def case() -> None:
        async with rig(fast=HTTP2, simulated=simulator_options(tokens=50)) as gate:
            client = await Client.connect(gate.port)
            models = ["sim/default?tokens=100000" if at % 5 == 0 else "sim/default" for at in range(100)]
            numbers = [client.ask((SSE, NDJSON)[at % 2], question(model)) for at, model in enumerate(models)]
            cancelled = numbers[::5]
            await until(lambda: all(b"content" in client.body[number] for number in cancelled))
            for number in cancelled:
                client.reset(number)
            await until(lambda: len(client.ended) == 100)
            assert [number for number in numbers if client.ended[number] == "cancelled"] == cancelled
            assert {client.ended[number] for number in numbers if number not in cancelled} == {"whole"}
            await until(lambda: len(gate.records) == 100)
            assert sum(record.reason == "client_cancel" for record in gate.records) == len(cancelled)
            assert gate.simulator is not None
            await until(lambda: gate.simulator is not None and gate.simulator.stats()["aborted"] == len(cancelled))
            assert len(gate.server.server_state.connections) == 1
            await client.close()

    run(case())


def test_windows_are_those_that_the_peer_gives() -> None:
    """One of a few bytes, made larger while the answer waits; and h2 counts as we do."""

    async def case() -> None:
        async with rig(fast=HTTP2) as gate:
            client = await Client.connect(gate.port)
            client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1000})
            client.flush()
            await until(lambda: client.h2.local_settings.initial_window_size == 1000)
            number = client.ask(SSE, question("sim/default"))
            client.unread.add(number)
            await until(lambda: len(client.body[number]) == 1000)
            (protocol,) = gate.server.server_state.connections
            assert isinstance(protocol, Http2Protocol)
            assert protocol.h2.local_flow_control_window(number) == 0
            client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 3000})
            client.flush()
            await until(lambda: len(client.body[number]) == 3000)
            client.h2.increment_flow_control_window(100_000, number)
            client.flush()
            await until(lambda: client.ended.get(number) == "whole")
            assert client.body[number].endswith(b"data: [DONE]\n\n")
            await client.close()

    run(case())


def test_a_window_of_the_connection_is_shared_in_turns() -> None:
    """Long answers that wait for it all go on."""

    async def case() -> None:
        async with rig(fast=HTTP2) as gate:
            client = await Client.connect(gate.port)
            numbers = [client.ask(SSE, question("sim/flood-1")) for _ in range(8)]
            await until(lambda: all(client.ended.get(number) == "whole" for number in numbers))
            assert all(len(client.body[number]) > 1 << 20 for number in numbers)
            await client.close()

    run(case())


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """``tidegate serve``, its port, and what it said until it was ready."""
    started = subprocess.Popen(
        [sys.executable, "-m", "tidegate", "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert started.stdout is not None
    try:
        said = ""
        for line in started.stdout:
            said += line
            if "    -d " in line:
                break
        found = re.search(r"is ready: https://127\.0\.0\.1:(\d+)", said)
        assert found, said
        yield started, int(found[1]), said
    finally:
        started.kill()
        started.wait(60)
        started.stdout.close()


def served(port: int) -> bytes:
    """The certificate that is served there."""
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port), timeout=30))


def test_a_certificate_is_read_again_on_sighup_and_streams_go_on(tmp_path: Path) -> None:
    """Of a real process. What does not serve is said in the log, and the old one stays."""
    authority = trustme.CA()

    def write() -> bytes:
        made = authority.issue_cert("localhost", "127.0.0.1")
        made.private_key_pem.write_to_path(tmp_path / "key.pem")
        made.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        return ssl.PEM_cert_to_DER_cert(made.cert_chain_pems[0].bytes().decode())

    first = write()
    files = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    with serving(*files, "--log-format", "json") as (process, port, _):
        assert served(port) == first
        with subprocess.Popen(
            ["curl", "-skN", "--http2", "--max-time", "60", f"https://127.0.0.1:{port}{SSE}", "-d", json.dumps(SLOW)],
            stdout=subprocess.PIPE,
        ) as curl:
            assert curl.stdout is not None
            assert curl.stdout.readline().startswith(b"data: ")
            second = write()
            process.send_signal(signal.SIGHUP)
            assert process.stdout is not None
            assert any("server.reloaded" in line for line in process.stdout)
            assert served(port) == second
            (tmp_path / "key.pem").write_text("broken")
            process.send_signal(signal.SIGHUP)
            failed = next(line for line in process.stdout if "server.reload_failed" in line)
            assert "--tls-key: is" in failed
            assert served(port) == second
            assert curl.stdout.read().endswith(b"data: [DONE]\n\n")


def test_a_certificate_for_this_machine_is_made_and_its_curl_line_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is printed, with HTTP/2."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with serving("--tls-dev") as (_, _, said):
        assert f"trusted by nobody yet: {tmp_path}/tidegate/tls-dev.pem" in said
        line = said[said.index("  curl -N") :].replace("curl -N", "curl -sN -w '%{http_version}' --max-time 60")
        answer = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=90, check=True).stdout
        assert answer.endswith("\n2")
        assert '"finish_reason":"' in answer
