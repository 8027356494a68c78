"""The table of streams, without a terminal."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tidegate.terminal.board import LINGER, Action, Board
from tidegate.terminal.cells import fit

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def stream(number: int, **facts: Any) -> dict[str, Any]:
    whole = {
        "id": f"{number:032x}",
        "client": f"app-{number}",
        "model": "gpt-4o-mini",
        "upstream": "main",
        "state": "streaming",
        "reason": None,
        "duration": 3.0,
        "tokens": 10,
        "ttft": 0.39,
        "paused": False,
    }
    return {**whole, **facts}


def board(*streams: dict[str, Any], now: float = 0.0) -> Board:
    found = Board("http://127.0.0.1:8080")
    found.update(len(streams), streams, now)
    return found


def shown(found: Board, width: int = 80, height: int = 24) -> list[str]:
    return [ANSI.sub("", line).rstrip() for line in found.screen(width, height)]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 10), (200, 50), (20, 6)])
def test_every_screen_has_its_lines_and_fits(width: int, height: int) -> None:
    found = board(*(stream(number, model="a-model-with-a-very-long-name-潮汐" * 3) for number in range(100)))
    lines = found.screen(width, height)
    assert len(lines) == height
    for line in lines:
        bare = ANSI.sub("", line)
        assert bare == fit(bare.rstrip(), width).rstrip() or len(bare) <= width


def test_a_row_tells_what_matters() -> None:
    found = board(stream(1, tokens=1234, duration=75.0, ttft=1.5))
    assert shown(found)[3].split() == ["CLIENT", "MODEL", "UPSTREAM", "STATE", "AGE", "TOKENS", "TOK/S", "TTFT"]
    assert shown(found)[4].split() == ["app-1", "gpt-4o-mini", "main", "streaming", "1m", "1234", "0", "1500ms"]
    assert "1 live" in shown(found)[0]
    assert shown(board(stream(1, paused=True, duration=7200.0, ttft=None, client=None)))[4].split() == (
        ["-", "gpt-4o-mini", "main", "paused", "2h", "10", "0"]
    )
    assert "no stream" in shown(board())[4]


def test_the_rate_is_that_of_the_last_updates() -> None:
    found = board(stream(1))
    found.update(1, [stream(1, tokens=60)], 0.5)
    assert found.rows[stream(1)["id"]].rate == 100.0
    found.update(1, [stream(1, tokens=60)], 1.0)
    assert found.rows[stream(1)["id"]].rate == 50.0
    assert list(found.rates) == [0.0, 100.0, 50.0]
    assert "50 tokens/s" in shown(found)[0]
    assert "█" in shown(found)[1]
    found.update(1, [stream(1, tokens=90)], 1.0)
    assert found.rows[stream(1)["id"]].rate == 50.0


def test_an_ended_stream_stays_a_while_with_its_reason() -> None:
    found = board(stream(1), stream(2))
    assert found.update(1, [stream(2)], 1.0) == [stream(1)["id"]]
    found.ended(stream(1, state="ended", reason="upstream_cut"))
    found.ended(stream(9, state="ended", reason="stop"))
    assert "upstream_cut" in shown(found)[4]
    assert found.update(1, [stream(2)], 1.5) == []
    found.tick(1.0 + LINGER)
    assert len(found.visible()) == 1


def test_keys_select_and_act() -> None:
    found = board(*(stream(number) for number in range(30)))
    shown(found)
    assert found.chosen == stream(0)["id"]
    for key in ("down", "j", "page-down", "up"):
        assert found.key(key) is None
    assert found.chosen == stream(11)["id"]
    assert found.key("s") == Action("stop", stream(11)["id"])
    assert found.key("x") == Action("cancel", stream(11)["id"])
    found.key("end")
    assert found.chosen == stream(29)["id"]
    assert any("app-29" in line for line in shown(found))
    found.key("home")
    assert found.chosen == stream(0)["id"]
    assert found.key("q") == Action("quit")
    assert found.key("\x03") == Action("quit")
    assert found.key("z") is None


def test_what_has_ended_cannot_be_stopped() -> None:
    found = board(stream(1))
    found.update(0, [], 1.0)
    assert found.key("s") is None
    assert "no live stream" in shown(found)[-1]
    empty = board()
    assert empty.key("down") is None
    assert empty.key("x") is None


def test_the_filter_takes_every_word() -> None:
    found = board(stream(1), stream(2, model="llama-3"), stream(3, model="llama-3", state="waiting"))
    for key in ("/", *"llama xx", "backspace", "backspace", "backspace", " ", *"wait", "tab"):
        found.key(key)
    assert "filter: llama wait" in shown(found)[-1]
    assert [row.facts["client"] for _, row in found.visible()] == ["app-3"]
    found.key("enter")
    assert found.key("s") == Action("stop", stream(3)["id"])
    assert "filter: llama wait (1)" in shown(found)[-1]
    found.key("escape")
    assert len(found.visible()) == 3
    for key in ("/", "q", "q"):
        assert found.key(key) is None
    assert "matches the filter" in shown(found)[4]
    found.key("escape")
    assert found.filter == ""


def test_names_cannot_drive_the_terminal() -> None:
    found = board(stream(1, model="a\x1b[2Jb"))
    assert "\x1b[2J" not in "".join(found.screen(80, 24))


def test_what_readers_reported_stands_below_the_totals() -> None:
    found = board(stream(1))
    assert shown(found)[2] == ""
    found.readers = {"reports": 20, "completion_ratio": 0.95, "perceived_latency": 0.412}
    assert shown(found)[2] == "readers: 95% read to the end  first text after 412ms  20 reports"
    assert found.summary()["readers"] == found.readers
    found.readers = {"reports": 1, "completion_ratio": None, "perceived_latency": None}
    assert shown(found)[2] == "readers: 1 reports"


def test_the_summary_is_what_the_gateway_said() -> None:
    assert board(stream(1)).summary() == {"live": 1, "streams": [stream(1)]}


def test_where_there_are_several_gateways_a_row_says_which_one_has_it() -> None:
    found = board(stream(1, replica="pod-7f"), stream(2, replica="pod-9c"))
    assert shown(found, 120)[3].split()[-1] == "REPLICA"
    assert shown(found, 120)[4].split()[-1] == "pod-7f"
    assert "REPLICA" not in shown(found, 80)[3], "there is no room"
    assert "REPLICA" not in shown(board(stream(1)), 120)[3], "there is one gateway"
    found.filter = "pod-9c"
    assert [facts.facts["client"] for _, facts in found.visible()] == ["app-2"]


def test_that_streams_may_be_missing_is_said() -> None:
    found = board(stream(1))
    assert "partial" not in found.summary()
    found.partial = True
    assert "1 live or more" in shown(found)[0]
    assert found.summary()["partial"] is True
