"""What the type of each public call is. Checked by mypy (``make check``) and pyright; never run."""

from __future__ import annotations

from typing import assert_type

from tidegate.client import (
    AsyncStream,
    AsyncStreamClient,
    Stream,
    StreamClient,
    StreamConfig,
    StreamResult,
    StreamTruncated,
    TidegateError,
)
from tidegate.events import Event, Usage

ASK = [{"role": "user", "content": "Why?"}]


async def asynchronous() -> None:
    """The async face."""
    async with AsyncStreamClient(StreamConfig(timeout=10.0), model="m") as client:
        assert_type(client.config, StreamConfig)
        assert_type(client.stream(ASK), AsyncStream[str])
        assert_type(client.stream(ASK, raw=False, model="m", tools=[]), AsyncStream[str])
        assert_type(client.stream(ASK, raw=True), AsyncStream[Event])
        async with client.stream(ASK) as stream:
            async for text in stream:
                assert_type(text, str)
            stream.cancel()
            await stream.stop()
        assert_type(stream.id, str | None)
        assert_type(stream.result, StreamResult)
        assert_type(stream.result.usage, Usage | None)
        assert_type(stream.result.ttft, float | None)
        async for event in client.stream(ASK, raw=True):
            assert_type(event, Event)

        async def keep(piece: str) -> None:
            print(piece)

        def failed(error: TidegateError) -> None:
            print(error)

        result = await client.generate(ASK, on_chunk=keep, on_complete=lambda result: None, on_error=failed)
        assert_type(result, StreamResult)


def synchronous() -> None:
    """The sync face."""
    with StreamClient(endpoint="http://127.0.0.1:8080") as client:
        assert_type(client.stream(ASK), Stream[str])
        assert_type(client.stream(ASK, raw=True), Stream[Event])
        try:
            with client.stream(ASK) as stream:
                for text in stream:
                    assert_type(text, str)
        except StreamTruncated as cut:
            assert_type(cut.text, str)
            assert_type(cut.stream_id, str | None)
            assert_type(cut.code, str)
        assert_type(client.generate(ASK, on_chunk=print), StreamResult)
