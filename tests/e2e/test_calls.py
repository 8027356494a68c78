"""Calls other than chat through the running gateway: on the fast path and on plain ASGI."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.e2e.faces import both
from tests.fakes.gateway import gateway, rig, run, simulator_options, until, upstream
from tests.fakes.limited import bearing
from tests.fakes.reader import Reader, ask, post, request_bytes
from tests.upstream.peer import serving
from tests.wire.test_multipart import form
from tidegate.policy.keys import hash_key, new_key
from tidegate.policy.options import AuthOptions, StaticKey
from tidegate.safety.profile import SafetyOptions
from tidegate.simulator.server import Simulator

COMPLETIONS, RESPONSES, EMBEDDINGS, SPEECH = (
    "/v1/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/audio/speech",
)
KEY = "sk-upstream-0123456789abcdef"
MULTIPART = {"content-type": "multipart/form-data; boundary=abc"}
JSON = {"content-type": "application/json"}


def stream(model: str = "sim/default", **fields: Any) -> dict[str, Any]:
    return {"model": model, "prompt": "Why?", "input": "Why?", "stream": True, **fields}


def last_error(reader: Reader) -> dict[str, Any]:
    error: dict[str, Any] = reader.events()[-1]["error"]
    return error


# Answers.


@both
@pytest.mark.parametrize("path", [COMPLETIONS, RESPONSES])
def test_a_stream_passes_byte_for_byte(fast: bool, path: str) -> None:
    async def case() -> None:
        async with rig(fast=fast) as found:
            assert found.simulator is not None
            direct = await ask(found.simulator.port, path, stream())
            through = await ask(found.port, path, stream())
            assert through.body == direct.body
            assert through.whole
            assert through.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert through.headers["x-accel-buffering"] == "no"
            record = await found.ended()
            assert (record.reason, record.framing, record.tokens) == ("stop", "raw", 20)
            assert record.ttft is not None
            assert record.bytes_out == len(through.body)

    run(case())


@both
def test_one_body_has_its_length(fast: bool) -> None:
    async def case() -> None:
        async with rig(fast=fast) as found:
            reader = await ask(found.port, EMBEDDINGS, stream(stream=False))
            assert reader.headers["content-length"] == str(len(reader.body))
            assert reader.headers["content-type"] == "application/json"
            assert reader.headers["x-content-type-options"] == "nosniff"
            assert len(json.loads(reader.body)["data"]) == 1
            record = await found.ended()
            assert record.usage is not None
            assert (record.operation, record.usage.prompt_tokens) == ("embeddings", 2)

    run(case())


@both
@pytest.mark.parametrize("secret", [False, True])
def test_a_long_body_flows_and_is_the_same(fast: bool, secret: bool) -> None:
    """Also where the upstream's key is looked for in it; its length is told where it is known."""

    async def case() -> None:
        async with rig(fast=fast, api_keys=(KEY,) if secret else ()) as found:
            content = bytes(range(256)) * 8192
            body = form((b'name="purpose"', b"batch"), (b'name="file"; filename="f"', content))
            made = await post(found.port, "/v1/files", body, MULTIPART)
            name = json.loads(made.body)["id"]
            reader = await ask(found.port, f"/v1/files/{name}/content", None, method="GET")
            assert reader.body == content
            assert reader.whole
            assert ("content-length" in reader.headers) is not secret

    run(case())


@both
def test_an_answer_without_a_body_is_one(fast: bool) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nx-request-id: 7\r\n\r\n")
        await reader.read()

    async def case() -> None:
        async with serving(answer) as port, gateway(upstream(f"http://127.0.0.1:{port}/v1"), fast=fast) as found:
            for method in ("DELETE", "POST"):
                reader = await ask(found.port, "/v1/files/x", None, method=method)
                assert (reader.status, reader.headers["x-request-id"]) == (204, "7")
                assert "content-length" not in reader.headers
                assert "transfer-encoding" not in reader.headers

    run(case())


# Failures.


@both
@pytest.mark.parametrize("path", [COMPLETIONS, RESPONSES])
@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [
        ("cut-after-7", "upstream_cut", "upstream_cut"),
        ("cut-clean-after-7", "upstream_cut", "upstream_cut"),
        ("rst-after-7", "upstream_cut", "upstream_cut"),
        ("half-event", "upstream_cut", "upstream_cut"),
        ("no-finish", "upstream_cut", "upstream_cut"),
        ("stall-after-7", "idle_timeout", "idle_timeout"),
        ("error-event", None, "upstream_error"),
    ],
)
def test_a_failure_in_a_stream_is_told_in_it(fast: bool, path: str, fault: str, code: str | None, reason: str) -> None:
    """On an event border, without an end marker; an error of the upstream's own stands as it said it."""

    async def case() -> None:
        async with rig(fast=fast, idle_timeout=0.5 if code == "idle_timeout" else 60.0) as found:
            reader = await ask(found.port, path, stream(f"sim/{fault}"))
            assert (reader.status, reader.whole) == (200, True)
            assert b"[DONE]" not in reader.body
            error = last_error(reader)
            assert error["message"]
            if code is not None:
                assert (error["code"], error["stream_id"]) == (code, reader.headers["x-stream-id"])
            record = await found.ended()
            assert record.reason == reason
            assert record.tokens == {"half-event": 3, "error-event": 3, "no-finish": 20}.get(fault, 7)

    run(case())


@both
@pytest.mark.parametrize("model", ["sim/cut-after-30", "sim/cut-clean-after-30", "sim/rst-after-30"])
def test_half_a_json_body_is_never_seen(fast: bool, model: str) -> None:
    async def case() -> None:
        async with rig(fast=fast, retry_attempts=1) as found:
            reader = await ask(found.port, EMBEDDINGS, stream(model))
            assert reader.status == 502
            assert last_error(reader)["code"] == "upstream_cut"
            assert (await found.ended()).retries == 1

    run(case())


@both
def test_a_body_that_is_cut_on_its_way_has_no_end(fast: bool) -> None:
    """There is no word for an error in a sound: the connection says it."""

    async def case() -> None:
        async with rig(fast=fast) as found:
            reader = await ask(found.port, SPEECH, {"model": "sim/cut-after-3", "input": "one two three four five"})
            assert (reader.status, reader.whole) == (200, False)
            assert (await found.ended()).reason == "upstream_cut"

    run(case())


@both
@pytest.mark.parametrize("path", [COMPLETIONS, EMBEDDINGS, SPEECH])
def test_a_refusal_passes_on_and_a_failure_is_tried_again(fast: bool, path: str) -> None:
    async def case() -> None:
        async with rig(fast=fast) as found:
            for model, status in (("sim/404", 404), ("sim/503", 502), ("sim/503-then-ok", 200)):
                assert (await ask(found.port, path, stream(model))).status == status

    run(case())


def test_a_change_is_never_sent_twice() -> None:
    """An upload that fails is the client's to repeat: the gateway cannot know how far it got."""
    seen = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        while await reader.readuntil(b"\r\n\r\n"):
            seen += 1
            writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")

    async def case() -> None:
        async with serving(answer) as port, gateway(upstream(f"http://127.0.0.1:{port}/v1")) as found:
            assert (await ask(found.port, "/v1/batches", {"input_file_id": "x"})).status == 502
            assert seen == 1
            assert (await ask(found.port, "/v1/batches", None, method="GET")).status == 502
            assert seen == 4, "to look again changes nothing"

    run(case())


@both
def test_secrets_of_the_upstream_are_never_repeated(fast: bool) -> None:
    async def case() -> None:
        async with rig(fast=fast, api_keys=(KEY,)) as found:
            for path in (COMPLETIONS, RESPONSES):
                refused = await ask(found.port, path, stream("sim/echo-key"))
                told = await ask(found.port, path, stream("sim/echo-key-stream"))
                assert refused.status == 401
                assert b"[redacted]" in told.body
                assert KEY.encode() not in refused.body + told.body

    run(case())


# Requests.


def test_headers_pass_as_those_of_chat_do() -> None:
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nset-cookie: a=b\r\nlocation: x\r\n"
            b"content-disposition: attachment\r\ncontent-length: 2\r\n\r\nok"
        )
        await reader.read()

    async def case() -> None:
        async with (
            serving(answer) as port,
            gateway(upstream(f"http://127.0.0.1:{port}/v1?api-version=7", api_keys=(KEY,))) as found,
        ):
            headers = {"authorization": "Bearer mine", "cookie": "c", "accept": "text/csv", "openai-beta": "x=y"}
            reader = await post(found.port, "/v1/files/a%20b?limit=2", b"", headers, "GET")
            assert reader.body == b"ok"
            assert reader.headers["content-disposition"] == "attachment"
            assert not {"set-cookie", "location"} & set(reader.headers)
            head = heads[0].decode().lower()
            assert head.startswith("get /v1/files/a%20b?limit=2&api-version=7 http/1.1")
            assert f"authorization: bearer {KEY}" in head
            assert "accept: text/csv" in head
            assert "openai-beta: x=y" in head
            assert "cookie" not in head
            assert "mine" not in head

    run(case())


@both
def test_a_model_goes_to_its_upstream_under_its_own_name(fast: bool) -> None:
    """In JSON and in a form; a call without one goes where the header or the configuration says, and else nowhere."""

    async def case() -> None:
        one, two = Simulator(simulator_options()), Simulator(simulator_options())
        for each in (one, two):
            await each.start()
        ups = (
            upstream(one.url, "one", models=("sim/default",)),
            upstream(two.url, "two", models=(), aliases={"ears": "sim/prose"}),
        )
        try:
            async with gateway(*ups, fast=fast) as found:
                body = form((b'name="file"; filename="f"', b"x" * 200_000), (b'name="model"', b"ears"))
                heard = await post(found.port, "/v1/audio/transcriptions", body, MULTIPART)
                assert json.loads(heard.body)["text"].endswith("200000 bytes.")
                read = await ask(found.port, EMBEDDINGS, stream("ears", stream=False))
                assert json.loads(read.body)["model"] == "sim/prose"
                assert [len(one.truths), [truth.model for truth in two.truths]] == [0, ["sim/prose", "sim/prose"]]
                unclear = await ask(found.port, "/v1/files", None, method="GET")
                assert (unclear.status, last_error(unclear)["code"]) == (400, "unknown_upstream")
                for name, status in (("two", 200), ("three", 400)):
                    chosen = await ask(found.port, "/v1/files", None, {"x-tidegate-upstream": name}, "GET")
                    assert chosen.status == status
                assert len(two.truths) == 3
            async with gateway(*ups, fast=fast, server={"default_upstream": "one"}) as found:
                assert (await ask(found.port, "/v1/files", None, method="GET")).status == 200
                assert len(one.truths) == 1
        finally:
            for each in (one, two):
                await each.close()

    run(case())


def test_what_must_not_pass_is_refused() -> None:
    app = new_key()
    auth = AuthOptions(keys=(StaticKey(id="app", hash=hash_key(app), models=("sim/*",)),))

    async def case() -> None:
        async with rig(auth=auth, server={"max_request_bytes": 1000}) as found:
            for path, body, headers, method, status in (
                (EMBEDDINGS, b'{"model":"sim/default"}', {}, "POST", 401),
                (EMBEDDINGS, b'{"model":"other"}', bearing(app), "POST", 404),
                (EMBEDDINGS, b"{", bearing(app) | JSON, "POST", 400),
                (EMBEDDINGS, b" " * 1001, bearing(app), "POST", 413),
                ("/v1/files", b"", bearing(app), "GET", 403),
                ("/v1/x/../y", b"", bearing(app), "GET", 404),
                (EMBEDDINGS, b"", bearing(app), "HEAD", 405),
                ("/v1/chat/completions", b"", bearing(app), "GET", 405),
                ("/v1/chat/other", b"", bearing(app), "GET", 404),
                ("/v1/streams/x/y/z", b"", bearing(app), "GET", 404),
                ("/v1/models/other", b"", bearing(app), "GET", 404),
            ):
                reader = await Reader.connect(found.port)
                reader.send(request_bytes(path, body, headers, method))
                assert (await reader.head(), path) == (status, path)
                await reader.close()
            assert found.opened == 0
        async with rig(server={"calls": False}) as found:
            assert last_error(await ask(found.port, EMBEDDINGS, stream()))["code"] == "unknown_url"

    run(case())


def test_what_cannot_be_filtered_does_not_pass_a_filter() -> None:
    async def case() -> None:
        async with rig(sections={"safety": SafetyOptions(use="default")}) as found:
            reader = await ask(found.port, COMPLETIONS, stream())
            assert (reader.status, last_error(reader)["code"]) == (403, "not_filtered")
        async with rig() as found:
            reader = await ask(found.port, COMPLETIONS, stream(), {"x-tidegate-safety": "default"})
            assert reader.status == 403
        async with gateway(upstream("http://127.0.0.1:9/v1", safety="strict")) as found:
            assert (await ask(found.port, COMPLETIONS, stream())).status == 403
            reader = await Reader.connect(found.port)
            reader.send(request_bytes("/v1/files", b"", {}, "GET"))
            assert await reader.head() == 403
            await reader.close()

    run(case())


# Lives.


@both
@pytest.mark.parametrize("phase", ["thinking", "streaming"])
@pytest.mark.parametrize("path", [COMPLETIONS, RESPONSES, SPEECH])
def test_a_reader_that_leaves_stops_the_model(fast: bool, path: str, phase: str) -> None:
    async def case() -> None:
        wait = 30.0 if phase == "thinking" else 0.0
        async with rig(fast=fast, simulated=simulator_options(ttft=wait, tps=50.0, tokens=5000)) as found:
            if path == SPEECH and phase == "thinking":
                body = {"model": "sim/stall", "input": "one"}
            else:
                body = stream(input="tide " * 5000)
            reader = await Reader.connect(found.port)
            reader.send(request_bytes(path, json.dumps(body).encode(), JSON))
            simulator = found.simulator
            assert simulator is not None
            if phase == "streaming":
                await reader.head()
                await reader.chunk()
            else:
                await until(lambda: simulator.stats()["running"] == 1)
            reader.hang_up()
            record = await found.ended()
            assert record.reason == "client_cancel"
            await until(lambda: simulator.stats()["aborted"] == 1)

    run(case())


@both
def test_a_reader_who_does_not_read_holds_the_upstream_back(fast: bool) -> None:
    """Memory is bounded: no more is taken from the upstream than the marks allow."""
    sent = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\nconnection: close\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async def case() -> None:
        async with serving(answer) as port, gateway(upstream(f"http://127.0.0.1:{port}/v1"), fast=fast) as found:
            reader = await Reader.connect(found.port, receive_buffer=8192)
            reader.send(request_bytes("/v1/files/x/content", b"", method="GET"))
            await reader.head()
            await until(lambda: any(stream.paused for stream in found.gateway.relay.registry))
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.3)
            assert sent < 16 * 1024 * 1024, "what the kernel's socket buffers take"
            reader.hang_up()
            assert (await found.ended()).reason == "client_cancel"

    run(case())


@both
def test_a_call_is_seen_and_stopped_like_a_stream(fast: bool) -> None:
    async def case() -> None:
        async with rig(fast=fast, simulated=simulator_options(tokens=5000, tps=50.0)) as found:
            for method, path in (("DELETE", ""), ("POST", "/stop")):
                reader = await Reader.connect(found.port)
                reader.send(request_bytes(COMPLETIONS, json.dumps(stream()).encode(), JSON))
                await reader.head()
                (live,) = json.loads((await ask(found.port, "/v1/streams", None, method="GET")).body)["data"]
                assert live["framing"] == "raw"
                await ask(found.port, f"/v1/streams/{live['id']}{path}", None, method=method)
                await reader.rest()
                assert last_error(reader)["code"] == "client_cancel"
                await reader.close()

    run(case())
