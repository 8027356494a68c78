"""A request that is bad, too large, too slow or never whole: refused in OpenAI's shape, and the upstream not asked."""

from __future__ import annotations

import json

import pytest

from tests.e2e.faces import assert_success, face, question
from tests.fakes.gateway import HTTP2, rig, run, until
from tests.fakes.reader import Reader, ask, request_bytes


@face
@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"", 400, None),
        (b"{", 400, None),
        (b"[]", 400, None),
        (b'{"messages":[{}]}', 400, "model"),
        (b'{"model":"sim/default"}', 400, "messages"),
        (b'{"model":"sim/default","messages":[{}],"stream":"yes"}', 400, "stream"),
        (b'{"model":"","messages":[{}]}', 400, "model"),
        (b"\xff\xfe", 400, None),
        (b"[" * 100_000, 400, None),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(
    fast: bool, path: str, body: bytes, status: int, param: str | None
) -> None:
    """In OpenAI's shape; the upstream is not asked, and the connection is good for another request."""

    async def case() -> None:
        async with rig(fast=fast) as gate:
            reader = await Reader.connect(gate.port)
            for _ in range(2):
                reader.send(request_bytes(path, body))
                assert await reader.head() == status
                await reader.rest()
                error = reader.events()[0]["error"]
                assert (error["type"], error["param"]) == ("invalid_request_error", param)
            assert gate.opened == 0
            await reader.close()

    run(case())


@face
@pytest.mark.parametrize("chunked", [True, False])
def test_a_request_that_is_too_large_is_refused(fast: bool, path: str, chunked: bool) -> None:
    """By what it says, and by what it sends."""

    async def case() -> None:
        async with rig(fast=fast, server={"max_request_bytes": 1000}) as gate:
            reader = await Reader.connect(gate.port)
            if chunked:
                head = f"POST {path} HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n".encode()
                reader.send(head + b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n")
            else:
                reader.send(request_bytes(path, b"x" * 2000))
            assert await reader.head() == 413
            await reader.rest()
            assert reader.events()[0]["error"]["code"] == "request_too_large"
            assert gate.opened == 0
            await reader.close()

    run(case())


@face
def test_a_request_that_comes_too_slowly_is_refused(fast: bool, path: str) -> None:
    """408, and the connection closes."""

    async def case() -> None:
        async with rig(fast=fast, server={"request_timeout": 0.2}) as gate:
            reader = await Reader.connect(gate.port)
            reader.send(request_bytes(path, b'{"model":', length=100))
            assert await reader.head() == 408
            await reader.rest()
            if fast != HTTP2:  # there, the request's rest is refused, and its connection stays
                assert reader.headers["connection"] == "close"
                assert await reader.stream.read() == b""
            assert gate.opened == 0
            await reader.close()

    run(case())


@face
def test_a_request_that_comes_byte_by_byte_is_answered(fast: bool, path: str) -> None:
    """It is slow, and in time."""

    async def case() -> None:
        async with rig(fast=fast) as gate:
            reader = await Reader.connect(gate.port)
            for byte in request_bytes(path, json.dumps(question("sim/default")).encode()):
                reader.send(bytes([byte]))
                await reader.writer.drain()
            await reader.head()
            await reader.rest()
            assert_success(reader, path)
            await reader.close()

    run(case())


@face
@pytest.mark.parametrize("how", ["reset", "close", "half-close"])
def test_a_reader_who_leaves_before_its_request_is_whole_leaves_nothing(fast: bool, path: str, how: str) -> None:
    async def case() -> None:
        async with rig(fast=fast) as gate:
            state = gate.server.server_state
            reader = await Reader.connect(gate.port)
            reader.send(request_bytes(path, b'{"model":', length=100))
            await until(lambda: bool(state.tasks))  # the head is in, and its route waits for the rest
            if how == "reset":
                reader.hang_up()
            elif how == "half-close":
                reader.half_close()
            else:
                await reader.close()
            await until(lambda: not state.tasks)
            assert gate.opened == 0
            kept = fast == HTTP2 and how == "half-close"  # a stream is cancelled there, and its connection stays
            await until(lambda: len(state.connections) == kept)
            await reader.close()

    run(case())


@face
def test_a_model_that_nobody_serves_is_a_404(fast: bool, path: str) -> None:
    """Nobody is asked."""

    async def case() -> None:
        async with rig(fast=fast, models=("sim/*",)) as gate:
            reader = await ask(gate.port, path, question("unheard-of"))
            assert reader.status == 404
            assert reader.events()[0]["error"]["code"] == "model_not_found"
            assert gate.simulator is not None
            assert gate.simulator.stats()["requests"] == 0

    run(case())
