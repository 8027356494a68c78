"""What the documentation names between the blocks exists: commands, flags, settings, calls, metrics, reasons."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from scripts.reference import metrics, settings

from tests.docs.blocks import ROOT, blocks_of, pages
from tidegate.cli import cli
from tidegate.relay.lifecycle import Reason
from tidegate.server.openapi import OPERATIONS


def spans(page: str) -> Iterator[str]:
    """The code spans of a page, outside its blocks."""
    text = (ROOT / page).read_text()
    for block in blocks_of(page):
        text = text.replace(block.text, "")
    for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text):
        yield " ".join(span.split())


def every_span(pattern: str) -> Iterator[tuple[str, re.Match[str]]]:
    for page in pages():
        for span in spans(page):
            found = re.fullmatch(pattern, span)
            if found:
                yield page, found


def problem_of(line: str) -> str | None:
    """What is wrong with a command line of ours, or ``None``."""
    command: click.Command = cli
    for word in shlex.split(line.partition(">")[0])[1:]:
        if word.startswith("-"):
            flags = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)} | {"--help", "-h"}
            if word.partition("=")[0] not in flags:
                return f"no flag {word}"
        elif isinstance(command, click.Group):
            below = command.get_command(click.Context(command), word)
            if below is None:
                return f"no command {word}"
            command = below
    return None


def test_every_command_and_flag_exists() -> None:
    lines = [(page, found[0]) for page, found in every_span(r"tidegate [a-z-].*")]
    assert len(lines) >= 8
    assert [(page, line) for page, line in lines if problem_of(line)] == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("tidegate serve --port 1", None),
        ("tidegate keys hash --id web >> tidegate.toml", None),
        ("tidegate serve --prot 1", "no flag --prot"),
        ("tidegate keys make", "no command make"),
    ],
)
def test_one_that_does_not_exist_is_noticed(line: str, problem: str | None) -> None:
    assert problem_of(line) == problem


def test_every_setting_exists() -> None:
    known = {(name.strip("[]"), key.name) for name, _, keys in settings() for key in keys}
    known |= {("safety", "profile")}  # a name in place of tables; config/load.py
    named = [(page, found[1], found[2]) for page, found in every_span(r"\[+([a-z.]+)\]+ ([a-z_]+)(?: = .*)?")]
    assert len(named) >= 5
    assert [each for each in named if each[1:] not in known] == []


def test_every_call_exists() -> None:
    calls = [(page, found[1], found[2]) for page, found in every_span(r"(GET|POST|DELETE|PUT) (/\S*)")]
    assert len(calls) >= 5
    paths = [(page, (re.sub(r"\$id", "{id}", path), method)) for page, method, path in calls]
    assert [each for each in paths if each[1] not in OPERATIONS] == []


def test_every_metric_exists() -> None:
    known = {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in metrics()}
    named = [(page, found[0]) for page, found in every_span(r"(tidegate|gen_ai_client)_[a-z_]+")]
    assert len(named) >= 2
    assert [each for each in named if each[1] not in known] == []


def test_every_reason_has_its_row_in_the_life_of_a_stream() -> None:
    page = (ROOT / "docs/topics/life-of-a-stream.md").read_text()
    assert [reason for reason in Reason if f"`{reason.value}`" not in page] == []
