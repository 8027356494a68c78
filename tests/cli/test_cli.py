"""cli/__init__.py: commands found by name, and every error one clear line."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from typing import Any

import click
import pytest

from tests.cli.conftest import Command
from tidegate import __version__, errors
from tidegate.cli import COMMANDS, EXTRAS, cli, translated


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes ``tidegate version`` raise."""

    def install(error: BaseException) -> None:
        @click.command()
        def broken() -> None:
            raise error

        module = types.ModuleType("broken_command")
        module.broken = broken  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "broken_command", module)
        monkeypatch.setattr("tidegate.cli.COMMANDS", {"version": ("broken_command:broken", "x")})

    return install


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_help_lists_every_command_and_teaches_by_example(command: Command) -> None:
    result = command("--help")
    assert result.exit_code == 0
    for name, (_, text) in COMMANDS.items():
        assert f"  {name:<8}  {text}" in result.stdout
    assert "tidegate serve --upstream http://host:8000/v1" in result.stdout


def test_without_a_command_the_help_is_shown(command: Command) -> None:
    result = command()
    assert result.exit_code == 2
    assert "Commands:" in result.output


def test_every_command_in_the_table_exists_and_has_help(command: Command) -> None:
    for name in COMMANDS:
        result = command(name, "--help")
        assert result.exit_code == 0, name
        assert f"Usage: tidegate {name}" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("serv",), 'no command "serv"; did you mean serve?'),
        (("qqq",), f'no command "qqq"; there are {", ".join(COMMANDS)}'),
        (("config", "chek"), "No such command 'chek'"),
        (("serve", "--prot", "1"), "No such option"),
        (("--nonsense",), "No such option"),
        (("version", "extra"), "Got unexpected extra argument"),
    ],
)
def test_a_slip_is_one_line_on_stderr(command: Command, arguments: tuple[str, ...], line: str) -> None:
    result = command(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("tidegate: ")
    assert line in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_slip_points_to_the_help(command: Command) -> None:
    assert command("keys", "hash", "--bad").stderr.endswith("(see: tidegate keys hash --help)\n")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (errors.ConfigError("x.toml:1: bad"), 2, "x.toml:1: bad"),
        (errors.GatewayFault("cannot"), 1, "cannot"),
        (FileNotFoundError(2, "No such file or directory", "x.pem"), 1, "x.pem: No such file or directory"),
        (PermissionError(13, "Permission denied"), 1, "Permission denied"),
        (OSError(), 1, "OSError"),
        (ModuleNotFoundError("x", name="uvicorn.config"), 1, "this command needs: pip install 'tidegate[server]'"),
        (ModuleNotFoundError("x", name="xllamacpp"), 1, "this command needs: pip install 'tidegate[local]'"),
        (
            ModuleNotFoundError("x", name="other"),
            1,
            "a bug of Tidegate: ModuleNotFoundError; please report it (python -X dev -m tidegate shows where)",
        ),
        (
            ValueError("secret"),
            1,
            "a bug of Tidegate: ValueError; please report it (python -X dev -m tidegate shows where)",
        ),
    ],
)
def test_every_error_is_one_line(raising: Any, command: Command, error: Exception, code: int, line: str) -> None:
    raising(error)
    result = command("version")
    assert (result.exit_code, result.stderr) == (code, f"tidegate: {line}\n")


def test_several_problems_are_a_line_each(raising: Any, command: Command) -> None:
    raising(errors.ConfigError("a: one\nb: two"))
    assert command("version").stderr == "tidegate: a: one\ntidegate: b: two\n"


def test_ctrl_c_is_silent_and_130(raising: Any, command: Command) -> None:
    raising(KeyboardInterrupt())
    result = command("version")
    assert (result.exit_code, result.output) == (130, "")


def test_clicks_own_exceptions_pass(raising: Any, command: Command) -> None:
    raising(click.ClickException("plain"))
    assert command("version").exit_code == 1


def test_a_reader_that_has_gone_ends_the_command_quietly() -> None:
    code = "import sys; from tidegate.cli import main; sys.argv = ['tidegate', 'version']; main()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_an_unforeseen_error_is_shown_in_full_in_development_mode() -> None:
    code = (
        "import sys; from tidegate import cli; cli.COMMANDS = {'x': ('json:nothing', '')}; "
        "sys.argv = ['tidegate', 'x']; cli.main()"
    )
    result = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, check=False)
    assert "AttributeError" in result.stderr
    assert "Traceback" in result.stderr
    plain = python(code)
    assert plain.stderr == (
        "tidegate: a bug of Tidegate: AttributeError; please report it (python -X dev -m tidegate shows where)\n"
    )


def test_python_m_tidegate_is_the_same_program() -> None:
    result = subprocess.run([sys.executable, "-m", "tidegate", "version"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"tidegate {__version__}\n", "")


def test_it_may_open_as_many_files_as_the_system_allows() -> None:
    code = (
        "import resource, tidegate.cli as cli\n"
        "_, most = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, most))\n"
        "cli.cli = lambda **_: print(resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most))\n"
        "cli.main()"
    )
    assert python(code).stdout == "True\n"


def test_version_and_help_load_nothing_of_the_server() -> None:
    code = (
        "import json, sys; from click.testing import CliRunner; from tidegate.cli import cli; "
        "CliRunner().invoke(cli, ['version']); CliRunner().invoke(cli, ['--help']); "
        "print(json.dumps(sorted(set(sys.modules))))"
    )
    loaded = set(json.loads(python(code).stdout))
    assert not loaded & {*EXTRAS, "asyncio", "tidegate.server", "tidegate.config", "tidegate.telemetry"}


@pytest.mark.parametrize(
    "arguments", [["serve", "--port", "0"], ["serve", "--upstream", "http://127.0.0.1:1/v1", "--port", "0"]]
)
def test_the_bare_install_says_which_extra_is_missing(arguments: list[str]) -> None:
    missing = [name for name, extra in EXTRAS.items() if extra == "server"]
    code = f"import sys; sys.modules.update(dict.fromkeys({missing})); from tidegate.cli import main; main()"
    result = python(code, *arguments)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "tidegate: this command needs: pip install 'tidegate[server]'\n"


def test_the_group_is_what_the_console_script_runs() -> None:
    assert isinstance(cli, click.Group)
    assert translated(errors.ConfigError("x")).exit_code == 2


def test_output_that_nobody_reads_is_not_an_exit_code_of_its_own() -> None:
    """The interpreter would end with 120 for what it cannot flush."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tidegate", "config", "example"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(20) in (0, 1)
