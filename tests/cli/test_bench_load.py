"""cli/bench_load.py: the acceptance test as anybody runs it, and everything that can be typed wrongly."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.running import gateway
from tests.cli.servers import simulator, start, tidegate
from tidegate.bench.report import Snapshot
from tidegate.cli.bench_load import _progress

SHORT = ("--streams", "10", "--duration", "3", "--ramp", "0.2", "--quiet")


def test_the_acceptance_test_of_a_gateway(tmp_path: Path) -> None:
    with simulator() as far_end, gateway("--upstream", f"{far_end}/v1") as (process, url):
        report = tmp_path / "load.json"
        arguments = (
            "--simulator",
            far_end,
            "--pid",
            str(process.pid),
            "--json",
            str(report),
            *("--max-memory-growth", "1", "--max-cancel-p99", "60000"),
        )
        result = tidegate("bench", "load", url, *SHORT, *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        assert result.stdout.endswith("passed\n")
        found = json.loads(report.read_text())
        assert found["complete"] > 10
        assert found["cancelled"] > 0
        assert (found["failures"], found["dishonest"], found["never_aborted"], found["breaches"]) == ({}, 0, 0, [])
        assert 0 < found["cancel"]["count"] <= found["cancelled"]
        assert found["rss_peak"] > 20_000_000


def test_thresholds_decide_the_exit_code_and_say_why() -> None:
    with simulator() as far_end:
        result = tidegate("bench", "load", far_end, *SHORT, "--requests", "20", "--max-ttft-p50", "1")
        assert result.returncode == 1
        assert "failed: TTFT p50 is " in result.stdout
        lying = tidegate(
            "bench",
            "load",
            far_end,
            *SHORT,
            "--requests",
            "20",
            "--cancel",
            "0",
            "--model",
            "sim/done-only",
            "--json",
            "-",
        )
        assert lying.returncode == 1
        assert json.loads(lying.stdout)["dishonest"] == 20


def test_ctrl_c_reports_what_there_is() -> None:
    with simulator() as far_end:
        process = start("bench", "load", far_end, "--duration", "600", "--idle-timeout", "120")
        assert process.stderr is not None
        assert "live" in process.stderr.readline()  # a line of progress: it runs
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 130, err
        assert "stopped early" in out


def test_nobody_listening_is_one_line() -> None:
    result = tidegate("bench", "load", "http://127.0.0.1:9")
    assert result.returncode == 1
    assert result.stderr == "tidegate: http://127.0.0.1:9/v1 cannot be reached: nothing listens there.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("ftp://h",), 1, "ftp://h is not an http or https URL"),
        (("h", "--pid", "999999999"), 1, "There is no process 999999999"),
        (("127.0.0.1:9", "--simulator", "127.0.0.1:9"), 1, "does not answer as a simulator does"),
        (("h", "--prompts", "none.txt"), 1, "none.txt: No such file or directory"),
        (("h", "--prompts", "bad.jsonl"), 1, "bad.jsonl, line 1: not JSON"),
        (("h", "--duration", "0"), 2, "--duration 0 needs --requests"),
        (("h", "--cancel", "2"), 2, "Invalid value for '--cancel'"),
        (("h", "--api-key", "env:NOT_SET"), 2, "NOT_SET"),
        ((), 2, "Missing argument 'URL'"),
    ],
)
def test_what_is_typed_wrongly_is_one_line(
    command: Command, arguments: tuple[str, ...], code: int, message: str
) -> None:
    Path("bad.jsonl").write_text("{classified")
    result = command("bench", "load", *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stderr.startswith("tidegate: ")
    assert result.stderr.count("\n") == 1
    assert "classified" not in result.stderr


def test_progress_is_of_the_last_moment() -> None:
    before = Snapshot(seconds=1.0, live=5, complete=0, cancelled=0, failed=0, tokens=100, ttft_p50=None, rss=0)
    now = Snapshot(seconds=2.0, live=5, complete=1, cancelled=2, failed=3, tokens=400, ttft_p50=0.2, rss=45_000_000)
    assert _progress(now, before) == "   2 s  5 live  1 complete  2 cancelled  3 failed  300 tok/s  TTFT 200 ms  45 MB"
    assert "100 tok/s  TTFT –" in _progress(before, None)
