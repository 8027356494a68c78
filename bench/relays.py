"""The relays that are measured: how each is found, configured and started. One row of the table, one function."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bench.rig import free_port

__all__ = ["PEERS", "RELAYS", "Launch", "Relay", "Unavailable", "peer_home", "tidegate_launch"]

ROOT = Path(__file__).resolve().parent.parent
PEERS = {"vllm-router": "vllm-router", "sglang-router": "sglang-router", "litellm": "litellm[proxy]"}
"""Venv name -> what ``pip install`` is told."""


class Unavailable(Exception):
    """This relay cannot be run here; the text says why, in words for the table."""


@dataclass(frozen=True)
class Launch:
    """What to start. ``environ`` is added to the environment."""

    argv: list[str]
    environ: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Relay:
    """One row. ``launch(port, upstream_port, folder)`` may write its configuration into ``folder``."""

    name: str
    launch: Callable[[int, int, Path], Launch] | None
    """None: no relay at all, the load client speaks to the upstream."""
    framing: str = "sse"
    path: str = "/v1/chat/completions"
    headers: dict[str, str] = field(default_factory=dict)
    start_timeout: float = 30.0
    prose: bool = False
    """The model says prose, because what the relay does depends on it."""
    connections: int = 0
    """Asked over HTTP/2 with TLS, all streams on so many connections; 0: over HTTP/1.1, each on its own."""
    slow: bool = False
    """Hundreds of times the cost of the rest: only the first shape, unless asked for by name."""


def peer_home() -> Path:
    """Where the peers' venvs are kept; ``TIDEGATE_BENCH_PEERS`` moves it."""
    return Path(os.environ.get("TIDEGATE_BENCH_PEERS") or ROOT / ".cache" / "bench")


def peer_program(venv: str, program: str) -> str:
    """The path of a peer's program in its own venv."""
    path = peer_home() / venv / "bin" / program
    if not path.exists():
        raise Unavailable(f"not installed: python -m bench --install ({PEERS[venv]})")
    return str(path)


NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  keepalive_timeout 60s;
  keepalive_requests 100000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 2048; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://model;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


def nginx(port: int, upstream: int, folder: Path) -> Launch:
    """nginx as a streaming proxy: the floor."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        raise Unavailable("not installed: apt-get install -y --no-install-recommends nginx-light")
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(port=port, upstream=upstream, folder=folder))
    return Launch([program, "-e", str(folder / "start.log"), "-p", str(folder), "-c", str(config)])


def vllm_router(port: int, upstream: int, folder: Path) -> Launch:
    """vLLM's router (Rust)."""
    return Launch(
        [
            *(peer_program("vllm-router", "vllm-router"), "--worker-urls", f"http://127.0.0.1:{upstream}"),
            *("--port", str(port), "--policy", "round_robin", "--log-level", "warning"),
            *("--prometheus-port", str(free_port()), "--worker-startup-check-interval", "1"),
        ]
    )


def sglang_router(port: int, upstream: int, folder: Path) -> Launch:
    """SGLang's router (Rust)."""
    return Launch(
        [
            *(
                peer_program("sglang-router", "sglang-router"),
                "launch",
                "--worker-urls",
                f"http://127.0.0.1:{upstream}",
            ),
            *("--port", str(port), "--policy", "round_robin", "--log-level", "warn"),
            *("--prometheus-port", str(free_port()), "--worker-startup-check-interval", "1"),
        ]
    )


LITELLM = """\
model_list:
  - model_name: bench
    litellm_params:
      model: openai/bench
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: none
litellm_settings:
  telemetry: false
  num_retries: 0
general_settings:
  dangerously_permit_weak_or_unset_master_key: true
"""


def litellm(port: int, upstream: int, folder: Path) -> Launch:
    """LiteLLM's proxy (Python), one worker."""
    config = folder / "litellm.yaml"
    config.write_text(LITELLM.format(upstream=upstream))
    return Launch(
        [
            *(peer_program("litellm", "litellm"), "--config", str(config)),
            *("--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"),
        ],
        # No network: the price list that is in the wheel.
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"},
    )


def tidegate_launch(port: int, upstream: int, **environ: str) -> Launch:
    """``tidegate serve`` as anybody starts it; metrics are on, the log goes where the rig sends it."""
    argv = [sys.executable, "-m", "tidegate", "serve", "--upstream", f"http://127.0.0.1:{upstream}/v1"]
    return Launch(
        [*argv, "--host", "127.0.0.1", "--port", str(port)],
        {"LLM_API_KEY": "sk-bench-0123456789abcdef", "TIDEGATE_SERVER__LOG_FORMAT": "json", **environ},
    )


def tidegate(port: int, upstream: int, folder: Path) -> Launch:
    """The relay under test, on its default server, without a ledger."""
    return tidegate_launch(port, upstream, TIDEGATE_LEDGER__URL="off")


def tidegate_ledger(port: int, upstream: int, folder: Path) -> Launch:
    """As anybody starts it: with the ledger in the user's folder."""
    return tidegate_launch(port, upstream, XDG_DATA_HOME=str(folder))


KEY = "tg-oV5IKogNSRD3dS64aENkoIUZQ5lnz7t0HvL23l0t08944QOFd"
"""Of nobody, for the length of a benchmark."""


def tidegate_on(port: int, upstream: int, folder: Path) -> Launch:
    """The same, with everything on: a virtual key with every limit and a budget, limits of its tag, the model and the
    gateway, and the ledger.
    """
    from tidegate.ledger.database import Database
    from tidegate.ledger.keys import KeyRow, KeyStore
    from tidegate.policy.keys import keyed_hash

    url = f"sqlite:///{folder / 'tidegate.db'}"
    database = Database(url)
    database.open()
    store = KeyStore(database)
    most = 1_000_000_000
    row = KeyRow(id="key-bench", name="bench", tags={"team": "bench"}, rpm=most, tpm=most, concurrent=most)
    row = msgspec.structs.replace(row, budget_micros=most * 1000, budget_period="day")
    store.create(row, keyed_hash(store.secret(), KEY), actor="bench")
    database.close()
    limits = {
        f"TIDEGATE_LIMITS__{scope}{kind}": str(most)
        for scope in ("", "TAG__0__", "MODEL__0__")
        for kind in ("RPM", "TPM", "CONCURRENT")
    }
    return tidegate_launch(
        port,
        upstream,
        TIDEGATE_AUTH__ANONYMOUS="false",
        TIDEGATE_LEDGER__URL=url,
        TIDEGATE_LEDGER__SPOOL=str(folder / "spool"),
        TIDEGATE_LIMITS__TAG__0__TAG="team=*",
        TIDEGATE_LIMITS__MODEL__0__MODEL="*",
        TIDEGATE_PRICE__0__MODEL="*",
        TIDEGATE_PRICE__0__INPUT="1",
        TIDEGATE_PRICE__0__OUTPUT="1",
        **limits,
    )


def tidegate_strict(port: int, upstream: int, folder: Path) -> Launch:
    """The same, with every rule of the strict safety profile on every answer and prompt."""
    return tidegate_launch(port, upstream, TIDEGATE_LEDGER__URL="off", TIDEGATE_SAFETY__USE="strict")


def tidegate_plain(port: int, upstream: int, folder: Path) -> Launch:
    """The same, without the fast path: what any other ASGI server gets."""
    return tidegate_launch(port, upstream, TIDEGATE_LEDGER__URL="off", TIDEGATE_SERVER__FAST_PATH="false")


def tidegate_h2(port: int, upstream: int, folder: Path) -> Launch:
    """The same behind TLS, over HTTP/2."""
    from tidegate.server.tls_dev import dev_certificate

    cert, key = dev_certificate(folder)
    files = {"TIDEGATE_SERVER__TLS_CERT": str(cert), "TIDEGATE_SERVER__TLS_KEY": str(key)}
    return tidegate_launch(port, upstream, TIDEGATE_LEDGER__URL="off", **files)


def command_from_environment(port: int, upstream: int, folder: Path) -> Launch:
    """A relay of your own: ``TIDEGATE_BENCH_COMMAND`` with ``{port}`` and ``{upstream}`` in it (a port each)."""
    command = os.environ.get("TIDEGATE_BENCH_COMMAND")
    if not command:
        raise Unavailable("TIDEGATE_BENCH_COMMAND is not set")
    return Launch([word.format(port=port, upstream=upstream, python=sys.executable) for word in command.split()])


RELAYS: dict[str, Relay] = {
    relay.name: relay
    for relay in (
        Relay("direct", None),
        Relay("tidegate", tidegate),
        Relay("tidegate-ledger", tidegate_ledger),
        Relay("tidegate-on", tidegate_on, headers={"authorization": f"Bearer {KEY}"}),
        Relay("tidegate-prose", tidegate, prose=True),
        Relay("tidegate-strict", tidegate_strict, prose=True),
        Relay("tidegate-ndjson", tidegate, framing="ndjson"),
        Relay("tidegate-gzip", tidegate, framing="gzip"),
        Relay("tidegate-h2", tidegate_h2, connections=1),
        Relay("tidegate-plain", tidegate_plain),
        Relay("nginx", nginx),
        Relay("vllm-router", vllm_router),
        Relay("sglang-router", sglang_router),
        Relay("litellm", litellm, start_timeout=120.0, slow=True),
        Relay("custom", command_from_environment),
        Relay("custom-h2", command_from_environment, connections=1),
    )
}
