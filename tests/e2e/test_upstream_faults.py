"""Every way in which an upstream fails ends honestly: over real sockets, on the fast path and on plain ASGI, as SSE and
as NDJSON."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import trustme

from tests.e2e.faces import NDJSON, SSE, assert_refused, assert_success, assert_told, face, question, the_answer
from tests.fakes.deaf import deaf_port
from tests.fakes.gateway import Rig, gateway, rig, run, simulator_options, until, upstream
from tests.fakes.ports import unused_port
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.simulator.server import Simulator

KEY = "sk-upstream-0123456789abcdef"

# Failures in the stream.


@face
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("cut-after-7", "upstream_cut"),
        ("cut-clean-after-7", "upstream_cut"),
        ("rst-after-7", "upstream_cut"),
        ("half-event", "upstream_cut"),
        ("no-finish", "upstream_cut"),
        ("done-only", "upstream_cut"),
        ("stall-after-7", "idle_timeout"),
        ("error-event", "fire"),
        ("late-error-after-finish", "fire"),
        ("big-event-20", "event_too_large"),
    ],
)
def test_a_failure_after_the_first_token_is_told_in_the_stream(fast: bool, path: str, fault: str, code: str) -> None:
    """What came before it was delivered; the model server's generation is over."""

    async def case() -> None:
        async with rig(fast=fast, idle_timeout=0.5 if code == "idle_timeout" else 60.0) as gate:
            reader = await ask(gate.port, path, question(f"sim/{fault}"))
            count = {"half-event": 3, "error-event": 3, "big-event-20": 2}.get(fault, 7 if fault.endswith("-7") else 20)
            assert_told(reader, code, the_answer(count))
            record = await gate.ended()
            assert record.error_code == code
            assert record.tokens == count
            reasons = {"upstream_cut": "upstream_cut", "idle_timeout": "idle_timeout"}
            assert record.reason == reasons.get(code, "upstream_error")

    run(case())


@face
def test_a_malformed_event_can_be_fatal(fast: bool, path: str) -> None:
    """By configuration."""

    async def case() -> None:
        async with rig(fast=fast, malformed="fatal") as gate:
            reader = await ask(gate.port, path, question("sim/garbage"))
            assert_told(reader, "malformed_event", the_answer(3))

    run(case())


@face
def test_the_whole_is_bounded_in_time(fast: bool, path: str) -> None:
    """However steadily tokens come."""

    async def case() -> None:
        async with rig(fast=fast, total_timeout=1.0, simulated=simulator_options(tps=50, tokens=1000)) as gate:
            reader = await ask(gate.port, path, question("sim/default"))
            assert_told(reader, "total_timeout")
            assert (await gate.ended()).reason == "total_timeout"

    run(case())


# Failures before the stream.


@face
@pytest.mark.parametrize(
    ("fault", "status", "code", "reason"),
    [
        ("401", 401, "invalid_api_key", "upstream_refused"),
        ("403", 403, "forbidden", "upstream_refused"),
        ("404", 404, "model_not_found", "upstream_refused"),
        ("429", 429, "rate_limit_exceeded", "upstream_refused"),
        ("500", 502, "upstream_error", "upstream_error"),
        ("503", 502, "upstream_error", "upstream_error"),
        ("html", 502, "upstream_protocol_error", "upstream_error"),
        ("head-bomb", 502, "upstream_protocol_error", "upstream_error"),
        ("two-lengths", 502, "upstream_protocol_error", "upstream_error"),
        ("stall", 504, "first_token_timeout", "first_token_timeout"),
        ("silent", 504, "first_token_timeout", "first_token_timeout"),
        ("cut-after-0", 502, "upstream_cut", "upstream_cut"),
        ("rst-after-0", 502, "upstream_cut", "upstream_cut"),
        ("cut-clean-after-0", 502, "upstream_cut", "upstream_cut"),
        ("stall-after-0", 504, "first_token_timeout", "first_token_timeout"),
    ],
)
def test_a_failure_before_the_first_token_has_a_status(
    fast: bool, path: str, fault: str, status: int, code: str, reason: str
) -> None:
    """After as many tries as are worth making; never 200."""

    async def case() -> None:
        async with rig(fast=fast, first_token_timeout=0.15 if status == 504 else 60.0) as gate:
            reader = await ask(gate.port, path, question(f"sim/{fault}"))
            assert_refused(reader, status, code)
            record = await gate.ended()
            assert (record.reason, record.error_code, record.status) == (reason, code, status)
            retryable = status >= 500
            assert record.retries == (2 if retryable else 0)
            if fault == "429":
                assert reader.headers["retry-after"] == "30"

    run(case())


@face
def test_nobody_listening_is_a_502(fast: bool, path: str) -> None:
    """Connection refused."""

    async def case() -> None:
        async with gateway(upstream(f"http://127.0.0.1:{unused_port()}/v1"), fast=fast) as gate:
            reader = await ask(gate.port, path, question("m"))
            assert_refused(reader, 502, "upstream_unreachable")
            assert (await gate.ended()).retries == 2

    run(case())


@face
def test_a_name_without_an_address_is_a_502(fast: bool, path: str) -> None:
    """DNS failure."""

    async def case() -> None:
        async with gateway(upstream("http://no-such-host.invalid/v1"), fast=fast, retry_attempts=0) as gate:
            reader = await ask(gate.port, path, question("m"))
            assert_refused(reader, 502, "upstream_unreachable")
            assert "no-such-host.invalid" in reader.events()[0]["error"]["message"]

    run(case())


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@face
def test_a_certificate_that_is_not_trusted_is_a_502(fast: bool, path: str, authority: trustme.CA) -> None:
    """TLS failure: told once, not tried again."""

    async def case() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        try:
            async with gateway(upstream(f"https://127.0.0.1:{port}/v1"), fast=fast) as gate:
                reader = await ask(gate.port, path, question("m"))
                assert_refused(reader, 502, "upstream_tls_failed")
                assert "self-signed certificate" in reader.events()[0]["error"]["message"] or (
                    "unable to get local issuer" in reader.events()[0]["error"]["message"]
                )
                assert (await gate.ended()).retries <= 1
        finally:
            server.close()

    run(case())


@face
def test_an_address_that_does_not_answer_is_a_504(fast: bool, path: str) -> None:
    """Connect timeout."""

    async def case() -> None:
        with deaf_port() as port:
            up = upstream(f"http://127.0.0.1:{port}/v1", connect_timeout=0.2)
            async with gateway(up, fast=fast, retry_attempts=0) as gate:
                reader = await ask(gate.port, path, question("m"))
                assert_refused(reader, 504, "connect_timeout")
                assert (await gate.ended()).reason == "connect_timeout"

    run(case())


@face
@pytest.mark.parametrize("fault", ["echo-key", "echo-key-stream"])
def test_the_upstreams_key_never_reaches_the_reader(
    fast: bool, path: str, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a refusal, in a token, in an error event; nor the log."""

    async def case() -> None:
        async with rig(fast=fast, api_keys=(KEY,)) as gate:
            reader = await ask(gate.port, path, question(f"sim/{fault}"))
            assert KEY.encode() not in reader.body
            assert b"[redacted]" in reader.body
            assert all(KEY not in value for value in reader.headers.values())

    run(case())
    out, err = capfd.readouterr()
    assert KEY not in out + err


@face
def test_an_upstream_that_dies_is_told(fast: bool, path: str) -> None:
    """All its connections at once, in the middle."""

    async def case() -> None:
        simulator = Simulator(simulator_options(tps=50, tokens=1000))
        await simulator.start()
        async with gateway(upstream(simulator.url), fast=fast) as gate:
            reader = await Reader.connect(gate.port)
            reader.send(request_bytes(path, b'{"model":"sim/default","stream":true,"messages":[{}]}'))
            await reader.head()
            await reader.until(b" day")
            await simulator.close()
            await reader.rest()
            assert_told(reader, "upstream_cut")
            await reader.close()

    run(case())


def test_the_whole_suite_of_faults_runs_on_asyncios_own_loop() -> None:
    """Without uvloop."""

    async def case() -> None:
        async with rig(idle_timeout=0.5) as gate:
            assert_success(await ask(gate.port, SSE, question("sim/default")), SSE)
            assert_success(await ask(gate.port, NDJSON, question("sim/default")), NDJSON)
            assert_told(await ask(gate.port, SSE, question("sim/cut-after-7")), "upstream_cut", the_answer(7))
            assert_told(await ask(gate.port, SSE, question("sim/stall-after-7")), "idle_timeout", the_answer(7))
            assert_refused(await ask(gate.port, SSE, question("sim/500")), 502)
            await leaves(gate)

    run(case(), plain_loop=True)


async def leaves(gate: Rig) -> None:
    reader = await Reader.connect(gate.port)
    reader.send(request_bytes(SSE, b'{"model":"sim/stall-after-5","stream":true,"messages":[{}]}'))
    await reader.head()
    reader.hang_up()
    await until(lambda: gate.records[-1].reason == "client_cancel")
