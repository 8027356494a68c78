"""batch/files.py: the input is checked before anything is paid for; the outputs are in its order."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tidegate.batch.files import Input, errors_file, journal_file, write_outputs
from tidegate.batch.journal import Journal
from tidegate.batch.lines import Answer
from tidegate.errors import InvalidRequest


def lines(*ids: str) -> str:
    return "".join(json.dumps({"custom_id": each, "url": "/v1/x", "body": {"for": each}}) + "\n" for each in ids)


def test_lines_are_read_again_when_they_are_sent(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(lines("ä", "b") + "\n\r\n" + lines("c").rstrip("\n"))
    source = Input(path)
    assert [request.number for request in source.requests] == [1, 2, 5]
    assert [json.loads(source.body(request))["for"] for request in source.requests] == ["ä", "b", "c"]
    source.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no request in it"),
        (lines("a") + "x\n", "line 2: not a JSON object"),
        (lines("a", "b", "a"), 'line 3: its "custom_id" is that of line 1'),
    ],
)
def test_a_bad_line_stops_everything(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(text)
    with pytest.raises(InvalidRequest, match=message):
        Input(path)


def test_outputs_are_in_the_order_of_the_input_and_failures_apart(tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(lines("a", "b", "c", "d"))
    assert (journal_file(output).name, errors_file(output).name) == ("out.jsonl.journal", "out.errors.jsonl")

    async def case() -> None:
        requests = Input(source)
        a, b, c, d = requests.requests
        async with Journal(journal_file(output)) as journal:
            for request in (d, c, a):
                journal.answered(request, Answer(200, "", b"{}"))
            journal.answered(b, Answer(error=("lost", "x")))
            assert write_outputs(requests.requests, journal, output) == (3, 1)
            assert [json.loads(line)["custom_id"] for line in output.read_text().splitlines()] == ["a", "c", "d"]
            assert json.loads(errors_file(output).read_text())["custom_id"] == "b"
            journal.answered(b, Answer(200, "", b"{}"))
            assert write_outputs(requests.requests, journal, output) == (4, 0)
        requests.close()

    asyncio.run(case())
    assert not errors_file(output).exists()
    assert not list(tmp_path.glob("*.partial"))
