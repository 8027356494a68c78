"""cli/bench_seed.py: the three ways side by side, small."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.browsers import the_chromium
from tests.cli.conftest import Command
from tests.cli.servers import start, tidegate
from tidegate.bench.visible import PlainText
from tidegate.cli.bench_seed import _program, _screen

SMALL = (
    "--streams",
    "10",
    "--readers",
    "10",
    "--ttft",
    "0.05",
    "0.1",
    "--answer",
    "0.2",
    "0.4",
    "--phones",
    "1",
    "--quiet",
)


EVERYBODY = ("--impatience", "0", "--distraction", "0")


def test_it_measures_and_saves_a_table_json_and_a_plot(tmp_path: Path) -> None:
    files = ("--json", str(tmp_path / "seed.json"), "--plot", str(tmp_path / "seed.svg"))
    result = tidegate("bench", "seed", *SMALL, *EVERYBODY, "--browser", "none", *files)
    assert result.returncode == 0, result.stderr
    assert "3500-8000" in result.stdout
    assert "Not the same quantity." in result.stdout
    found = json.loads((tmp_path / "seed.json").read_text())
    assert {way: found["ways"][way]["complete"] for way in found["ways"]} == {"blocking": 10, "chunked": 10, "sse": 10}
    assert {found["ways"][way]["perceived_in"] for way in found["ways"]} == {"terminal"}
    assert "  browser, " not in result.stdout
    sse = found["ways"]["sse"]
    if sse["no_link"]:  # a link takes Linux and root
        assert sse["no_link"] in " ".join(result.stdout.replace("\n  ", " ").split())
    else:
        assert sse["mobile"]["plain"]["bytes_per_token"] > sse["mobile"]["gzip"]["bytes_per_token"]
        assert "| mobile, 1 phones" in result.stdout
    assert (tmp_path / "seed.svg").read_text().startswith("<?xml")


@pytest.mark.slow
def test_with_a_browser_it_tells_what_its_pages_saw(tmp_path: Path) -> None:
    saved = tmp_path / "seed.json"
    result = tidegate(
        *("bench", "seed", *SMALL, *EVERYBODY, "--pages", "2", "--browser", the_chromium(), "--json", str(saved))
    )
    assert result.returncode == 0, result.stderr
    assert "|   browser, 2 pages " in result.stdout
    assert "|   terminal " in result.stdout
    ways = json.loads(saved.read_text())["ways"]
    assert {ways[way]["perceived_in"] for way in ways} == {"browser"}
    assert {(ways[way]["pages"], ways[way]["pages_failed"]) for way in ways} == {(2, 0)}
    assert all(ways[way]["painted"]["p10"] >= 0.05 for way in ways)


def test_a_browser_that_does_not_start_is_one_line_before_anything_is_measured() -> None:
    result = tidegate("bench", "seed", "--browser", "false")
    assert result.returncode == 1
    assert re.fullmatch(r"tidegate: \S+/false did not start as a browser does\.[^\n]*\n", result.stderr)


def test_auto_takes_the_first_browser_on_the_path_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _program("auto") is None
    for name in ("chrome", "google-chrome"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    assert _program("auto") == str(tmp_path / "google-chrome")
    assert _program("chrome") == str(tmp_path / "chrome")
    assert _program("none") is None


def test_without_the_terminal_extra_it_is_when_text_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _screen()[1] == "terminal"
    monkeypatch.setitem(sys.modules, "tidegate.cli.seed_screen", None)
    assert _screen() == (PlainText, "plain text")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ttft", "2", "1"), "--ttft: the lower value comes first"),
        (("--answer", "2", "1"), "--answer: the lower value comes first"),
        (("--plot", "x.gif"), "x.gif is neither .png nor .svg"),
        (("--browser", "/no/such/chromium"), "--browser: /no/such/chromium is not a program"),
        (("--pages", "0"), "Invalid value for '--pages'"),
        (("--readers", "1"), "Invalid value for '--readers'"),
    ],
)
def test_what_is_typed_wrongly_is_one_line(command: Command, arguments: tuple[str, ...], message: str) -> None:
    result = command("bench", "seed", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_without_matplotlib_it_says_what_is_needed_before_it_measures() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from tidegate.cli import main; sys.argv = ['tidegate', 'bench', 'seed', '--plot', 'x.png']; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 1
    assert result.stderr == "tidegate: this command needs: pip install 'tidegate[bench]'\n"


def test_ctrl_c_ends_it_and_what_it_started() -> None:
    process = start("bench", "seed", "--readers", "500", "--browser", the_chromium(), "--answer", "60", "60")
    assert process.stderr is not None
    assert "readers" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err
