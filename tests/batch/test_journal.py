"""batch/journal.py: what was answered stays answered, wherever the process died."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.batch.journal import Journal
from tidegate.batch.lines import Answer, Request, request_of
from tidegate.errors import InvalidRequest


def request(number: int, text: str = "") -> Request:
    body = {"custom_id": f"q{number}", "url": "/v1/x", "body": {"text": text}}
    return request_of(json.dumps(body).encode(), number, 0)


def good(number: int) -> Answer:
    return Answer(200, "", json.dumps({"n": number, "text": "Gezeiten 🌊\n"}, ensure_ascii=False).encode(), None, 2, 3)


async def written(path: Path, count: int) -> None:
    async with Journal(path) as journal:
        for number in range(1, count + 1):
            journal.sent(request(number))
            if number % 3:
                journal.answered(request(number), good(number))
            elif number % 2:
                journal.answered(request(number), Answer(error=("lost", "x")))


def test_answers_are_there_in_the_next_run(tmp_path: Path) -> None:
    async def case() -> None:
        path = tmp_path / "j"
        await written(path, 6)
        async with Journal(path) as journal:
            assert [journal.is_good(request(number)) for number in range(1, 7)] == [
                True,
                True,
                False,
                True,
                True,
                False,
            ]
            assert [journal.in_doubt(request(number)) for number in (1, 3, 6)] == [False, False, True]
            assert (journal.prompt_tokens, journal.output_tokens) == (8, 12)
            line = journal.line(request(2))
            assert line is not None
            assert json.loads(line[0])["response"]["body"]["n"] == 2
            assert journal.line(request(3)) is not None
            assert journal.line(request(6)) is None
            assert journal.line(request(2, "other words")) is None
            assert not journal.is_good(request(2, "other words"))

    asyncio.run(case())


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_file_cut_anywhere_holds_every_answer_before_the_cut(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        asyncio.run(written(path, 8))
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        kept = whole[: whole.rfind(b"\n", 0, cut) + 1]

        async def case() -> None:
            async with Journal(path) as journal:
                for number in range(1, 9):
                    there = f'"answered":"q{number}"'.encode() in kept
                    assert (journal.line(request(number)) is not None) == there
                # It can be written on as if nothing had happened.
                journal.answered(request(99), good(99))
            async with Journal(path) as journal:
                assert journal.is_good(request(99))

        asyncio.run(case())


def test_a_flush_that_is_under_way_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is open, and locked, as long as a thread is in the middle of it: the next run would be refused."""
    begun, going_on = threading.Event(), threading.Event()
    flush = os.fsync

    def slow(file: int) -> None:
        begun.set()
        assert going_on.wait(60)
        flush(file)

    async def case() -> None:
        path = tmp_path / "j"
        async with Journal(path) as journal:
            monkeypatch.setattr(os, "fsync", slow)
            journal.answered(request(1), good(1))
            assert await asyncio.to_thread(begun.wait, 60)
            asyncio.get_running_loop().call_later(0.05, going_on.set)
        assert going_on.is_set()
        async with Journal(path) as again:
            assert again.is_good(request(1))

    asyncio.run(case())


def test_two_at_a_time_are_refused(tmp_path: Path) -> None:
    async def case() -> None:
        async with Journal(tmp_path / "j"):
            with pytest.raises(InvalidRequest, match="another batch is writing it"):
                Journal(tmp_path / "j")

    asyncio.run(case())


@pytest.mark.parametrize(
    ("content", "message"),
    [(b'{"custom_id": "1"}\n', "not a journal"), (b'{"journal":"x"}\nzebra\n', "damaged at byte 16")],
)
def test_what_is_no_journal_is_not_touched(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(InvalidRequest, match=message):
        Journal(path)
    assert path.read_bytes() == content


def test_others_cannot_read_it(tmp_path: Path) -> None:
    asyncio.run(written(tmp_path / "j", 1))
    assert (tmp_path / "j").stat().st_mode & 0o077 == 0
