"""Bodies of real servers, as public projects recorded them: every one passes, whole and cut.

They lie beside the checkout and are not part of it; without them these tests are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.wire.corpus import read_chat
from tidegate.events import TextDelta
from tidegate.wire.ndjson import NdjsonDecoder
from tidegate.wire.openai_chat import chunks_of_response, encode_json
from tidegate.wire.sse import DONE, SseDecoder, SseEvent, encode_sse

STREAMS = Path(__file__).resolve().parents[2] / ".." / "shared" / "streams"

pytestmark = pytest.mark.skipif(
    not STREAMS.is_dir(), reason="the recorded streams are not beside this checkout; the corpus covers their oddities"
)

EVERY_BYTE = 3_000
"""Bodies up to this size are cut in two at every byte; larger ones at a sample that is the same in each run."""

BYTE_BY_BYTE = 20_000
"""Bodies up to this size are fed byte by byte; larger ones in steps of 13."""


def files(suffix: str) -> list[Path]:
    return sorted(STREAMS.glob(f"*/*.{suffix}"))


def ids(paths: list[Path]) -> list[str]:
    return [f"{path.parent.name}/{path.stem}" for path in paths]


def framed(path: Path) -> bytes:
    """The body as SSE: as recorded, or framed again where the recording holds only the payloads."""
    body = path.read_bytes()
    if path.suffix == ".sse":
        return body
    return b"".join(encode_sse(line) for line in body.splitlines() if line.strip()) + DONE


def is_chat(path: Path) -> bool:
    """Whether a recording is of this dialect: its payloads have ``choices`` with deltas."""
    body = path.read_bytes()
    return b'"choices":[' in body.replace(b" ", b"") and b'"delta"' in body


def payloads(body: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects of a body, read the simple way: by lines."""
    for line in body.decode(errors="replace").splitlines():
        if line.startswith("data:") and line[5:].strip().startswith("{"):
            try:
                yield json.loads(line[5:])
            except ValueError:
                continue


def pieces_of(body: bytes) -> Iterator[list[bytes]]:
    """The body cut in many ways: in two, and in small steps."""
    size = len(body)
    places = range(1, size) if size <= EVERY_BYTE else sorted({(at * at * 7919) % size for at in range(1, 25)} - {0})
    for at in places:
        yield [body[:at], body[at:]]
    step = 1 if size <= BYTE_BY_BYTE else 13
    yield [body[at : at + step] for at in range(0, size, step)]


def decoded(pieces: list[bytes]) -> tuple[list[SseEvent], int, int]:
    decoder = SseDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.close(), decoder.comments, decoder.pending


SSE = files("sse")
CHAT = [path for path in SSE + files("payloads") if is_chat(path)]
NDJSON = files("ndjson") + files("payloads")


def test_the_recordings_are_all_there() -> None:
    """A folder that lost its files would make the tests below pass for nothing."""
    assert len(SSE) > 200
    assert len(CHAT) > 90
    assert len(NDJSON) > 70


@pytest.mark.parametrize("path", SSE, ids=ids(SSE))
def test_every_sse_body_gives_the_same_events_however_it_is_cut(path: Path) -> None:
    """Of whatever dialect."""
    body = path.read_bytes()
    whole = decoded([body])
    assert whole[0]
    for pieces in pieces_of(body):
        assert decoded(pieces) == whole, [len(piece) for piece in pieces][:3]


@pytest.mark.parametrize("path", NDJSON, ids=ids(NDJSON))
def test_every_ndjson_body_gives_its_lines_however_it_is_cut(path: Path) -> None:
    """Each is a JSON text."""
    body = path.read_bytes()
    lines = [line for line in body.replace(b"\r\n", b"\n").split(b"\n") if line.strip()]
    for pieces in ([body], *pieces_of(body)):
        decoder = NdjsonDecoder()
        assert [record for piece in pieces for record in decoder.feed(piece)] + decoder.close() == lines
    for line in lines:
        json.loads(line)


@pytest.mark.parametrize("path", CHAT, ids=ids(CHAT))
def test_every_chat_body_adds_up_to_what_its_payloads_say(path: Path) -> None:
    """Text, tool calls and finish reasons, against a second reading that knows nothing of ours."""
    body = framed(path)
    reading = read_chat([body])
    assert reading.malformed == 0
    result = reading.assembler.result()
    assert {c["index"]: naive_of(c) for c in result["choices"]} == naive(body)
    assert reading.assembler.complete == all(said["finish"] for said in naive(body).values())
    said = [event.text for event in reading.events if isinstance(event, TextDelta) and event.choice == 0]
    assert "".join(said) == reading.assembler.text


@pytest.mark.parametrize("path", CHAT, ids=ids(CHAT))
def test_every_chat_body_says_the_same_however_it_is_cut(path: Path) -> None:
    """Through decoder, dialect and assembler."""
    body = framed(path)
    whole = read_chat([body]).facts()
    step = 1 if len(body) <= BYTE_BY_BYTE else 13
    assert read_chat([body[at : at + step] for at in range(0, len(body), step)]).facts() == whole


@pytest.mark.parametrize("path", CHAT, ids=ids(CHAT))
def test_every_chat_answer_survives_as_one_body(path: Path) -> None:
    """Assembled, cut into chunks, and assembled again."""
    whole = read_chat([framed(path)]).assembler.result()
    again = read_chat([encode_sse(chunk) for chunk in chunks_of_response(encode_json(whole))]).assembler.result()
    for choice in (*whole["choices"], *again["choices"]):
        choice["message"].setdefault("refusal", None)
    assert again == whole


def naive(body: bytes) -> dict[int, dict[str, Any]]:
    """Each choice's text, arguments and finish reason, by plain concatenation."""
    choices: dict[int, dict[str, Any]] = {}
    for payload in payloads(body):
        for choice in payload["choices"]:
            said = choices.setdefault(
                choice.get("index", 0), {"text": "", "reasoning": "", "arguments": "", "finish": None}
            )
            said["finish"] = choice.get("finish_reason") or said["finish"]
            delta = choice.get("delta") or {}
            content = delta.get("content") or ""
            if isinstance(content, list):
                said["reasoning"] += "".join(
                    inner["text"] for part in content if part["type"] == "thinking" for inner in part["thinking"]
                )
                content = "".join(part["text"] for part in content if part["type"] == "text")
            said["text"] += content
            said["reasoning"] += delta.get("reasoning_content") or delta.get("reasoning") or ""
            for call in delta.get("tool_calls") or ():
                said["arguments"] += call["function"].get("arguments") or ""
    return choices


def naive_of(choice: dict[str, Any]) -> dict[str, Any]:
    """The same facts of an assembled choice. Its calls are in the order of their index, as all recorded ones came."""
    message = choice["message"]
    return {
        "text": message["content"] or "",
        "reasoning": message.get("reasoning_content") or message.get("reasoning") or "",
        "arguments": "".join(call["function"]["arguments"] for call in message.get("tool_calls") or ()),
        "finish": choice["finish_reason"],
    }
