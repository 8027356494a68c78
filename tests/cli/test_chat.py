"""``tidegate chat`` at a real pseudo-terminal, its screen read by a terminal emulator; and in a pipe."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.pseudo import Terminal, terminal
from tests.cli.running import gateway
from tidegate.simulator.texts import ANSWERS, tokens_of


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with gateway() as (_, address):
        yield address


def piped(url: str, model: str, *arguments: str, stdin: str = "Why?") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tidegate", "chat", "--url", url, "--model", model, *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)


def test_in_a_pipe_only_the_answer_is_on_stdout(url: str) -> None:
    said = piped(url, "sim/markdown?tps=0", "-")
    assert (said.returncode, said.stdout) == (0, ANSWERS["markdown"])
    assert said.stderr.startswith("stop · ")
    assert "TTFT" in said.stderr
    by_argument = piped(url, "sim/prose?tps=0&tokens=3", "Why?", "--system", "Be brief.")
    assert by_argument.stdout == "".join(tokens_of(ANSWERS["prose"])[:3]) + "\n"


def test_a_cut_answer_in_a_pipe_says_so_and_fails(url: str) -> None:
    said = piped(url, "sim/cut-after-5", "-")
    assert said.returncode == 3
    assert said.stdout == "Twice a day the sea\n"
    assert "the answer was cut" in said.stderr
    assert "upstream_cut · 5 tokens" in said.stderr


def test_what_cannot_work_is_one_line(url: str) -> None:
    assert piped(url, "sim/401", "-").stderr == "tidegate: Incorrect API key provided.\n"
    assert piped("http://127.0.0.1:9", "m", "-").returncode == 1
    assert piped("ftp://x", "m", "-").returncode == 2
    empty = piped(url, "m", "-", stdin="\n")
    assert (empty.returncode, empty.stdout) == (2, "")
    assert "no question" in empty.stderr


def started(url: str, model: str, home: Path) -> Iterator[Terminal]:
    with terminal("chat", "--url", url, "--model", model, home=home) as chat:
        chat.until("\n›")
        yield chat


@pytest.fixture
def chat(url: str, tmp_path: Path) -> Iterator[Terminal]:
    yield from started(url, "sim/markdown?tps=400", tmp_path)


def test_markdown_is_rendered_and_nothing_is_printed_twice(chat: Terminal) -> None:
    chat.ask("Tell me\r")
    chat.until("stop · 263 tokens")
    text = chat.all
    for line in ("Reading a tide table", "The rule of twelfths", "  def height(low: float", "▌ In the first hour"):
        assert text.count(line) == 1, line
    assert "```" not in text
    assert "##" not in text
    assert " • Second hour: 2/12" in text


def test_a_conversation_with_every_command(chat: Terminal, tmp_path: Path) -> None:
    chat.ask("/model sim/prose?tokens=7&tps=0\r")
    chat.until("model: sim/prose?tokens=7")
    chat.ask("one\x1b\rtwo\r")
    chat.until("length · 7 tokens")
    chat.ask("/retry\r")
    chat.until(lambda: chat.all.count("length · 7 tokens") == 2)
    chat.ask("/stats\r")
    chat.until("2 answers, 0 of them cut, 14 tokens")
    chat.ask("/save talk.json\r")
    chat.until("saved in")
    messages = json.loads((tmp_path / "talk.json").read_text())["messages"]
    assert [turn["role"] for turn in messages] == ["user", "assistant"]
    assert messages[0]["content"] == "one\ntwo"
    chat.ask("/save talk.json\r")
    chat.until("File exists")
    chat.ask("/save\r")
    chat.until("where to?")
    chat.ask("/nonsense\r")
    chat.until("no command /nonsense")
    chat.ask("/help\r")
    chat.until("ask the last question again")
    chat.ask("\x1b[A\x1b[A")
    chat.until(lambda: any(line.startswith("› /nonsense") for line in chat.lines))
    chat.type("\x15/quit\r")
    assert chat.ended() == 0
    history = tmp_path / "tidegate" / "chat-history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_ctrl_c_stops_the_answer_and_keeps_it(url: str, tmp_path: Path) -> None:
    for chat in started(url, "sim/prose?tokens=5000&tps=100", tmp_path):
        chat.ask("Why?\r")
        chat.until("Twice a day the sea")
        chat.type("\x03")
        chat.until("soft_stop · ")
        chat.ask("/save kept.md\r")
        chat.until("saved in")
        assert "Twice a day the sea" in (tmp_path / "kept.md").read_text()
        chat.ask("\x03")
        chat.until("Ctrl-C again leaves.")
        chat.ask("\x03")
        assert chat.ended() == 0


def test_a_second_ctrl_c_in_an_answer_leaves(url: str, tmp_path: Path) -> None:
    for chat in started(url, "sim/stall", tmp_path):
        chat.ask("Why?\r")
        chat.until("\n…")
        chat.type("\x03")
        chat.until("client_cancel")
        assert "…" not in chat.lines
        chat.ask("\x03")
        chat.until("Ctrl-C again leaves.")
        chat.ask("\x03")
        assert chat.ended() == 0


def test_a_cut_answer_is_marked_as_cut(url: str, tmp_path: Path) -> None:
    for chat in started(url, "sim/cut-after-5", tmp_path):
        chat.ask("Why?\r")
        chat.until("✂ cut: ")
        chat.until("upstream_cut · 5 tokens")
        assert "Twice a day the sea" in chat.all
        chat.ask("\x04")
        assert chat.ended() == 0


def test_one_question_is_answered_once(url: str, tmp_path: Path) -> None:
    with terminal("chat", "--url", url, "--model", "sim/cut-after-5", "Why?", home=tmp_path) as once:
        assert once.ended() == 3
        assert "✂ cut: " in once.all


def test_a_window_that_changes_keeps_its_text(chat: Terminal) -> None:
    chat.ask("Tell me\r")
    chat.until("Reading a tide table")
    chat.resize(60, 20)
    chat.until("263 tokens")
    assert "See the harbour office" in chat.all
