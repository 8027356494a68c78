"""The OpenAI SDK with its base URL at the gateway: every call that is not chat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import openai
import pytest

from tests.fakes.gateway import Rig, rig, run, simulator_options, until
from tidegate.simulator.calls import SOUND
from tidegate.simulator.texts import ANSWERS


def use(work: Callable[[openai.OpenAI, Rig], None], fast: bool = True) -> None:
    """Run ``work`` with a client in front of a gateway."""

    def with_client(gate: Rig) -> None:
        url = f"http://127.0.0.1:{gate.port}/v1"
        with openai.OpenAI(base_url=url, api_key="any", max_retries=0) as client:
            work(client, gate)

    async def case() -> None:
        async with rig(fast=fast, simulated=simulator_options(tokens=0, tps=2000.0)) as gate:
            await asyncio.to_thread(with_client, gate)

    run(case())


both = pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])


@both
def test_completions(fast: bool) -> None:
    """Streamed and whole; a cut raises, and a 404 is one."""

    def work(client: openai.OpenAI, gate: Rig) -> None:
        stream = client.completions.create(
            model="sim/prose", prompt="Why?", stream=True, stream_options={"include_usage": True}
        )
        text, usage = "", None
        for chunk in stream:
            text += "".join(choice.text for choice in chunk.choices)
            usage = chunk.usage or usage
        assert text == ANSWERS["prose"]
        assert usage is not None
        whole = client.completions.create(model="sim/prose", prompt="Why?")
        assert whole.choices[0].text == text
        with pytest.raises(openai.APIError, match="ended"):
            for _ in client.completions.create(model="sim/cut-clean-after-3", prompt="Why?", stream=True):
                pass
        with pytest.raises(openai.NotFoundError):
            client.completions.create(model="sim/404", prompt="Why?")

    use(work, fast)


@both
def test_responses(fast: bool) -> None:
    """Streamed and whole; a cut raises."""

    def work(client: openai.OpenAI, gate: Rig) -> None:
        text, kinds = "", []
        for event in client.responses.create(model="sim/prose", input="Why?", stream=True):
            kinds.append(event.type)
            if event.type == "response.output_text.delta":
                text += event.delta
        assert text == ANSWERS["prose"]
        assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
        assert client.responses.create(model="sim/prose", input="Why?").output_text == text
        with pytest.raises(openai.APIError, match="ended"):
            for _ in client.responses.create(model="sim/cut-clean-after-3", input="Why?", stream=True):
                pass

    use(work, fast)


@both
def test_embeddings_images_and_sound(fast: bool) -> None:
    def work(client: openai.OpenAI, gate: Rig) -> None:
        found = client.embeddings.create(model="sim/default", input=["a", "b"])
        assert [len(each.embedding) for each in found.data] == [8, 8]
        assert found.usage.prompt_tokens == 2
        assert client.images.generate(model="sim/default", prompt="the tide").data
        told = client.audio.transcriptions.create(model="sim/default", file=("a.mp3", b"\0\r\n--\xff" * 5000))
        assert told.text == "The tide rises: 30000 bytes."
        with client.audio.speech.with_streaming_response.create(
            model="sim/default", voice="alloy", input="High water at noon"
        ) as spoken:
            assert b"".join(spoken.iter_bytes()) == SOUND * 4
        assert client.models.retrieve("sim/prose").id == "sim/prose"

    use(work, fast)


def test_files() -> None:
    """What names no model goes to the only upstream there is."""

    def work(client: openai.OpenAI, gate: Rig) -> None:
        content = bytes(range(256)) * 5000
        made = client.files.create(file=("data.bin", content), purpose="batch")
        assert made.bytes == len(content)
        assert [each.id for each in client.files.list().data] == [made.id]
        assert client.files.retrieve(made.id).id == made.id
        assert client.files.content(made.id).read() == content
        assert client.files.delete(made.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.content(made.id)
        assert {record.model for record in gate.records} == {""}
        assert {record.operation for record in gate.records} == {"files"}

    use(work)


def test_a_reader_that_leaves_stops_the_model() -> None:
    async def case() -> None:
        async with rig() as gate:
            url = f"http://127.0.0.1:{gate.port}/v1"
            async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
                stream = await client.completions.create(model="sim/prose?tokens=100000", prompt="Why?", stream=True)
                async for _ in stream:
                    break
                await stream.close()
                events = await client.responses.create(model="sim/prose?tokens=100000", input="Why?", stream=True)
                async for _ in events:
                    break
                await events.close()
                simulator = gate.simulator
                assert simulator is not None
                await until(lambda: simulator.stats()["aborted"] == 2)
                assert [record.reason for record in gate.records] == ["client_cancel"] * 2

    run(case())
