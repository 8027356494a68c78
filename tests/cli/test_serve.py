"""cli/serve.py: from flags to a call of the server, and what a person is told."""

from __future__ import annotations

import asyncio
import socket
import sys
import types
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.cli.running import gateway, stream
from tests.fakes.http2 import certificate
from tidegate.cli.serve import simulated_model
from tidegate.policy.keys import hash_key, new_key
from tidegate.server.options import GatewayOptions
from tidegate.upstream.options import UpstreamOptions

UPSTREAM = '[[upstream]]\nname = "main"\nbase_url = "http://127.0.0.1:8000/v1"\n'
URL = "http://127.0.0.1:4321"
HASH = hash_key(new_key())


class Server:
    """Stands for the server: enters the background models, says that it is ready, and remembers what it was given."""

    def __init__(self) -> None:
        self.options: GatewayOptions | None = None
        self.models: list[UpstreamOptions] = []
        self.reload: Callable[[], GatewayOptions] | None = None
        self.logging: tuple[str, str] | None = None

    def run(
        self,
        options: GatewayOptions,
        *,
        on_ready: Callable[[str], None] | None = None,
        reload: Callable[[], GatewayOptions] | None = None,
        background: Sequence[Callable[[], AbstractAsyncContextManager[UpstreamOptions]]] = (),
    ) -> None:
        self.options, self.reload = options, reload

        async def live() -> None:
            for make in background:
                async with make() as upstream:
                    self.models.append(upstream)
            assert on_ready is not None
            on_ready(URL)

        asyncio.run(live())

    def configure(self, log_format: str, level: str) -> None:
        self.logging = (log_format, level)


@asynccontextmanager
async def a_model() -> AsyncIterator[UpstreamOptions]:
    yield UpstreamOptions(name="started", base_url="http://127.0.0.1:9/v1", models=("tiny",))


def module(monkeypatch: pytest.MonkeyPatch, name: str, **contents: Any) -> None:
    made = types.ModuleType(name)
    made.__dict__.update(contents)
    monkeypatch.setitem(sys.modules, name, made)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    module(monkeypatch, "tidegate.server.run", run=server.run)
    module(monkeypatch, "tidegate.telemetry.log", configure_logging=server.configure)
    module(monkeypatch, "tidegate.cli.local", local_model=a_model)
    monkeypatch.setattr("tidegate.cli.serve.simulated_model", a_model)
    monkeypatch.setattr("tidegate.cli.serve.probe", lambda host, port: None)
    return server


def test_without_anything_it_runs_in_front_of_a_simulated_model(command: Command, server: Server) -> None:
    result = command("serve")
    assert (result.exit_code, result.stderr) == (0, "")
    assert server.options is not None
    assert server.options == GatewayOptions(auth=server.options.auth, ledger=server.options.ledger)
    assert [model.name for model in server.models] == ["started"]
    assert result.stdout == (
        "Tidegate is ready: http://127.0.0.1:4321\n"
        "\n"
        "  upstream  started: http://127.0.0.1:9/v1 (tiny)\n"
        "  clients   no key needed\n"
        "\n"
        "  curl -N http://127.0.0.1:4321/api/v1/chat/stream \\\n"
        "    -H 'content-type: application/json' \\\n"
        '    -d \'{"model": "tiny", "messages": [{"role": "user", "content": "Tell me about the tide."}]}\'\n'
        "\n"
    )


def test_the_file_in_the_folder_is_found_by_itself(command: Command, server: Server) -> None:
    Path("tidegate.toml").write_text(UPSTREAM)
    assert command("serve").exit_code == 0
    assert server.options is not None
    assert [upstream.name for upstream in server.options.upstreams] == ["main"]
    assert server.models == []


@pytest.mark.parametrize("flag", [["--upstream", "http://h/v1"], ["--local"]])
def test_it_is_not_when_something_else_is_asked_for(command: Command, server: Server, flag: list[str]) -> None:
    Path("tidegate.toml").write_text("not toml")
    assert command("serve", *flag).exit_code == 0


def test_nor_when_a_variable_names_another(command: Command, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tidegate.toml").write_text("not toml")
    Path("other.toml").write_text(UPSTREAM)
    monkeypatch.setenv("TIDEGATE_CONFIG", "other.toml")
    assert command("serve").exit_code == 0


def test_flags_win_over_variables_over_the_file(
    command: Command, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("x.toml").write_text(
        f'[server]\nport = 1\nhost = "127.0.0.2"\nlog_format = "json"\nlog_level = "debug"\n{UPSTREAM}'
    )
    monkeypatch.setenv("TIDEGATE_SERVER__PORT", "2")
    monkeypatch.setenv("TIDEGATE_SERVER__HOST", "127.0.0.3")
    assert command("serve", "-c", "x.toml", "--port", "3", "--log-format", "console").exit_code == 0
    assert server.options is not None
    assert (server.options.server.port, server.options.server.host) == (3, "127.0.0.3")
    assert server.logging == ("console", "debug")


@pytest.mark.parametrize(
    ("environ", "keys"),
    [
        ({}, ()),
        ({"OPENAI_API_KEY": "a"}, ("env:OPENAI_API_KEY",)),
        ({"OPENAI_API_KEY": "a", "LLM_API_KEY": "b"}, ("env:LLM_API_KEY",)),
        ({"LLM_API_KEY": ""}, ()),
    ],
)
def test_an_upstream_on_the_command_line_is_the_only_one(
    command: Command,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    keys: tuple[str, ...],
) -> None:
    Path("x.toml").write_text(UPSTREAM)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    result = command("serve", "--config", "x.toml", "--upstream", "https://h.example/v1")
    assert server.options is not None
    assert server.options.upstreams == (
        UpstreamOptions(name="upstream", base_url="https://h.example/v1", api_keys=keys),
    )
    assert "  upstream  upstream: https://h.example/v1 (*)\n" in result.stdout
    assert '"model": "any"' in result.stdout


def test_an_address_that_cannot_be_is_refused(command: Command, server: Server) -> None:
    result = command("serve", "--upstream", "h.example/v1")
    assert result.exit_code == 2
    assert result.stderr == (
        'tidegate: --upstream must begin with http:// or https://; write for example "https://api.openai.com/v1"\n'
    )


def test_local_adds_a_real_model_to_those_of_the_file(command: Command, server: Server) -> None:
    Path("x.toml").write_text(UPSTREAM)
    result = command("serve", "--config", "x.toml", "--local")
    assert [model.name for model in server.models] == ["started"]
    assert "upstream  main: " in result.stdout
    assert "upstream  started: " in result.stdout


def test_a_reload_reads_the_file_again_with_the_same_flags(command: Command, server: Server) -> None:
    Path("x.toml").write_text(UPSTREAM)
    command("serve", "--config", "x.toml", "--port", "3")
    Path("x.toml").write_text(UPSTREAM + "[stream]\nheartbeat = 1\n[server]\nport = 9")
    assert server.reload is not None
    options = server.reload()
    assert (options.stream.heartbeat, options.server.port) == (1.0, 3)


@pytest.mark.parametrize(
    ("auth", "clients"),
    [
        (
            f'[[auth.key]]\nid = "a"\nhash = "{HASH}"\n',
            "1 key, and those made with: tidegate keys create; a request without one is refused",
        ),
        (f'[auth]\nanonymous = true\n[[auth.key]]\nid = "a"\nhash = "{HASH}"\n', "1 key, and anyone without one"),
        ("[auth]\nanonymous = true\n", "no key needed"),
    ],
)
def test_the_start_block_says_who_may_come_in(command: Command, server: Server, auth: str, clients: str) -> None:
    Path("x.toml").write_text(UPSTREAM + auth)
    output = command("serve", "--config", "x.toml").stdout
    assert f"  clients   {clients}\n" in output
    assert ("authorization: Bearer tg-YOUR-KEY" in output) == ("refused" in clients)


def test_the_start_block_warns_of_a_gateway_that_nobody_can_use(command: Command, server: Server) -> None:
    Path("x.toml").write_text(f'[ledger]\nurl = "off"\n{UPSTREAM}')
    assert "  warning   nobody can use this gateway: " in command("serve", "--config", "x.toml").stdout


def test_many_models_are_cut_short(command: Command, server: Server) -> None:
    Path("x.toml").write_text(UPSTREAM + f"models = {[f'model-{number}' for number in range(99)]}".replace("'", '"'))
    (line,) = [line for line in command("serve", "-c", "x.toml").stdout.splitlines() if "upstream" in line]
    assert line.endswith("…)")
    assert len(line) < 120


@pytest.fixture
def supervisor(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Stands for the supervisor of several workers, on a machine of four cores."""
    supervisor = Server()

    def run(options: GatewayOptions, *, program: Sequence[str], **given: Any) -> None:
        assert [*program][1:] == ["-m", "tidegate.cli.worker"]
        supervisor.run(options, **given)

    def count_of(options: GatewayOptions) -> int:
        return 4 if options.server.workers == "auto" else options.server.workers

    module(monkeypatch, "tidegate.workers.supervisor", run=run, count_of=count_of)
    return supervisor


@pytest.mark.parametrize(("workers", "count"), [("2", 2), ("auto", 4)])
def test_several_workers_have_a_supervisor(
    command: Command, server: Server, supervisor: Server, workers: str, count: int
) -> None:
    """Each of them has a simulated model of its own, if there is no other; a real one is there for all."""
    result = command("serve", "--workers", workers)
    assert (result.exit_code, result.stderr) == (0, "")
    assert server.options is None
    assert supervisor.options is not None
    assert str(supervisor.options.server.workers) == workers
    assert supervisor.models == []
    assert f"  upstream  simulator: one in each worker (sim/default, *)\n  workers   {count}\n" in result.stdout
    result = command("serve", "--workers", workers, "--local")
    assert [model.name for model in supervisor.models] == ["started"]
    assert "  upstream  started: http://127.0.0.1:9/v1 (tiny)\n" in result.stdout


def test_one_worker_is_this_process_whatever_the_file_says_later(
    command: Command, server: Server, supervisor: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("tidegate.toml").write_text(f"[server]\nworkers = 1\n{UPSTREAM}")
    assert "workers" not in command("serve").stdout
    assert supervisor.options is None
    Path("tidegate.toml").write_text(f"[server]\nworkers = 2\n{UPSTREAM}")
    assert server.reload is not None
    assert server.reload().server.workers == 1
    monkeypatch.setattr(sys.modules["tidegate.workers.supervisor"], "count_of", lambda _: 1)
    assert command("serve", "--workers", "auto", "--port", "7").exit_code == 0
    assert server.options is not None
    assert (server.options.server.workers, server.options.server.port) == (1, 7)


def test_an_address_that_somebody_takes_meanwhile_is_said_clearly(
    command: Command, supervisor: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any, **__: Any) -> None:
        raise OSError(98, "in use")

    monkeypatch.setattr(sys.modules["tidegate.workers.supervisor"], "run", run)
    result = command("serve", "--workers", "2")
    assert result.exit_code == 1
    assert "cannot listen on 127.0.0.1:8080: the port is in use" in result.stderr


def test_a_mistake_in_the_file_ends_with_2(command: Command, server: Server) -> None:
    Path("x.toml").write_text("[strem]")
    result = command("serve", "--config", "x.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "tidegate: x.toml:1: unknown section [strem]; did you mean [stream]?\n"
    assert server.options is None


def test_a_port_in_use_is_said_before_anything_starts(
    command: Command, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tidegate.cli.listening import probe

    monkeypatch.setattr("tidegate.cli.serve.probe", probe)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = command("serve", "--port", str(port))
    assert result.exit_code == 1
    assert result.stderr == (
        f"tidegate: cannot listen on 127.0.0.1:{port}: the port is in use; "
        "stop what listens there, or take another: --port 0\n"
    )
    assert server.options is None


def test_the_simulated_model_has_names_to_choose_from_and_answers_to_any() -> None:
    async def case() -> UpstreamOptions:
        async with simulated_model() as upstream:
            return upstream

    models = asyncio.run(case()).models
    assert "sim/default" in models
    assert models[-1] == "*"


def test_it_stops_when_it_is_told_to_although_nobody_reads_what_it_says() -> None:
    """A log collector that died must not take the signal with it."""
    with gateway() as (process, url):
        assert process.stdout is not None
        process.stdout.close()
        answer = stream(url, {"model": "sim/prose?tokens=3", "messages": [{}], "stream": True})
        assert answer[-1] == "data: [DONE]"
        process.terminate()
        assert process.wait(20) == 0


def test_a_certificate_is_given_by_flags_and_checked_before_anything_starts(command: Command, server: Server) -> None:
    """Wrong files are a usage of the flag that names them."""
    cert, key = certificate()
    assert command("serve", "--tls-cert", cert, "--tls-key", key).exit_code == 0
    assert server.options is not None
    assert (server.options.server.tls_cert, server.options.server.tls_key) == (cert, key)
    server.options = None
    result = command("serve", "--tls-cert", cert, "--tls-key", "gone.pem")
    assert (result.exit_code, server.options) == (2, None)
    assert '--tls-key: is "gone.pem", which cannot be read: no such file or directory' in result.stderr
    Path("x.toml").write_text(f'[server]\ntls_key = "{key}"\n{UPSTREAM}')
    result = command("serve", "-c", "x.toml")
    assert (result.exit_code, server.options) == (2, None)
    assert "x.toml:2" in result.stderr
    assert "has no tls_cert beside it" in result.stderr


def test_a_certificate_for_this_machine_is_made_and_named(
    command: Command, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    result = command("serve", "--tls-dev")
    made = tmp_path / "data" / "tidegate" / "tls-dev.pem"
    assert result.exit_code == 0
    assert server.options is not None
    assert server.options.server.tls_cert == str(made)
    assert f"  tls       made for this machine, trusted by nobody yet: {made}\n" in result.stdout
    assert f"    --cacert '{made}' \\\n" in result.stdout
    refused = command("serve", "--tls-dev", "--tls-cert", str(made))
    assert refused.exit_code == 2
    assert "leave out --tls-cert and --tls-key" in refused.stderr
