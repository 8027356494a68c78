"""An answer whose texts are filtered, through real sockets: every framing, both faces, every kind of end."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from tests.fakes.gateway import Rig, gateway, run, until, upstream
from tests.fakes.reader import Reader, ask
from tests.relay.streams import ROLE, STOP, chunk, sse
from tidegate.ledger.options import LedgerOptions
from tidegate.ledger.tables import legs
from tidegate.policy.keys import hash_key, new_key
from tidegate.policy.options import AuthOptions, StaticKey
from tidegate.relay.stream import Stream
from tidegate.safety.profile import ModelProfile, ProfileOptions, Profiles, RuleOptions, SafetyOptions

both = pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
FRAMINGS = {
    "sse": ("/v1/chat/completions", {"stream": True}),
    "ndjson": ("/api/v1/chat/stream", {}),
    "json": ("/v1/chat/completions", {}),
}
STRICT = {"x-tidegate-safety": "strict"}
TEXTS = ["My", " ssn", " is", " 123", "-45-", "6789", ", mail", " bob", "@exam", "ple.com", " \U0001f30a", " ok"]
CLEAN = "My ssn is [SSN], mail [EMAIL] \U0001f30a ok"


class Model:
    """A model server that says ``texts``, each in a read of its own, and ends as it is told."""

    def __init__(self, texts: list[str], end: str) -> None:
        self.payloads = [ROLE, *(chunk({"content": text}) for text in texts)]
        self.end = end
        self.gone = asyncio.Event()
        self.asked: dict[str, Any] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            self.asked = json.loads(await reader.readexactly(size))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            for payload in self.payloads:
                await self._say(writer, sse(payload))
            if self.end == "stop":
                await self._say(writer, sse(STOP, b"[DONE]"))
                writer.write(b"0\r\n\r\n")
            elif self.end == "hang":
                while await reader.read(65536):
                    pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.gone.set()
            writer.close()

    async def _say(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await writer.drain()
        await asyncio.sleep(0.002)


@asynccontextmanager
async def model(
    texts: list[str], *, end: str = "stop", fast: bool = True, **options: Any
) -> AsyncIterator[tuple[Rig, Model]]:
    """A gateway in front of it."""
    said = Model(texts, end)
    server = await asyncio.start_server(said.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with gateway(upstream(f"http://127.0.0.1:{port}/v1", **options), fast=fast) as rig:
            yield rig, said
    finally:
        server.close()
        await server.wait_closed()


async def asked(rig: Rig, framing: str, headers: dict[str, str]) -> Reader:
    path, fields = FRAMINGS[framing]
    body = {"model": "m", "messages": [{"role": "user", "content": "Why?"}], **fields}
    return await ask(rig.port, path, body, headers)


async def seen(rig: Rig, stream_id: str) -> dict[str, Any]:
    """What the gateway tells of one stream."""
    reader = await ask(rig.port, f"/v1/streams/{stream_id}", None, method="GET")
    return cast(dict[str, Any], json.loads(reader.body))


def tokens_of(stream: Stream) -> int:
    """So far, what went straight through included."""
    stream.count()
    return stream.answer.tokens


def says(told: str, value: str) -> bool:
    """Whether a value stands in what was told. Inside of an id, a digest or a time its digits are chance."""
    return re.search(rf"(?<![0-9a-f.]){re.escape(value)}(?![0-9a-f.])", told) is not None


def text_of(reader: Reader, framing: str) -> str:
    return json.loads(reader.body)["choices"][0]["message"]["content"] if framing == "json" else reader.text


@both
@pytest.mark.parametrize("framing", FRAMINGS)
def test_what_a_profile_redacts_never_reaches_the_reader(fast: bool, framing: str) -> None:
    """Nor the log; without the header the same answer passes as it came."""

    async def case() -> None:
        async with model(TEXTS, fast=fast) as (rig, _):
            with capture_logs() as lines:
                reader = await asked(rig, framing, STRICT)
                record = await rig.ended()
            assert text_of(reader, framing) == CLEAN
            assert (record.reason, record.tokens) == ("stop", len(TEXTS))
            told = json.dumps(lines, default=str)
            for leak in ("6789", "bob", "ple.com"):
                assert leak.encode() not in reader.body
                assert not says(told, leak)
            hits = [line for line in lines if line["event"] == "safety.hit"]
            assert [(hit["rule"], hit["action"], hit["channel"]) for hit in hits] == [
                ("ssn", "redact", "output"),
                ("email", "redact", "output"),
            ]
            plain = await asked(rig, framing, {})
            assert text_of(plain, framing) == "".join(TEXTS)

    run(case())


@both
def test_a_keys_profile_filters_whatever_its_requests_ask_for(fast: bool) -> None:
    """And nobody else's."""

    async def case() -> None:
        said = Model(TEXTS, "stop")
        server = await asyncio.start_server(said.serve, "127.0.0.1", 0)
        token = new_key()
        auth = AuthOptions(anonymous=True, keys=(StaticKey(id="kid", hash=hash_key(token), safety="strict"),))
        port = server.sockets[0].getsockname()[1]
        async with gateway(upstream(f"http://127.0.0.1:{port}/v1"), fast=fast, auth=auth) as rig:
            key = {"authorization": f"Bearer {token}"}
            assert (await asked(rig, "sse", key)).text == CLEAN
            assert (await asked(rig, "sse", {**key, "x-tidegate-safety": "off"})).text == CLEAN
            assert (await asked(rig, "sse", {})).text == "".join(TEXTS)
        server.close()
        await server.wait_closed()

    run(case())


@both
def test_an_upstreams_profile_filters_whatever_may_go_there(fast: bool) -> None:
    """Its prompts too; a request and a key can only ask for more. What another upstream alone serves passes."""

    async def case() -> None:
        said = Model(TEXTS, "stop")
        server = await asyncio.start_server(said.serve, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        token = new_key()
        auth = AuthOptions(anonymous=True, keys=(StaticKey(id="kid", hash=hash_key(token), safety="ssns"),))
        mine = ProfileOptions(name="ssns", rules=("ssn",), where=("output",))
        upstreams = (
            upstream(address, "hosted", models=("m", "both"), safety="strict"),
            upstream(address, "own", models=("other", "both")),
        )
        async with gateway(
            *upstreams, fast=fast, auth=auth, sections={"safety": SafetyOptions(profiles=(mine,))}
        ) as rig:
            key = {"authorization": f"Bearer {token}"}
            for headers in ({}, {"x-tidegate-safety": "off"}, key, {**key, "x-tidegate-safety": "ssns"}):
                for name in ("m", "both"):
                    body = {"model": name, "stream": True, "messages": [{"role": "user", "content": "bob@example.com"}]}
                    assert (await ask(rig.port, "/v1/chat/completions", body, headers)).text == CLEAN
                    assert said.asked["messages"][0]["content"] == "[EMAIL]"
            body = {"model": "other", "stream": True, "messages": [{"role": "user", "content": "bob@example.com"}]}
            assert (await ask(rig.port, "/v1/chat/completions", body, {})).text == "".join(TEXTS)
            assert said.asked["messages"][0]["content"] == "bob@example.com"
            ssns = await ask(rig.port, "/v1/chat/completions", body, key)
            assert ssns.text == "".join(TEXTS).replace("123-45-6789", "[SSN]")
        server.close()
        await server.wait_closed()

    run(case())


@both
def test_a_models_profile_filters_whoever_asks_for_it(fast: bool) -> None:
    """By its name as clients know it, or by a pattern; a reload brings another."""

    async def case() -> None:
        said = Model(TEXTS, "stop")
        server = await asyncio.start_server(said.serve, "127.0.0.1", 0)
        up = upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        options = SafetyOptions(models=(ModelProfile(model="gpt-*", profile="strict"),))
        async with gateway(up, fast=fast, sections={"safety": options}) as rig:

            async def told(name: str) -> str:
                body = {"model": name, "stream": True, "messages": [{"role": "user", "content": "Why?"}]}
                return (await ask(rig.port, "/v1/chat/completions", body, {"x-tidegate-safety": "off"})).text

            assert await told("gpt-4o") == CLEAN
            assert await told("llama") == "".join(TEXTS)
            other = SafetyOptions(models=(ModelProfile(model="llama", profile="strict"),))
            rig.gateway.reload(replace(rig.gateway.options, safety=other))
            assert await told("gpt-4o") == "".join(TEXTS)
            assert await told("llama") == CLEAN
        server.close()
        await server.wait_closed()

    run(case())


@both
def test_a_prompt_is_filtered_before_it_leaves(fast: bool) -> None:
    async def case() -> None:
        async with model(TEXTS, fast=fast) as (rig, said):
            body = {"model": "m", "messages": [{"role": "user", "content": "I am bob@example.com"}]}
            await ask(rig.port, "/v1/chat/completions", body, STRICT)
            assert said.asked["messages"][0]["content"] == "I am [EMAIL]"
            await ask(rig.port, "/v1/chat/completions", body, {"x-tidegate-safety": "default"})
            assert said.asked["messages"][0]["content"] == "I am bob@example.com"

    run(case())


@both
def test_what_was_found_is_counted_in_metrics_in_the_stream_and_in_the_ledger(fast: bool, tmp_path: Path) -> None:
    """Of prompt and answer, live and ended, by rule and action, and never its value."""

    async def case() -> None:
        said = Model(TEXTS, "hang")
        server = await asyncio.start_server(said.serve, "127.0.0.1", 0)
        up = upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        mine = ProfileOptions(name="mine", rules=("pii",), where=("input", "output"), actions={"ssn": "tag"})
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
        async with gateway(
            up,
            fast=fast,
            ledger=LedgerOptions(url=url, spool=str(tmp_path / "spool")),
            sections={"safety": SafetyOptions(profiles=(mine,))},
        ) as rig:
            body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "I am bob@example.com"}]}
            answering = asyncio.create_task(ask(rig.port, "/v1/chat/completions", body, {"x-tidegate-safety": "mine"}))
            registry = rig.gateway.relay.registry
            await until(lambda: any(tokens_of(stream) == len(TEXTS) for stream in registry))
            (stream,) = registry
            found = [
                {"rule": "email", "action": "redact", "count": 2},
                {"rule": "ssn", "action": "tag", "count": 1},
            ]
            assert (await seen(rig, stream.id))["safety"] == found
            assert stream.soft_stop()
            assert (await answering).text == "My ssn is 123-45-6789, mail [EMAIL] \U0001f30a ok"
            await rig.ended()
            ended = await seen(rig, stream.id)
            assert (ended["state"], ended["safety"]) == ("ended", found)
            metrics = (await ask(rig.port, "/metrics", None, method="GET")).body.decode()
            assert 'tidegate_safety_hits_total{action="redact",rule="email"} 2.0' in metrics
            assert 'tidegate_safety_hits_total{action="tag",rule="ssn"} 1.0' in metrics
            assert not says(metrics + json.dumps(ended), "6789")
            ledger = rig.gateway.ledger
            assert ledger is not None

            def kept() -> list[str]:
                with ledger.database.reading() as connection:
                    return list(connection.scalars(select(legs.c.safety).where(legs.c.final == 1)))

            await until(lambda: bool(kept()))
            assert [json.loads(each) for each in kept()] == [{"email": 2, "ssn": 1}]
        server.close()
        await server.wait_closed()

    run(case())


def test_a_prompt_that_is_refused_is_counted_too() -> None:
    """It never becomes a stream."""
    mine = ProfileOptions(name="mine", rules=("email",), where=("input",), actions={"email": "block"})

    async def case() -> None:
        async with model(TEXTS) as (rig, said):
            rig.gateway.safety = Profiles(SafetyOptions(profiles=(mine,)))
            body = {"model": "m", "messages": [{"role": "user", "content": "I am bob@example.com"}]}
            reader = await ask(rig.port, "/v1/chat/completions", body, {"x-tidegate-safety": "mine"})
            assert (reader.status, json.loads(reader.body)["error"]["code"]) == (400, "content_filter")
            assert not said.asked
            assert not rig.opened
            metrics = (await ask(rig.port, "/metrics", None, method="GET")).body.decode()
            assert 'tidegate_safety_hits_total{action="block",rule="email"} 1.0' in metrics

    run(case())


def test_a_profile_that_is_not_there_is_refused() -> None:
    async def case() -> None:
        async with model(TEXTS) as (rig, _):
            reader = await asked(rig, "sse", {"x-tidegate-safety": "nosuch"})
            assert reader.status == 400
            error = json.loads(reader.body)["error"]
            assert error["code"] == "unknown_profile"
            assert "there are off, default, strict" in error["message"]

    run(case())


@both
@pytest.mark.parametrize("framing", ["sse", "ndjson"])
def test_a_cut_gives_what_was_held_through_the_filter_and_then_the_error(fast: bool, framing: str) -> None:
    async def case() -> None:
        async with model(["so ", "mail ", "bob@example.com"], end="cut", fast=fast) as (rig, _):
            reader = await asked(rig, framing, STRICT)
            assert reader.text == "so mail [EMAIL]"
            assert (reader.error or {})["code"] == "upstream_cut"
            assert b"bob" not in reader.body
            assert (await rig.ended()).reason == "upstream_cut"

    run(case())


@both
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_block_ends_the_answer_and_the_model(fast: bool, framing: str) -> None:
    """The finish reason is content_filter, and the model server is let go although it would go on."""
    stops = ProfileOptions(
        name="stop", rules=(), own=(RuleOptions(name="stop", core="stop"),), actions={"stop": "block"}
    )

    async def case() -> None:
        async with model(["we ", "will ", "st", "op ", "here"], end="hang", fast=fast) as (rig, said):
            rig.gateway.safety = Profiles(SafetyOptions(profiles=(stops,)))
            reader = await asked(rig, framing, {"x-tidegate-safety": "stop"})
            assert text_of(reader, framing) == "we will "
            finish = json.loads(reader.body)["choices"][0]["finish_reason"] if framing == "json" else reader.finish
            assert finish == "content_filter"
            assert (await rig.ended()).reason == "filtered"
            await asyncio.wait_for(said.gone.wait(), 60)

    run(case())


@both
@pytest.mark.parametrize("framing", FRAMINGS)
def test_what_outgrows_the_hold_cap_ends_the_answer_where_the_profile_says_so(fast: bool, framing: str) -> None:
    """Nothing of it reaches the reader; without that it passes."""
    closed = ProfileOptions(name="closed", rules=("email",), hold_cap=16, at_cap="block")
    texts = ["so ", *(["a"] * 30), "@example.com"]

    async def case() -> None:
        async with model(texts, fast=fast) as (rig, _):
            rig.gateway.safety = Profiles(SafetyOptions(profiles=(closed, replace(closed, name="open", at_cap="pass"))))
            reader = await asked(rig, framing, {"x-tidegate-safety": "closed"})
            assert text_of(reader, framing) == "so "
            finish = json.loads(reader.body)["choices"][0]["finish_reason"] if framing == "json" else reader.finish
            assert finish == "content_filter"
            record = await rig.ended()
            assert (record.reason, record.safety) == ("filtered", (("email", "block", 1),))
            assert "aaa" in text_of(await asked(rig, framing, {"x-tidegate-safety": "open"}), framing)

    run(case())


@both
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_soft_stop_keeps_what_was_held(fast: bool, framing: str) -> None:
    async def case() -> None:
        async with model(["so ", "mail ", "bob@example.com"], end="hang", fast=fast) as (rig, _):
            answering = asyncio.create_task(asked(rig, framing, STRICT))
            await until(lambda: any(tokens_of(stream) == 3 for stream in rig.gateway.relay.registry))
            (stream,) = rig.gateway.relay.registry
            assert stream.soft_stop()
            reader = await answering
            assert text_of(reader, framing) == "so mail [EMAIL]"
            assert (await rig.ended()).reason == "soft_stop"

    run(case())


@both
def test_a_key_of_the_upstream_that_the_model_repeats_in_pieces_is_redacted(fast: bool) -> None:
    async def case() -> None:
        pieces = ["it is ", "sk-up", "stream-", "4711", "-abc", " ok"]
        async with model(pieces, fast=fast, api_keys=("sk-upstream-4711-abc",)) as (rig, _):
            reader = await asked(rig, "sse", {"x-tidegate-safety": "on"})
            assert reader.text == "it is [KEY] ok"

    run(case())
