"""scripts/reference.py: every command, key, metric, call and error is on its page; the site builds with the pages."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from scripts.reference import PAGES, WIDTH, commands, settings

from tests.telemetry.records import record
from tidegate.cli import COMMANDS, cli
from tidegate.config.schema import keys_of
from tidegate.server.openapi import OPERATIONS
from tidegate.server.options import GatewayOptions
from tidegate.server.schemas import SCHEMAS
from tidegate.telemetry.prometheus import PrometheusHook

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Speech:
    """``[speech]``. How to say it."""

    volume: int = 11
    """Of the voice."""


@dataclass(frozen=True)
class Added:
    """A section that is not there."""

    speech: Speech = field(default_factory=Speech)


def page(name: str) -> str:
    return PAGES[f"reference/{name}.md"]()


def section(text: str, head: str) -> str:
    """What stands under a head of the second rank."""
    found: str = text.partition(f"\n## {head}\n")[2].partition("\n## ")[0]
    assert found, f"no section {head}"
    return found


def options_of(group: click.Group, path: str) -> Iterator[tuple[str, list[str]]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", [option for each in command.params for option in each.opts if option.startswith("--")]
        if isinstance(command, click.Group):
            yield from options_of(command, f"{path} {name}")


def test_every_command_and_every_flag_is_on_the_page() -> None:
    text = page("cli")
    found = dict(options_of(cli, "tidegate"))
    assert {f"tidegate {name}" for name in COMMANDS} <= found.keys()
    for name, options in found.items():
        shown = section(text, f"`{name}`")
        for option in options:
            assert option in shown, (name, option)
        real = CliRunner().invoke(cli, [*name.split()[1:], "--help"], prog_name="tidegate", terminal_width=WIDTH)
        assert shown == f"\n```text\n{real.output}```\n", name


def test_a_command_or_a_section_that_is_added_is_found() -> None:
    @click.command()
    @click.option("--loud", help="Say it louder.")
    def inner() -> None:
        """Say something."""

    made = dict(commands(click.Group("made", {"inner": inner}), "made"))
    assert "Say it louder." in made["made inner"]
    assert [(name, [key.name for key in keys]) for name, _, keys in settings(Added)] == [("[speech]", ["volume"])]


def test_every_key_of_every_section_is_on_the_page_with_its_default() -> None:
    text = page("configuration").partition("\n## The whole file")[0] + "\n## "

    def check(options: type, name: str) -> None:
        for key in keys_of(options).values():
            below = f"{name}.{key.name}" if name else key.name
            if key.table is not None:
                check(key.table, below)
                continue
            rows = section(text, f"`[[{name}]]`" if f"`[[{name}]]`" in text else f"`[{name}]`")
            assert re.search(rf"(?m)^\| `{key.name}` \| [^|]+ \| [^|]+ \|", rows), below
            if isinstance(key.default, int | float | str) and not isinstance(key.default, bool):
                assert str(key.default) in rows, below

    check(GatewayOptions, "")


def test_every_metric_that_an_ended_stream_leaves_is_on_the_page_with_its_labels() -> None:
    hook = PrometheusHook()
    hook.opened()
    hook.ended(record(upstream="main", error_code="upstream_cut", cancel_latency=0.1, retries=1, malformed=1))
    text = page("metrics")
    families = list(hook.registry.collect())
    assert sum(bool(family.samples) for family in families) >= 20
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        row = re.search(rf"(?m)^\| `{name}` \| {family.type} \| (.*?) \|", text)
        assert row, name
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == set(re.findall(r"`(\w+)`", row[1])), name


def test_every_call_and_schema_is_on_the_page() -> None:
    text = page("http")
    for (path, method), operation in OPERATIONS.items():
        assert f"| `{method} {path}` | {operation.summary} |" in text
    for name in SCHEMAS:
        assert section(text, name)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_markdown_without_the_marks_of_another_language(name: str) -> None:
    text = PAGES[name]()
    assert text.startswith("# ")
    assert ":class:" not in text
    assert "typing." not in text
    assert not [line for line in text.splitlines() if line.startswith("|") and line.count("``")]


def test_the_site_builds_with_them(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    for name in PAGES:
        assert (tmp_path / name.removesuffix(".md") / "index.html").is_file()


def test_every_page_of_the_documentation_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text()
    pages = {file.relative_to(ROOT / "docs").as_posix() for file in (ROOT / "docs").rglob("*.md")} | PAGES.keys()
    assert [name for name in sorted(pages) if f" {name}\n" not in nav] == []
