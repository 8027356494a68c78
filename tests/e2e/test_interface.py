"""The HTTP interface: routes, framings, stop and cancel, keys, headers, figures; against the running gateway."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.faces import both
from tests.fakes.gateway import HTTP2, Rig, gateway, rig, run, simulator_options, until, upstream
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.policy.keys import hash_key, new_key
from tidegate.policy.options import AuthOptions, StaticKey
from tidegate.simulator.server import Simulator

SSE, OWN = "/v1/chat/completions", "/api/v1/chat/stream"


def question(model: str = "sim/default", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Why?"}], **fields}


@both
@pytest.mark.parametrize(
    ("path", "accept", "stream", "content_type"),
    [
        (SSE, "*/*", True, "text/event-stream; charset=utf-8"),
        (SSE, "application/x-ndjson", True, "application/x-ndjson"),
        (SSE, "*/*", None, "application/json"),
        (SSE, "*/*", False, "application/json"),
        (OWN, "*/*", None, "application/x-ndjson"),
        (OWN, "*/*", True, "application/x-ndjson"),
        (OWN, "text/event-stream", None, "text/event-stream; charset=utf-8"),
    ],
)
def test_the_framing_is_the_one_that_was_asked_for(
    fast: bool, path: str, accept: str, stream: bool | None, content_type: str
) -> None:
    """And the upstream is asked for a stream every time: one delta is one token."""

    async def case() -> None:
        async with rig(fast=fast) as gate:
            body = question() if stream is None else question(stream=stream)
            reader = await ask(gate.port, path, body, {"accept": accept})
            assert (reader.status, reader.headers["content-type"]) == (200, content_type)
            assert len(reader.headers["x-stream-id"]) == 32
            record = await gate.ended()
            assert record.tokens == 20
            if content_type == "application/json":
                whole = json.loads(reader.body)
                assert whole["object"] == "chat.completion"
                assert whole["choices"][0]["finish_reason"] == "length"
                assert whole["usage"]["completion_tokens"] == 20
            else:
                assert reader.headers["cache-control"] == "no-cache, no-transform"
                assert not any(event.get("usage") for event in reader.events() if event != "[DONE]")
                assert len(reader.events()) == (23 if "event-stream" in content_type else 22)

    run(case())


@both
@pytest.mark.parametrize("path", [SSE, OWN])
def test_a_soft_stop_keeps_the_answer(fast: bool, path: str) -> None:
    """Finish reason stop, marked; usage, marked as estimated; end marker; and the model has stopped."""

    async def case() -> None:
        async with rig(fast=fast, simulated=simulator_options(tokens=100_000)) as gate:
            reader = await streaming(gate, path)
            answer = await ask(gate.port, f"/v1/streams/{reader.headers['x-stream-id']}/stop", None)
            assert answer.status == 200
            await reader.rest()
            assert reader.whole
            assert reader.error is None
            assert reader.finish == "stop"
            last = [event for event in reader.events() if event != "[DONE]"][-1]
            assert last["tidegate"] == {"reason": "soft_stop", "usage": "estimated"}
            record = await gate.ended()
            assert last["usage"]["completion_tokens"] == record.tokens > 0
            assert (record.reason, reader.done) == ("soft_stop", path == SSE)
            again = await ask(gate.port, f"/v1/streams/{reader.headers['x-stream-id']}/stop", None)
            assert json.loads(again.body)["reason"] == "soft_stop"
            assert gate.simulator is not None
            await until(lambda: gate.simulator is not None and gate.simulator.stats()["aborted"] == 1)
            await reader.close()

    run(case())


@both
@pytest.mark.parametrize("path", [SSE, OWN])
def test_a_cancelled_stream_tells_whoever_still_reads(fast: bool, path: str) -> None:
    """DELETE: an error event, no end marker."""

    async def case() -> None:
        async with rig(fast=fast, simulated=simulator_options(tokens=100_000)) as gate:
            reader = await streaming(gate, path)
            stream_id = reader.headers["x-stream-id"]
            live = json.loads((await ask(gate.port, "/v1/streams", None, method="GET")).body)["data"]
            assert [(each["id"], each["state"]) for each in live] == [(stream_id, "streaming")]
            answer = await ask(gate.port, f"/v1/streams/{stream_id}", None, method="DELETE")
            assert json.loads(answer.body)["reason"] == "client_cancel"
            await reader.rest()
            assert reader.whole
            assert reader.error is not None
            assert reader.error["code"] == "client_cancel"
            assert (await gate.ended()).reason == "client_cancel"
            one = json.loads((await ask(gate.port, f"/v1/streams/{stream_id}", None, method="GET")).body)
            assert (one["state"], one["reason"]) == ("ended", "client_cancel")
            await reader.close()

    run(case())


async def streaming(gate: Rig, path: str, headers: dict[str, str] | None = None) -> Reader:
    """A reader in the middle of an answer."""
    reader = await Reader.connect(gate.port)
    reader.send(request_bytes(path, json.dumps(question(stream=True)).encode(), headers))
    assert await reader.head() == 200
    await reader.until(b" day")
    return reader


@both
def test_a_key_sees_and_ends_its_own_streams_only(fast: bool) -> None:
    """An admin's sees all; a stranger is told that there is no such stream."""
    alice, bob, root = new_key(), new_key(), new_key()
    keys = tuple(
        StaticKey(id=name, hash=hash_key(token), admin=name == "root", models=("sim/*",))
        for name, token in (("alice", alice), ("bob", bob), ("root", root))
    )

    def bearer(token: str) -> dict[str, str]:
        return {"authorization": f"Bearer {token}"}

    async def case() -> None:
        auth = AuthOptions(keys=keys)
        async with rig(fast=fast, auth=auth, simulated=simulator_options(tokens=100_000)) as gate:
            assert (await ask(gate.port, SSE, question())).status == 401
            assert (await ask(gate.port, SSE, question(), bearer("tg-wrong"))).status == 401
            assert (await ask(gate.port, SSE, question("gpt-x"), bearer(alice))).status == 404
            reader = await streaming(gate, SSE, bearer(alice))
            path = f"/v1/streams/{reader.headers['x-stream-id']}"
            for token, count in ((alice, 1), (bob, 0), (root, 1)):
                listed = await ask(gate.port, "/v1/streams", None, bearer(token), "GET")
                assert len(json.loads(listed.body)["data"]) == count
            assert (await ask(gate.port, path, None, bearer(bob), "GET")).status == 404
            assert (await ask(gate.port, path, None, bearer(bob), "DELETE")).status == 404
            assert (await ask(gate.port, f"{path}/stop", None, bearer(bob))).status == 404
            assert (await ask(gate.port, path, None, bearer(root), "DELETE")).status == 200
            await reader.rest()
            assert (await gate.ended()).client == "alice"
            await reader.close()

    run(case())


@both
def test_a_browsers_connection_is_not_kept(fast: bool) -> None:
    """Chromium would read on from a kept one after the page has aborted; other clients' connections are kept."""

    async def case() -> None:
        async with rig(fast=fast) as gate:
            for headers, kept in (({"sec-fetch-mode": "cors"}, False), ({}, True)):
                reader = await Reader.connect(gate.port)
                reader.send(request_bytes(SSE, json.dumps(question(stream=True)).encode(), headers))
                assert await reader.head() == 200
                assert ("connection" not in reader.headers) == (kept or fast == HTTP2)
                await reader.rest()
                assert reader.done
                if not kept and fast != HTTP2:  # there, the page's going ends the stream and nothing else
                    assert reader.headers["connection"] == "close"
                    assert await reader.stream.read() == b"", "the server has closed it"
                await reader.close()

    run(case())


@both
def test_headers_that_may_pass_do_and_others_do_not(fast: bool) -> None:
    """Credentials and hop-by-hop headers stay here; unknown request fields go through untouched."""
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        got.append(head + await reader.readexactly(length))
        body = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
        more = b"x-request-id: req-1\r\nset-cookie: a=b\r\nserver: secret\r\nopenai-version: 7\r\n"
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n%bcontent-length: %d\r\n\r\n%b"
            % (more, len(body), body)
        )
        await writer.drain()
        writer.close()

    async def case() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with gateway(upstream(url, api_keys=("sk-upstream-key",)), fast=fast) as gate:
            body = b'{"model": "m", "messages": [{"role":"user"}], "stream": true, "x": 1.0e2, "y": 123456789012345}'
            sent = {
                "authorization": "Bearer mine-1234567",
                "x-api-key": "mine-1234567",
                "cookie": "session=mine-1234567",
                "x-forwarded-for": "10.1.2.3",
                "connection": "keep-alive, x-hop",
                "x-hop": "mine-1234567",
                "x-trace": "kept",
                "idempotency-key": "kept-too",
            }
            reader = await Reader.connect(gate.port)
            reader.send(request_bytes(SSE, body, sent))
            await reader.head()
            await reader.rest()
            await reader.close()
            assert b"mine-1234567" not in got[0]
            assert b"10.1.2.3" not in got[0]
            assert b"authorization: Bearer sk-upstream-key\r\n" in got[0]
            assert b"x-trace: kept\r\n" in got[0]
            assert b"idempotency-key: kept-too\r\n" in got[0]
            # Byte for byte, and a question for the token counts behind it.
            assert got[0].endswith(body[:-1] + b',"stream_options":{"include_usage":true}}')
            assert (reader.headers["x-request-id"], reader.headers["openai-version"]) == ("req-1", "7")
            assert "set-cookie" not in reader.headers
            assert "server" not in reader.headers
        server.close()

    run(case())


def test_failover_goes_to_the_next_upstream_at_once() -> None:
    """The first one is down; the second answers; nobody notices but the record."""

    async def case() -> None:
        simulator = Simulator(simulator_options())
        await simulator.start()
        down = upstream("http://127.0.0.1:1/v1", "down", priority=0)
        up = upstream(simulator.url, "good", priority=1, models=(), aliases={"gpt-4o": "sim/prose"})
        async with gateway(down, up, retry_delay=30.0) as gate:
            reader = await ask(gate.port, SSE, question("gpt-4o", stream=True))
            assert (reader.status, reader.done) == (200, True)
            record = await gate.ended()
            assert (record.upstream, record.served_model, record.retries) == ("good", "sim/prose", 1)
        await simulator.close()

    run(case())


def test_a_refused_key_rests_and_the_next_one_is_used() -> None:
    """401 with the first key; the request goes on with the second, and the next one begins with it."""

    async def case() -> None:
        async with rig(
            simulated=simulator_options(api_key="sk-good-key"), api_keys=("sk-revoked-1", "sk-good-key")
        ) as gate:
            for _ in range(4):
                assert (await ask(gate.port, SSE, question(stream=True))).status == 200
            assert [record.retries for record in gate.records] == [1, 0, 0, 0]

    run(case())


@both
@pytest.mark.parametrize("path", [SSE, OWN])
def test_heartbeats_keep_a_silent_stream_alive(fast: bool, path: str) -> None:
    """A model that thinks: the head and a byte go out, and the answer is whole."""

    async def case() -> None:
        async with rig(fast=fast, heartbeat=0.05, simulated=simulator_options(ttft=0.3)) as gate:
            reader = await ask(gate.port, path, question(stream=True))
            assert reader.body.startswith(b":\n:\n" if path == SSE else b"\n\n")
            assert reader.finish == "length"
            assert reader.error is None
            failed = await ask(gate.port, path, question("sim/cut-after-0?ttft=0.3", stream=True))
            assert failed.status == 200
            assert failed.error is not None
            assert failed.error["code"] == "upstream_cut"

    run(case())


@both
def test_writes_can_be_coalesced(fast: bool) -> None:
    """flush_interval: fewer chunks, the same answer."""

    async def case() -> None:
        async with rig(fast=fast, flush_interval=5.0, simulated=simulator_options(tps=400, tokens=60)) as gate:
            reader = await Reader.connect(gate.port)
            reader.send(request_bytes(SSE, json.dumps(question(stream=True)).encode()))
            await reader.head()
            chunks = 0
            while await reader.chunk():
                chunks += 1
            assert chunks < 30
            assert (reader.done, (await gate.ended()).tokens) == (True, 60)
            await reader.close()

    run(case())


@both
def test_draining_on_disconnect_reads_on_for_usage(fast: bool) -> None:
    """on_disconnect = "drain": the record has the upstream's own usage."""

    async def case() -> None:
        async with rig(fast=fast, on_disconnect="drain") as gate:
            reader = await Reader.connect(gate.port)
            body = question("sim/default?tokens=60", stream=True, stream_options={"include_usage": True})
            reader.send(request_bytes(SSE, json.dumps(body).encode()))
            await reader.head()
            await reader.until(b" day")
            reader.hang_up()
            record = await gate.ended()
            assert record.reason == "client_cancel"
            assert record.usage is not None
            assert (record.usage.output_tokens, record.tokens < 60) == (60, True)
            assert gate.simulator is not None
            assert gate.simulator.stats()["completed"] == 1

    run(case())


@both
def test_the_operators_routes_answer(fast: bool) -> None:
    """Health, readiness, metrics, models, the page."""

    async def case() -> None:
        async with rig(fast=fast) as gate:
            await ask(gate.port, SSE, question(stream=True))
            for path, text in (
                ("/healthz", b'"ok"'),
                ("/readyz", b'"ready"'),
                ("/metrics", b"tidegate_streams_total{"),
                ("/v1/models", b"sim/prose"),
                ("/", b"<title>Tidegate</title>"),
                ("/static/page.js", b"x-stream-id"),
                ("/static/page.css", b"color-scheme"),
                ("/static/worker.js", b"postMessage"),
            ):
                reader = await ask(gate.port, path, None, method="GET")
                assert reader.status == 200
                assert text in reader.body
            assert (await ask(gate.port, "/nope", None, method="GET")).status == 404
            refused = await ask(gate.port, SSE, None, method="GET")
            assert (refused.status, refused.headers["allow"]) == (405, "POST")

    run(case())


@both
def test_the_live_table_is_an_event_stream(fast: bool) -> None:
    """A stream appears in it, and what the page saw is kept with the stream."""

    async def case() -> None:
        async with rig(fast=fast, simulated=simulator_options(tokens=100_000)) as gate:
            reader = await streaming(gate, SSE)
            watcher = await Reader.connect(gate.port)
            watcher.send(request_bytes("/v1/streams/events", b"", method="GET"))
            await watcher.head()
            await watcher.until(reader.headers["x-stream-id"].encode())
            path = f"/v1/streams/{reader.headers['x-stream-id']}"
            assert (await ask(gate.port, f"{path}/seen", {"ttft": 0.5})).status == 204
            assert (await ask(gate.port, f"{path}/seen", {"ttft": "text"})).status == 400
            assert json.loads((await ask(gate.port, path, None, method="GET")).body)["reader"] == {"ttft": 0.5}
            await watcher.close()
            reader.hang_up()
            await reader.close()

    run(case())


def test_ended_streams_and_readers_reports_are_told_to_who_watches() -> None:
    """At first all that are known; then each that ends, and again when its reader's page reports: once."""

    async def case() -> None:
        async with rig() as gate:
            first = await ask(gate.port, SSE, question(stream=True))
            watcher = await Reader.connect(gate.port)
            watcher.send(request_bytes("/v1/streams/events", b"", method="GET"))
            await watcher.head()
            await watcher.until(first.headers["x-stream-id"].encode())
            second = await ask(gate.port, SSE, question(stream=True))
            stream_id = second.headers["x-stream-id"]
            await watcher.until(stream_id.encode())
            for _ in range(2):  # a page that reports again changes nothing
                seen = await ask(gate.port, f"/v1/streams/{stream_id}/seen", {"finished": True, "first_paint": 0.25})
                assert seen.status == 204
            await watcher.until(b'"first_paint":0.25')
            scraped = (await ask(gate.port, "/metrics", None, method="GET")).body.decode()
            assert 'tidegate_reader_ends_total{end="finished"} 1.0' in scraped
            assert "tidegate_perceived_latency_seconds_sum 0.25" in scraped
            assert "tidegate_completion_ratio 1.0" in scraped
            readers = {"reports": 1, "completion_ratio": 1.0}
            listed = json.loads((await ask(gate.port, "/v1/streams", None, method="GET")).body)
            assert {**listed["readers"], **readers} == listed["readers"]
            assert 0.0 < listed["readers"]["perceived_latency"] < 1.0
            await watcher.until(b'"completion_ratio":1.0')
            assert (await ask(gate.port, "/v1/streams/nobody/seen", {"finished": True})).status == 404
            await watcher.close()

    run(case())


def test_a_checkout_without_the_page_serves_everything_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And says how to build it."""
    monkeypatch.setattr("tidegate.server.app.files", lambda _: tmp_path)

    async def case() -> None:
        async with rig() as gate:
            page = await ask(gate.port, "/", None, method="GET")
            assert (page.status, b"make page" in page.body) == (404, True)
            assert (await ask(gate.port, SSE, question(stream=True))).done

    run(case())


def test_the_page_may_run_nothing_but_its_own_scripts() -> None:
    """Its policy knows no string that becomes markup or script, and no other host."""

    async def case() -> None:
        async with rig() as gate:
            policy = (await ask(gate.port, "/", None, method="GET")).headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert policy.endswith("require-trusted-types-for 'script'; trusted-types tidegate-worker")

    run(case())


def test_origins_are_let_in_by_configuration() -> None:
    """CORS, also on the stream itself."""

    async def case() -> None:
        async with rig(server={"cors_origins": ("https://app.example",)}) as gate:
            reader = await ask(gate.port, SSE, question(stream=True), {"origin": "https://app.example"})
            assert reader.headers["access-control-allow-origin"] == "https://app.example"
            assert reader.done
            other = await ask(gate.port, SSE, question(stream=True), {"origin": "https://evil.example"})
            assert "access-control-allow-origin" not in other.headers

    run(case())
