"""2,000 truncated bodies of real servers: the client raises where the finish is missing, and only there.

The recordings lie beside the checkout and are not part of it; without them these tests are skipped.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.client.serving import HEAD, Connection, serving
from tests.fakes.gateway import run
from tests.wire.test_recorded_streams import CHAT, STREAMS, framed, naive, payloads
from tidegate.client import AsyncStreamClient, StreamTruncated
from tidegate.errors import TidegateError

pytestmark = pytest.mark.skipif(
    not STREAMS.is_dir(), reason="the recorded streams are not beside this checkout; test_aio.py cuts simulated ones"
)

COUNT = 2000


def whole_events(body: bytes) -> bytes:
    """Up to the last blank line: what a parser may dispatch."""
    plain = body.replace(b"\r\n", b"\n")
    return plain[: plain.rfind(b"\n\n") + 2] if b"\n\n" in plain else b""


def has_its_finish(body: bytes) -> bool:
    """Read the simple way: every choice that says anything has a finish reason, and nothing reports an error."""
    events = whole_events(body)
    if b"event: error" in events or any(payload.get("error") for payload in payloads(events)):
        return False
    said = naive(b"\n\n".join(b for b in events.split(b"\n\n") if b'"choices"' in b))
    return bool(said) and all(choice["finish"] for choice in said.values())


def cuts() -> list[bytes]:
    """Half anywhere, half near the end, where the finish reason is."""
    chance = random.Random(20260101)
    bodies = [framed(path) for path in CHAT]
    found = []
    for number in range(COUNT):
        body = bodies[number % len(bodies)]
        first = 0 if number % 2 else max(0, len(body) - 700)
        found.append(body[: chance.randint(first, len(body))])
    return found


def test_every_cut_is_noticed_and_every_whole_answer_accepted() -> None:
    bodies = cuts()

    async def answer(connection: Connection) -> None:
        number = int(connection.path.rpartition("/")[2].partition("?")[0].removeprefix("completions") or 0)
        connection.send(HEAD + bodies[number])

    async def one(url: str, number: int) -> bool | None:
        """Whether it was accepted; ``None`` when an error does not carry what came."""
        endpoint = f"{url}/chat/completions{number}"
        async with AsyncStreamClient(endpoint=endpoint, retry_attempts=0, trust_env=False) as client:
            stream = client.stream([{"role": "user", "content": "x"}])
            try:
                text = "".join([piece async for piece in stream])
            except TidegateError as error:
                if isinstance(error, StreamTruncated) and error.text != stream.text:
                    return None
                return False
            assert text == stream.text
            return True

    async def case() -> None:
        async with serving(answer) as url:
            wrong = []
            for at in range(0, COUNT, 50):
                numbers = range(at, min(COUNT, at + 50))
                accepted = await asyncio.gather(*(one(url, number) for number in numbers))
                expected = [has_its_finish(bodies[number]) for number in numbers]
                wrong += [n for n, got, want in zip(numbers, accepted, expected, strict=True) if got != want]
            assert [(n, bodies[n][-200:]) for n in wrong[:3]] == []
            assert wrong == []

    run(case())


def test_the_sample_holds_many_of_both() -> None:
    """Or the test above would prove nothing."""
    whole = sum(map(has_its_finish, cuts()))
    assert 300 < whole < COUNT - 300
