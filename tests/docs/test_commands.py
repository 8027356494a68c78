"""Every command, program and configuration in the documentation is run.

A page is one session: its blocks run in order, in a folder of their own, in one shell. A ``toml`` block is written to
``tidegate.toml`` there and goes through ``tidegate config check``; a ``python`` block runs as a program, or is written
to the file that its first line names (``# app.py``); a ``console`` block's commands run one after the other, and the
output shown below one is compared (``…`` stands for anything). A page that is added is found by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks_of, commands_of, matches, pages
from tests.docs.session import SERVERS, Session

PLACEHOLDERS: Mapping[str, str] = {
    "https://api.openai.com/v1": "a paid service that is not reachable from a test: the simulator answers for it",
    "http://127.0.0.1:8000/v1": "the reader's vLLM: the simulator",
    "http://10.0.0.7:8000/v1": "a machine of the reader's: the simulator",
    "http://10.0.0.8:8000/v1": "another machine of the reader's: the simulator",
    "http://127.0.0.1:11434/v1": "the reader's Ollama: the simulator",
    "http://127.0.0.1:8080": "a gateway that is already running: one on a free port",
    "file:/run/secrets/": "the reader's secrets: files beside the configuration",
}
"""What stands in the documentation for something of the reader's, and what the test has in its place."""

ENVIRONMENT: Mapping[str, str] = {"OPENAI_API_KEY": "sk-any", "VLLM_API_KEY": "any"}
"""What the reader has set."""

NOT_RUN: Mapping[str, str] = {
    "pip install 'tidegate[server]'": "tests/test_packaging.py builds the wheel and installs it",
    "pip install 'tidegate[bench]'": "an extra; without it the command says so (tests/cli/test_bench_seed.py)",
    "pip install 'tidegate[import]'": "the same",
    "pip install 'tidegate[edge]'": "the same; without it the settings say so (tests/server/test_tls.py)",
    "pip install 'tidegate[terminal]'": "an extra that is installed here",
    "tidegate chat": "wants a person at a terminal: tests/cli/test_chat.py plays one",
    "tidegate chat --model sim/markdown": "the same",
    "tidegate top": "the same: tests/cli/test_top.py",
    "tidegate bench load http://127.0.0.1:8080 --simulator http://127.0.0.1:8000": "30 s: tests/cli/test_bench_load.py",
    "tidegate bench seed": "a minute and a half: tests/cli/test_bench_seed.py runs a smaller one",
    "tidegate bench seed --json seed.json --plot seed.svg": "the same",
    "tidegate torture http://127.0.0.1:8080 --upstream-port 8001 --model torture --junit torture.xml": (
        "minutes: tests/torture plays every case, tests/cli/test_torture.py the command"
    ),
    "make demo": "installs 130 MB; tests/cli/test_local.py runs the local model",
    "make demo DEMO_ONCE=1": "the same, and its answer is the model's own",
    "make test": "is what runs this test",
    "vllm serve Qwen/Qwen3-8B --port 8000": "needs a GPU and 16 GB of weights; the simulator stands at its address",
}
"""A command that is not run, and why."""

CHECKED_ELSEWHERE: Mapping[str, str] = {
    "nginx": "tests/docs/test_proxies.py: a stream through the real nginx",
    "haproxy": "tests/docs/test_proxies.py: a stream through the real HAProxy",
    "yaml": "LiteLLM's own file; bench/torture.py starts LiteLLM with the same",
    "ts": "web/test: the package is packed, installed into an empty project and compiled against its types",
    "caddyfile": "tests/docs/test_proxies.py: a stream through the real Caddy",
}
"""A language whose blocks another test runs."""

SHOWN = {"text", "json", "systemd"}
"""Languages that show and do not tell: output, drawings, a unit file."""

RUN = {"console", "python", "toml"}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """A simulator and a gateway before it; their addresses by the placeholders that they stand for."""
    session = Session(tmp_path_factory.mktemp("servers"), {}, {})
    try:
        session.run("tidegate simulate --tps 200 --ttft 0.05 --port 1")
        simulator = session.addresses["127.0.0.1:1"]
        session.run(f"tidegate serve --upstream http://{simulator}/v1 --port 2")
        found = {shown: f"http://{simulator}/v1" for shown in PLACEHOLDERS if shown.endswith("/v1")}
        yield {**found, "http://127.0.0.1:8080": f"http://{session.addresses['127.0.0.1:2']}"}
    finally:
        session.close()


@pytest.fixture
def session(servers: Mapping[str, str], tmp_path: Path) -> Iterator[Session]:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("second-key", "vllm-key"):
        (secrets / name).write_text("sk-from-a-file\n")
    addresses = {**servers, "file:/run/secrets/": f"file:{secrets}/"}
    # The clients of the command line find the gateway by this.
    endpoint = {"LLM_STREAM_ENDPOINT": f"{servers['http://127.0.0.1:8080']}/api/v1/chat/stream"}
    session = Session(tmp_path, addresses, {**ENVIRONMENT, **endpoint})
    try:
        yield session
    finally:
        session.close()


@pytest.mark.parametrize("page", pages())
def test_everything_on_the_page_works(page: str, session: Session) -> None:
    for block in blocks_of(page):
        if block.language == "console":
            run_console(session, block)
        elif block.language == "python":
            run_python(session, block)
        elif block.language == "toml":
            run_toml(session, block)


def run_console(session: Session, block: Block) -> None:
    for command in commands_of(block):
        if command.text in NOT_RUN:
            continue
        status, output = session.run(command.text)
        assert status == 0, f"{command.place}: {command.text}\n{output}"
        if command.output and not SERVERS.match(command.text):
            assert matches(command.output, output), f"{command.place} shows\n{command.output}\nbut it is\n{output}"


def run_python(session: Session, block: Block) -> None:
    named = re.match(r"# (\w+\.py)\n", block.text)
    file = session.folder / (named[1] if named else "block.py")
    file.write_text(session.here(block.text))
    if named is None:
        status, output = session.run("python block.py")
        assert status == 0, f"{block.place}:\n{output}"


def run_toml(session: Session, block: Block) -> None:
    """Left as ``tidegate.toml`` for the commands that follow; a part of a file is checked with an upstream added."""
    file = session.folder / "tidegate.toml"
    file.write_text(session.here(block.text))
    whole = "[[upstream]]" in block.text
    checked = file if whole else session.folder / "part.toml"
    if not whole:
        checked.write_text(file.read_text() + '\n[[upstream]]\nname = "any"\nbase_url = "http://127.0.0.1:9/v1"\n')
    status, output = session.run(f"tidegate config check {checked.name}")
    assert status == 0, f"{block.place}:\n{output}"


def every_block() -> list[Block]:
    return [block for page in pages() for block in blocks_of(page)]


def test_every_block_is_run_or_says_what_it_is() -> None:
    unknown = [block.place for block in every_block() if block.language not in RUN | SHOWN | CHECKED_ELSEWHERE.keys()]
    assert unknown == [], "give the block a language that is run, or `text`"


def test_no_command_hides_in_a_block_that_is_not_run() -> None:
    """Nor in an indented one, which has no language."""
    hidden = [block.place for block in every_block() if block.language in SHOWN and "\n$ " in f"\n{block.text}"]
    indented = [page for page in pages() if re.search(r"(?m)^ {4,}\$ ", (ROOT / page).read_text())]
    assert hidden + indented == []


def test_what_is_not_run_still_stands_in_the_documentation() -> None:
    commands = {
        command.text for block in every_block() if block.language == "console" for command in commands_of(block)
    }
    assert NOT_RUN.keys() - commands == set()
    languages = {block.language for block in every_block()}
    assert CHECKED_ELSEWHERE.keys() - languages == set()
    text = "".join(block.text for block in every_block())
    assert [name for name in PLACEHOLDERS if name not in text] == []
    assert [name for name in ENVIRONMENT if name not in text] == []


def test_links_between_pages_lead_somewhere() -> None:
    """Also those of README, which mkdocs does not see. Generated pages are mkdocs' own to check."""
    for page in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text()):
            assert (ROOT / target).exists(), (page, target)


def test_blocks_commands_and_outputs_are_told_apart() -> None:
    text = "a\n```console\n$ one \\\n    two\nout …\n$ three 'a\nb'\n```\n\n- x\n\n  ```toml\n  a = 1\n  ```\n"
    console, toml = blocks_of("page.md", text)
    assert (console.line, console.language, toml.text, toml.line) == (3, "console", "a = 1\n", 13)
    first, second = commands_of(console)
    assert (first.text, first.output) == ("one \\\n    two", "out …")
    assert (second.text, second.output, second.place) == ("three 'a\nb'", "", "page.md:6")
    assert matches("out …", "out of\nit\n")
    assert not matches("out", "out of it")
    assert not matches("a.c", "abc")


def test_a_command_that_fails_fails_its_page(session: Session) -> None:
    run_console(session, Block("page.md", 1, "console", "$ x=7\n$ echo $x\n7\n"))
    with pytest.raises(AssertionError, match=r"page.md:1"):
        run_console(session, Block("page.md", 1, "console", "$ curl -sf http://127.0.0.1:8080/nowhere\n"))
    with pytest.raises(AssertionError, match="but it is"):
        run_console(session, Block("page.md", 1, "console", "$ echo 7\n8\n"))
    with pytest.raises(AssertionError, match="unknown key"):
        run_toml(session, Block("page.md", 1, "toml", "[stream]\nno_such_setting = 1\n"))
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run_python(session, Block("page.md", 1, "python", "1 / 0\n"))
