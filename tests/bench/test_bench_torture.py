"""bench/torture.py: how each gateway is set up for the suite, and the table of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bench.torture import launch, markdown

from bench import relays, torture


def result(name: str, outcome: str, honest: bool, detail: str = "") -> dict[str, Any]:
    case = {"case": "cut", "wanted": "an error", "outcome": outcome, "detail": detail, "honest": honest}
    return {"gateway": name, "version": "1.0", "honest": int(honest), "cases": 1, "results": [case]}


def test_the_table_has_a_column_for_each_and_lies_in_bold() -> None:
    text = markdown(
        [result("a", "error_event", True), result("b", "false_done", False, "19 characters")], {"c": "not installed"}
    )
    assert "| case | an honest gateway | a 1.0 | b 1.0 |" in text
    assert "| **honest** | | **1 of 1** | **0 of 1** |" in text
    assert "| `cut` | an error | error event | **false done (19 characters)** |" in text
    assert "Not tried: c: not installed" in text


def test_nothing_tried_is_a_table_of_reasons() -> None:
    assert "Not tried: a: why" in markdown([], {"a": "why"})


@pytest.mark.parametrize("name", torture.GATEWAYS)
def test_every_gateway_gives_up_before_the_suite_does(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "peer_program", lambda venv, program: program)
    monkeypatch.setattr("shutil.which", lambda *_, **__: "/usr/sbin/nginx")
    found = launch(name, 1, 2, tmp_path)
    told = " ".join(found.argv) + "".join(file.read_text() for file in tmp_path.iterdir())
    limit = {
        "tidegate": "first_token_timeout = 2.0",
        "nginx": "proxy_read_timeout 3s;",
        "vllm-router": "--request-timeout-secs 5",
        "litellm": "request_timeout: 3",
    }[name]
    assert limit in told
    assert "127.0.0.1:2" in told


def test_what_hung_is_played_twice_and_the_second_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    plays = [result("", "hang", False), result("", "error_event", True)]
    asked: list[list[str]] = []

    def played(name: str, only: list[str]) -> dict[str, Any]:
        asked.append(only)
        return plays.pop(0)

    monkeypatch.setattr(torture, "played", played)
    monkeypatch.setattr(torture, "version", lambda _: "1.0")
    found = torture.torture("nginx")
    assert asked == [[], ["cut"]]
    assert (found["honest"], found["played twice"], found["results"][0]["outcome"]) == (1, ["cut"], "error_event")
