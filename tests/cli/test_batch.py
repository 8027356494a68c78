"""cli/batch.py: a file of requests as a real process, killed in the middle and gone on with."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.cli.servers import simulator, start, tidegate
from tidegate.batch.engine import Progress
from tidegate.cli.batch import _progress, server_of


def write_requests(path: Path, count: int, model: str = "sim/default?tokens=20") -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "Why?"}]}
    with path.open("w") as file:
        for number in range(count):
            line = {"custom_id": f"q{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")


def answers(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def stats(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/sim/stats") as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def answered(journal: Path) -> int:
    return journal.read_text().count('"answered":') if journal.exists() else 0


def interrupted(url: str, number: signal.Signals) -> int:
    """Start, wait for some answers, and send the signal; the exit code."""
    process = start("batch", "in.jsonl", "out.jsonl", "--url", url, "--most", "4")
    before = answered(Path("out.jsonl.journal"))
    deadline = time.monotonic() + 120
    while answered(Path("out.jsonl.journal")) < before + 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    assert number is signal.SIGKILL or "the same command goes on" in out
    return process.returncode


def test_killed_interrupted_and_gone_on_with_nothing_is_paid_for_twice() -> None:
    write_requests(Path("in.jsonl"), 120)
    with simulator() as url:
        assert interrupted(url, signal.SIGKILL) == -9
        assert not Path("out.jsonl").exists()
        assert interrupted(url, signal.SIGINT) == 130
        result = tidegate("batch", "in.jsonl", "out.jsonl", "--url", url, "--price-in", "1", "--price-out", "2")
        assert result.returncode == 0, result.stderr
        assert "requests have their answers already" in result.stderr
        assert "120 answers in out.jsonl" in result.stdout
        assert "cost 0.00" in result.stdout
        found = answers(Path("out.jsonl"))
        assert [each["custom_id"] for each in found] == [f"q{number}" for number in range(120)]
        assert all(each["response"]["status_code"] == 200 and each["error"] is None for each in found)
        assert not Path("out.jsonl.journal").exists()
        # What was in flight at the kill had no answer yet: those, at most four, are the only ones asked for again.
        assert stats(url)["completed"] - 120 <= 4
        assert stats(url)["started"] - 120 <= 4
        again = tidegate("batch", "in.jsonl", "out.jsonl", "--url", url)
        assert (again.returncode, again.stderr) == (
            1,
            "tidegate: out.jsonl is there already; --overwrite begins anew.\n",
        )


def test_failed_lines_have_a_file_of_their_own_and_are_tried_again() -> None:
    write_requests(Path("in.jsonl"), 6)
    lines = Path("in.jsonl").read_text().splitlines()
    lines[2] = lines[2].replace("sim/default?tokens=20", "sim/404")
    Path("in.jsonl").write_text("\n".join(lines))
    with simulator() as url:
        result = tidegate("batch", "in.jsonl", "out.jsonl", "--url", f"{url}/v1", "--quiet")
        assert result.returncode == 1
        assert "1 failed in out.errors.jsonl" in result.stdout
        assert len(answers(Path("out.jsonl"))) == 5
        (failed,) = answers(Path("out.errors.jsonl"))
        assert (failed["custom_id"], failed["error"]["code"]) == ("q2", "http_404")
        assert stats(url)["started"] == 6
        assert tidegate("batch", "in.jsonl", "out.jsonl", "--url", url, "--quiet").returncode == 1
        assert stats(url)["started"] == 7, "only the failed one"
        # With other words it is another request.
        Path("in.jsonl").write_text("\n".join(lines).replace("sim/404", "sim/default"))
        assert tidegate("batch", "in.jsonl", "out.jsonl", "--url", url, "--quiet").returncode == 0
        assert len(answers(Path("out.jsonl"))) == 6
        assert not Path("out.errors.jsonl").exists()
        assert tidegate("batch", "in.jsonl", "out.jsonl", "--url", url, "--quiet", "--overwrite").returncode == 0


def test_nobody_listening_is_an_error_of_each_line_and_no_traceback() -> None:
    write_requests(Path("in.jsonl"), 2)
    result = tidegate("batch", "in.jsonl", "out.jsonl", "--url", "127.0.0.1:9", "--retries", "0")
    assert result.returncode == 1
    assert "0 answers in out.jsonl, 2 failed" in result.stdout


@pytest.mark.parametrize(
    ("content", "arguments", "code", "message"),
    [
        ("{half", ("in.jsonl", "out.jsonl"), 1, "in.jsonl, line 1: not a JSON object"),
        ("", ("in.jsonl", "out.jsonl"), 1, "in.jsonl: no request in it"),
        ("", ("none.jsonl", "out.jsonl"), 1, "none.jsonl: No such file or directory"),
        ("", ("in.jsonl", "nowhere/out.jsonl"), 1, "no request in it"),
        ("", ("in.jsonl", "in.jsonl"), 2, "are the same file"),
        ("", ("in.jsonl", "out.jsonl", "--url", "ftp://h"), 1, "is not an http or https URL"),
        ("", ("in.jsonl",), 2, "Missing argument 'OUT.jsonl'"),
    ],
)
def test_what_is_wrong_is_one_line(
    command: Command, content: str, arguments: tuple[str, ...], code: int, message: str
) -> None:
    Path("in.jsonl").write_text(content)
    result = command("batch", *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stderr.startswith("tidegate: ")
    assert result.stderr.count("\n") == 1
    assert not Path("out.jsonl.journal").exists()


def test_a_url_is_a_server_with_or_without_its_version() -> None:
    assert {server_of(url) for url in ("h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/chat/completions")} == {
        "http://h:1"
    }


def test_progress_shows_tokens_and_what_is_left() -> None:
    now = Progress(total=10, good=4, failed=1, in_flight=2, limit=8, refusals=3, prompt_tokens=50, output_tokens=50)
    text = _progress(now, 60.0, 12.0)
    for part in ("━━━━━━━━━━──────────", "5/10", "2 in flight (limit 8)", "100 tokens (12 a second out)", "1:00 left"):
        assert part in text
    assert "cost" not in text
    now.cost = 1.5
    assert "cost 1.5000  1 failed  3 refused" in _progress(now, 60.0, 12.0)
    assert "left" not in _progress(Progress(total=10), 1.0, 0.0)
