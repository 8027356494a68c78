"""The rules of the house: the import contract bites, pure rooms are pure, tests mirror modules, files stay small."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "tidegate"

PURE = (
    *("errors.py", "events.py", "wire", "policy", "safety", "relay/lifecycle.py"),
    *(f"client/{name}.py" for name in ("core", "failure", "graphemes", "reading", "result")),
    *(f"terminal/{name}.py" for name in ("blocks", "board", "cells", "conversation", "keys", "region")),
    *("bench/histogram.py", "bench/prompts.py", "bench/report.py", "bench/visible.py", "edge"),
    *("batch/lines.py", "batch/pace.py", "torture/cases.py", "torture/judge.py", "torture/report.py"),
)
"""What takes bytes, events, numbers and facts, and gives values."""

WORLD = {
    *("asyncio", "concurrent", "multiprocessing", "selectors", "signal", "subprocess", "threading"),
    *("http", "select", "socket", "socketserver", "ssl", "urllib", "uvloop", "httptools"),
    *("sched", "time", "random", "secrets", "uuid"),
    *("glob", "importlib", "io", "logging", "os", "pathlib", "shutil", "sqlite3", "structlog", "sys", "tempfile"),
}
"""Modules through which the clock, chance, the network, files or the environment come in."""

IMPURE_CALLS = {"open", "print", "input", "eval", "exec", "compile", "__import__"}
CLOCK_CALLS = {"now", "utcnow", "today"}

ALLOWED = {("policy/keys.py", "secrets"): "new_key() makes a key for a person; no stream comes near it"}

MOST_LINES = 500
LONGER: dict[str, tuple[int, str]] = {
    "src/tidegate/relay/stream.py": (860, "one stream's life in one place"),
    "tests/config/test_load.py": (560, "one table of messages"),
}
"""A file that is longer, how long it may be, and why."""
ELSEWHERE = {
    **dict.fromkeys(
        (
            "ledger/options.py",
            "policy/options.py",
            "relay/options.py",
            "server/options.py",
            "shared/options.py",
            "simulator/options.py",
            "upstream/options.py",
        ),
        "tests/config/test_schema.py",  # values only; every one of them is read from a file there
    ),
    "__main__.py": "tests/cli/test_cli.py",
    **dict.fromkeys(("edge/caddy.py", "edge/haproxy.py", "edge/nginx.py"), "tests/edge/test_programs.py"),
    "relay/request.py": "tests/relay/test_call.py",  # an interface
    **dict.fromkeys(
        (
            "ledger/tables.py",
            "ledger/migrations/env.py",
            "ledger/migrations/versions/0001_first.py",
            "ledger/migrations/versions/0002_unknown_figures.py",
            "ledger/migrations/versions/0003_validation.py",
            "ledger/migrations/versions/0005_seen.py",
        ),
        "tests/ledger/test_database.py",
    ),
    "cli/ledger.py": "tests/cli/test_usage.py",
    "cli/local_server.py": "tests/cli/test_local.py",
    "cli/endpoint.py": "tests/cli/test_top.py",
    "client/result.py": "tests/client/test_core.py",
    "terminal/talk.py": "tests/cli/test_chat.py",
    "terminal/watch.py": "tests/cli/test_top.py",
    "telemetry/record.py": "tests/telemetry/test_hooks.py",
    **dict.fromkeys(("config/values.py", "config/sources.py", "config/checks.py"), "tests/config/test_load.py"),
    "relay/stream.py": "tests/e2e/test_upstream_faults.py",  # one stream's whole life needs both of its sides
    **dict.fromkeys(("server/app.py", "server/chat.py", "server/gateway.py"), "tests/e2e/test_interface.py"),
    **dict.fromkeys(
        ("relay/checks/answer.py", "relay/checks/watch.py", "server/checking.py"), "tests/e2e/test_checks.py"
    ),
    "relay/classifiers/http.py": "tests/relay/classifiers/test_openai_moderation.py",
    "relay/weights.py": "tests/safety/test_weights.py",
    "safety/classifier.py": "tests/relay/classifiers/test_init.py",
    # Two interfaces; both who fulfil them pass those tests.
    "relay/downstream.py": "tests/e2e/test_upstream_faults.py",
    "relay/allowance.py": "tests/e2e/test_limits.py",
    "server/schemas.py": "tests/server/test_openapi.py",
    "simulator/script.py": "tests/simulator/test_faults.py",
    "upstream/exchange.py": "tests/upstream/test_connection.py",  # a handle on a connection, and what it tells
    **dict.fromkeys(("simulator/event_faults.py", "simulator/http_faults.py"), "tests/torture/test_suite.py"),
    "bench/options.py": "tests/bench/test_load.py",
    "batch/options.py": "tests/batch/test_engine.py",
}
"""Modules whose tests are at another place than the mirrored path."""

PLACES = ("src", "tests", "bench", "scripts")


def modules() -> Iterator[Path]:
    yield from sorted(SRC.rglob("*.py"))


def pure_files() -> list[Path]:
    return [
        file for name in PURE for file in ([SRC / name] if name.endswith(".py") else sorted((SRC / name).rglob("*.py")))
    ]


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """The import contract of ``root/pyproject.toml`` on ``root/src``."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src"), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy to plant modules in."""
    shutil.copytree(SRC, tmp_path / "src" / "tidegate", ignore=shutil.ignore_patterns("__pycache__", "static"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(house: Path, name: str, line: str) -> None:
    file = house / "src" / "tidegate" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f'"""Planted."""\n\n{line}\n')


REFUSED = {
    "wire/a.py": ("import asyncio", "Pure rooms cannot touch the world"),
    "policy/a.py": ("from time import monotonic", "Pure rooms cannot touch the world"),
    "wire/b.py": ("from tidegate.relay import lifecycle", "Rooms only look down"),
    "wire/c.py": ("import starlette", "The client installs without the gateway"),
    "policy/c.py": ("from tidegate.upstream import options", "Rooms only look down"),
    "safety/a.py": ("import time", "Pure rooms cannot touch the world"),
    "safety/b.py": ("from tidegate.policy import options", "Rooms only look down"),
    "upstream/a.py": ("from tidegate.relay import options", "Rooms only look down"),
    "shared/a.py": ("from tidegate.relay import options", "Rooms only look down"),
    "relay/a.py": ("from tidegate.server import options", "Rooms only look down"),
    "simulator/a.py": ("from tidegate.server import options", "Rooms only look down"),
    "server/a.py": ("from tidegate.config import schema", "Rooms only look down"),
    "client/a.py": ("from tidegate.policy import retry", "The client installs without the gateway"),
    "client/b.py": ("from tidegate.terminal import cells", "Rooms only look down"),
    "terminal/a.py": ("from tidegate.cli import endpoint", "Rooms only look down"),
    "server/b.py": ("from tidegate.torture import cases", "Rooms only look down"),
    "bench/a.py": ("from tidegate.torture import cases", "Rooms only look down"),
    "events_too/__init__.py": ("", "Rooms only look down"),
}
"""What nobody may do, and the nearest thing that everybody may."""
WELCOME = {
    "wire/a.py": "import json",
    "policy/a.py": "from math import inf",
    "wire/b.py": "from tidegate import events",
    "wire/c.py": "import msgspec",
    "policy/c.py": "from tidegate.wire import sse",
    "safety/a.py": "import hashlib",
    "safety/b.py": "from tidegate.wire import sse",
    "upstream/a.py": "from tidegate.events import Usage",
    "shared/a.py": "from tidegate.policy import limits\nimport redis",
    "relay/a.py": "from tidegate.upstream import options\nimport time",
    "simulator/a.py": "from tidegate.wire import sse\nimport asyncio",
    "server/a.py": "from tidegate.relay import options\nimport starlette",
    "client/a.py": "from tidegate.wire import retry_after\nimport aiohttp",
    "client/b.py": "from tidegate.errors import StreamTruncated",
    "terminal/a.py": "from tidegate.client import StreamConfig",
    "server/b.py": "from tidegate.policy import retry",
    "bench/a.py": "from tidegate.simulator import server",
    "events/__init__.py": None,
}


def test_the_import_contract_holds() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


def test_every_planted_violation_is_refused_by_its_contract(house: Path) -> None:
    for name, (line, _) in REFUSED.items():
        plant(house, name, line)
    result = lint_imports(house)
    assert result.returncode == 1, result.stderr
    # After the summary, every broken contract has a chapter with its illegal imports.
    chapters = dict(zip(*[iter(re.split(r"\n([A-Z][^\n]+)\n-+\n", result.stdout)[1:])] * 2, strict=True))
    for name, (_, contract) in REFUSED.items():
        planted = f"tidegate.{name.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}"
        assert planted in chapters[contract], f"{name} was let in:\n{result.stdout}"


def test_the_nearest_imports_are_welcome(house: Path) -> None:
    for name, line in WELCOME.items():
        if line is not None:
            plant(house, name, line)
    result = lint_imports(house)
    assert result.returncode == 0, result.stdout
    assert WELCOME.keys() - {"events/__init__.py"} == REFUSED.keys() - {"events_too/__init__.py"}


def impurities(source: str) -> Iterator[str]:
    """What a pure room must not have in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in WORLD)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            if (node.module or "").partition(".")[0] in WORLD:
                yield str(node.module)
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
                yield f"{node.func.id}()"
            elif isinstance(node.func, ast.Attribute) and node.func.attr in CLOCK_CALLS:
                yield f".{node.func.attr}()"
        elif isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield "async"


@pytest.mark.parametrize("file", pure_files(), ids=lambda file: str(file.relative_to(SRC)))
def test_pure_rooms_touch_nothing_of_the_world(file: Path) -> None:
    name = file.relative_to(SRC).as_posix()
    found = [what for what in impurities(file.read_text()) if (name, what) not in ALLOWED]
    assert found == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import time", ["time"]),
        ("from os.path import join", ["os.path"]),
        ("def f():\n    import socket", ["socket"]),
        ("open('x')", ["open()"]),
        ("d.datetime.now(UTC)", [".now()"]),
        ("async def f(): ...", ["async"]),
        ("import json\nfrom datetime import UTC\nx.open()", []),
    ],
)
def test_what_counts_as_the_world(line: str, found: list[str]) -> None:
    assert list(impurities(line)) == found


def test_every_allowance_is_needed() -> None:
    for (name, what), reason in ALLOWED.items():
        assert reason
        assert what in impurities((SRC / name).read_text()), f"{name} no longer needs {what}"


def python_files() -> list[Path]:
    return [
        file for place in PLACES for file in sorted((ROOT / place).rglob("*.py")) if "node_modules" not in file.parts
    ]


def test_no_file_is_long() -> None:
    lengths = {file.relative_to(ROOT).as_posix(): len(file.read_text().splitlines()) for file in python_files()}
    limits = {name: LONGER.get(name, (MOST_LINES, ""))[0] for name in lengths}
    assert {name: length for name, length in lengths.items() if length > limits[name]} == {}
    assert [name for name in LONGER if lengths.get(name, 0) <= MOST_LINES] == [], "no longer long: take it off the list"


def test_names_are_nouns_of_the_field() -> None:
    vague = re.compile(r"(Manager|Helper|Utils?|Processor)$")
    classes = [
        f"{file.name}: {node.name}"
        for file in modules()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef) and vague.search(node.name)
    ]
    assert classes == []
    assert [file for file in modules() if file.stem in ("utils", "helpers", "common", "misc", "base")] == []


def test_every_module_says_what_it_is() -> None:
    silent = [str(file) for file in modules() if not ast.get_docstring(ast.parse(file.read_text()))]
    assert silent == []


def test_every_module_has_its_tests() -> None:
    untested = []
    for module in modules():
        name = module.relative_to(SRC)
        if name.name == "__init__.py":
            continue
        mirror = ROOT / "tests" / name.parent / f"test_{name.name}"
        elsewhere = ELSEWHERE.get(name.as_posix())
        if not mirror.is_file() and (elsewhere is None or not (ROOT / elsewhere).is_file()):
            untested.append(name.as_posix())
    assert untested == []
    assert [name for name in ELSEWHERE if not (SRC / name).is_file()] == [], "no such module any more"
