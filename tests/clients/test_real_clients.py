"""The clients that people really use, unchanged, against the running gateway."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_openai import ChatOpenAI

from tests.fakes.gateway import Rig, rig, run, simulator_options, until

NODE = Path(__file__).parent / "node"
QUESTION: Any = [{"role": "user", "content": "Why?"}]


def base_url(gate: Rig) -> str:
    return f"http://127.0.0.1:{gate.port}/v1"


def aborted(gate: Rig) -> bool:
    return gate.simulator is not None and gate.simulator.stats()["aborted"] == 1


def test_openai_python_sync() -> None:
    """Stream, tools, a whole answer, usage; an error in the stream raises; closing in the middle stops the model."""

    def use(gate: Rig) -> None:
        with openai.OpenAI(base_url=base_url(gate), api_key="any", max_retries=0) as client:
            text = ""
            with client.chat.completions.create(model="sim/prose", messages=QUESTION, stream=True) as stream:
                for chunk in stream:
                    text += chunk.choices[0].delta.content or ""
            assert text.startswith("Twice a day")
            whole = client.chat.completions.create(model="sim/prose", messages=QUESTION)
            assert whole.choices[0].message.content == text
            assert whole.usage is not None
            names = {}
            with client.chat.completions.create(model="sim/tools", messages=QUESTION, stream=True) as stream:
                for chunk in stream:
                    for call in chunk.choices[0].delta.tool_calls or ():
                        if call.function is not None and call.function.name:
                            names[call.index] = call.function.name
            assert names == {0: "tide_at", 1: "wind_at"}
            assert [model.id for model in client.models.list()][:1] == ["sim/default"]
            with pytest.raises(openai.APIError, match="without a finish reason"):
                for _ in client.chat.completions.create(model="sim/no-finish", messages=QUESTION, stream=True):
                    pass
            with pytest.raises(openai.NotFoundError):
                client.chat.completions.create(model="sim/404", messages=QUESTION, stream=True)
            endless = client.chat.completions.create(model="sim/prose?tokens=100000", messages=QUESTION, stream=True)
            next(iter(endless))
            endless.close()

    async def case() -> None:
        async with rig() as gate:
            await asyncio.to_thread(use, gate)
            await until(lambda: aborted(gate))

    run(case())


def test_openai_python_async() -> None:
    """The same, on the gateway's own loop."""

    async def case() -> None:
        async with rig() as gate, openai.AsyncOpenAI(base_url=base_url(gate), api_key="any", max_retries=0) as client:
            text = ""
            async for chunk in await client.chat.completions.create(model="sim/prose", messages=QUESTION, stream=True):
                text += chunk.choices[0].delta.content or ""
            assert text.startswith("Twice a day")
            with pytest.raises(openai.APIError):
                async for _ in await client.chat.completions.create(
                    model="sim/rst-after-3", messages=QUESTION, stream=True
                ):
                    pass
            endless = await client.chat.completions.create(
                model="sim/prose?tokens=100000", messages=QUESTION, stream=True
            )
            async for _ in endless:
                break
            await endless.close()
            await until(lambda: aborted(gate))

    run(case())


def test_langchain() -> None:
    """ChatOpenAI streams, and raises on a cut."""

    async def case() -> None:
        async with rig() as gate:
            model = ChatOpenAI(model="sim/prose", base_url=base_url(gate), api_key="any", max_retries=0)  # type: ignore[arg-type]
            text = "".join([str(chunk.content) async for chunk in model.astream("Why?")])
            assert text.startswith("Twice a day")
            cut = ChatOpenAI(model="sim/cut-after-3", base_url=base_url(gate), api_key="any", max_retries=0)  # type: ignore[arg-type]
            with pytest.raises(openai.APIError):
                async for _ in cut.astream("Why?"):
                    pass

    run(case())


def test_openai_node() -> None:
    """Stream, tools, an error in the stream, and an abort in the middle; see node/client.mjs."""

    async def case() -> None:
        async with rig() as gate:
            done = await asyncio.to_thread(
                subprocess.run,
                ["node", "client.mjs", base_url(gate)],
                cwd=NODE,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            said = json.loads(done.stdout)
            assert said["text"].startswith("Twice a day")
            assert said["tools"] == ["tide_at", "wind_at"]
            assert "without a finish reason" in said["error"]
            await until(lambda: aborted(gate))

    run(case())


def test_curl() -> None:
    """curl -N gets each token when it comes."""

    async def case() -> None:
        async with rig(simulated=simulator_options(tps=20, tokens=8)) as gate:
            body = json.dumps({"model": "sim/prose", "messages": QUESTION})
            child = await asyncio.create_subprocess_exec(
                "curl", "-sN", f"http://127.0.0.1:{gate.port}/api/v1/chat/stream", "-d", body, stdout=subprocess.PIPE
            )
            assert child.stdout is not None
            first = json.loads(await child.stdout.readline())
            assert first["choices"][0]["delta"]["role"] == "assistant"
            assert len(gate.records) == 0
            rest = await child.stdout.read()
            assert await child.wait() == 0
            assert json.loads(rest.splitlines()[-1])["choices"][0]["finish_reason"] == "length"

    run(case())
