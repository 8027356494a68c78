"""The command line: one file per command, and the only place where rooms are wired together.

Commands are imported when they run, so that ``tidegate version`` does not pay for the server, and the bare install
(which has no server) can still say what is missing.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import importlib
import os
import sys
from collections.abc import Mapping
from typing import IO, Any

import click

from tidegate.errors import ConfigError, TidegateError

__all__ = ["cli", "main"]

COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": ("tidegate.cli.serve:serve", "Run the gateway."),
    "chat": ("tidegate.cli.chat:chat", "Talk to a model, in the terminal or in a pipe."),
    "top": ("tidegate.cli.top:top", "Watch the streams of a gateway."),
    "simulate": ("tidegate.cli.simulate:simulate", "Run a model server that follows a script."),
    "bench": ("tidegate.cli.bench:bench", "Load a gateway, or compare the ways of delivering an answer."),
    "torture": ("tidegate.cli.torture:torture", "Put any gateway before a model server that lies."),
    "batch": ("tidegate.cli.batch:batch", "Answer a file of requests, resumably."),
    "config": ("tidegate.cli.config:config", "Check a configuration, or print an example."),
    "edge": ("tidegate.cli.edge:edge", "Print a configuration for nginx, HAProxy or Caddy."),
    "import": ("tidegate.cli.importing:importing", "Write a configuration from that of another gateway."),
    "keys": ("tidegate.cli.keys:keys", "Make, list, rotate and revoke the keys that applications use."),
    "usage": ("tidegate.cli.usage:usage", "Show who used what, and what it cost."),
    "audit": ("tidegate.cli.audit:audit", "Check or export the audit chain."),
    "safety": ("tidegate.cli.safety:safety", "Show what a safety profile does to a text."),
    "version": ("tidegate.cli.version:version", "Print the version."),
}
# Modules of extras, and which extra brings them.
EXTRAS: Mapping[str, str] = {
    "alembic": "server",
    "httptools": "server",
    "matplotlib": "bench",
    "prometheus_client": "server",
    "prompt_toolkit": "terminal",
    "redis": "redis",
    "rich": "terminal",
    "sqlalchemy": "server",
    "starlette": "server",
    "structlog": "server",
    "uvicorn": "server",
    "uvloop": "server",
    "xllamacpp": "local",
    "yaml": "import",
}


class Failure(click.ClickException):
    """What went wrong, one line for each problem, on stderr; exit 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        for line in self.message.splitlines():
            click.echo(f"tidegate: {line}", file=file, err=file is None)


class Misuse(Failure):
    """The command line or the configuration is wrong: exit 2."""

    exit_code = 2


class Commands(click.Group):
    """Finds commands by name without importing the others, and turns every error into one clear line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # From the table: click would import every command, and the bare install cannot.
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            meant = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(COMMANDS)}"
            raise Misuse(f'no command "{args[0]}"; {hint}')
        return super().resolve_command(ctx, args)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            raise misused(error) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise misused(error) from error
        except KeyboardInterrupt:
            ctx.exit(130)  # 128 + SIGINT, as shells have it
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if sys.flags.dev_mode or (isinstance(error, OSError) and error.errno == errno.EPIPE):
                raise  # EPIPE: whoever reads our output has gone, and click exits quietly
            raise translated(error) from error


def misused(error: click.UsageError) -> click.ClickException:
    """click's several lines as one; its help on a missing argument stays as it is."""
    if type(error).__name__ == "NoArgsIsHelpError":  # click 8.2 has it, 8.1 not
        return error
    path = error.ctx.command_path if error.ctx is not None else "tidegate"
    return Misuse(f"{error.format_message().rstrip('.')} (see: {path} --help)")


def translated(error: Exception) -> Failure:
    """The error as a line for whoever typed the command."""
    if isinstance(error, ConfigError):
        return Misuse(error.message)
    if isinstance(error, TidegateError):
        return Failure(error.message)
    if isinstance(error, ModuleNotFoundError) and (extra := EXTRAS.get((error.name or "").partition(".")[0])):
        return Failure(f"this command needs: pip install 'tidegate[{extra}]'")
    if isinstance(error, OSError):
        about = f"{error.filename}: " if error.filename else ""
        return Failure(f"{about}{error.strerror or type(error).__name__}")
    # Only the type: the text of an unforeseen exception may hold anything.
    where = "python -X dev -m tidegate shows where"
    return Failure(f"a bug of Tidegate: {type(error).__name__}; please report it ({where})")


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every command has a --help of its own.",
)
def cli() -> None:
    """Tidegate: a streaming gateway for LLM responses.

    It stands between applications and model servers, and carries each answer to its reader token by token: at once,
    cancellably, counted, with an honest ending.

    \b
      tidegate serve                                   a gateway in front of a simulated model
      tidegate serve --upstream http://host:8000/v1    in front of a real one
      tidegate config example > tidegate.toml          every setting, with its default
    """


def main() -> None:
    """The console script."""
    _open_many()
    try:
        cli(prog_name="tidegate")
    finally:
        _let_go()


def _open_many() -> None:
    """A stream takes two connections, and a shell's usual limit is 1,024 files: take what may be had (getrlimit(2))."""
    try:
        import resource
    except ModuleNotFoundError:
        return  # not on Unix
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != most:
        with contextlib.suppress(OSError, ValueError):  # some systems call it unlimited and mean less
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _let_go() -> None:
    """What is buffered for a reader that has gone would fail at the interpreter's end, and be the exit code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
