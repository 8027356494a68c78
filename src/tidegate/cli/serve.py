"""``tidegate serve``: the gateway."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial

import click

from tidegate.cli.config import file_here, warnings
from tidegate.cli.lean import import_structlog
from tidegate.cli.listening import cannot_listen, probe
from tidegate.errors import ConfigError
from tidegate.server.options import GatewayOptions
from tidegate.upstream.options import UpstreamOptions

__all__ = ["serve"]

SIMULATED = UpstreamOptions(name="simulator", base_url="one in each worker", models=("sim/default", "*"))
"""How the simulated model of each worker is shown."""

Background = Callable[[], AbstractAsyncContextManager[UpstreamOptions]]


@click.command()
@click.option("-c", "--config", "file", metavar="FILE", help="The TOML file; see: tidegate config example.")
@click.option("--host", metavar="ADDRESS", help="Where to listen. [default: 127.0.0.1, this machine only]")
@click.option("--port", metavar="PORT", help="0 takes a free one. [default: 8080]")
@click.option("--workers", metavar="N", help="Processes that serve; auto: one for each core. [default: 1]")
@click.option("--upstream", metavar="URL", help="A model server, instead of those of the file.")
@click.option("--local", is_flag=True, help="Also run a small real model on this machine.")
@click.option("--tls-cert", metavar="FILE", help="A certificate with its chain (PEM): HTTPS, with HTTP/2 and HTTP/1.1.")
@click.option("--tls-key", metavar="FILE", help="Its key. [default: it is in --tls-cert too]")
@click.option("--tls-dev", is_flag=True, help="HTTPS with a certificate that is made for this machine.")
@click.option("--log-format", metavar="FORMAT", help="json, console or auto. [default: auto, console on a terminal]")
def serve(
    file: str | None,
    host: str | None,
    port: str | None,
    workers: str | None,
    upstream: str | None,
    local: bool,
    tls_cert: str | None,
    tls_key: str | None,
    tls_dev: bool,
    log_format: str | None,
) -> None:
    """Run the gateway until Ctrl-C or SIGTERM; live streams then get time to finish. SIGHUP reads the file
    and certificates again.

    \b
    Without any file, on a simulated model:
      tidegate serve
    In front of a model server (its key from LLM_API_KEY or OPENAI_API_KEY):
      tidegate serve --upstream https://api.openai.com/v1
    A real model on this machine (needs: pip install 'tidegate[local]'):
      tidegate serve --local
    As configured; ./tidegate.toml is found by itself:
      tidegate serve --config tidegate.toml --port 9000
    Over HTTPS, with HTTP/2 for browsers (needs: pip install 'tidegate[edge]'):
      tidegate serve --tls-cert fullchain.pem --tls-key privkey.pem

    Flags win over TIDEGATE_* variables, variables over the file.
    """
    if tls_dev:
        tls_cert, tls_key = _made_for_this_machine(tls_cert or tls_key)
    trust = tls_cert if tls_dev else None
    flags = {
        "server.host": host,
        "server.port": port,
        "server.workers": workers,
        "server.log_format": log_format,
        "server.tls_cert": tls_cert,
        "server.tls_key": tls_key,
    }
    read = partial(
        read_options,
        file or _file_here(os.environ, upstream, local),
        os.environ,
        flags={key: text for key, text in flags.items() if text is not None},
        upstream=upstream,
        local=local,
    )
    options = read()
    probe(options.server.host, options.server.port)

    import_structlog()
    from tidegate.telemetry.log import configure_logging

    configure_logging(options.server.log_format, options.server.log_level)

    if options.server.workers != 1:
        from tidegate.workers.supervisor import count_of

        count = count_of(options)
        if count > 1:
            serve_with_workers(options, count, read, local=local, trust=trust)
            return
        options = _alone(options)

    from tidegate.server.run import run

    started: list[UpstreamOptions] = []
    run(
        options,
        on_ready=lambda url: click.echo(start_block(url, options, started, trust=trust)),
        reload=lambda: _alone(read()),
        background=[partial(_noted, make, started) for make in models_to_start(options, local)],
    )


def serve_with_workers(
    options: GatewayOptions,
    count: int,
    read: Callable[[], GatewayOptions],
    *,
    local: bool,
    trust: str | None = None,
) -> None:
    """A supervisor in this process, and as many others that serve."""
    from tidegate.cli.worker import PROGRAM
    from tidegate.workers.supervisor import run

    background = models_to_start(options, local) if local else []
    started = [] if options.upstreams or local else [SIMULATED]
    try:
        run(
            options,
            program=PROGRAM,
            on_ready=lambda url: click.echo(start_block(url, options, started, workers=count, trust=trust)),
            reload=read,
            background=[partial(_noted, make, started) for make in background],
        )
    except OSError as error:
        raise cannot_listen(error, options.server.host, options.server.port) from None


def _alone(options: GatewayOptions) -> GatewayOptions:
    """This process is the one worker."""
    return replace(options, server=replace(options.server, workers=1))


def _made_for_this_machine(given: str | None) -> tuple[str, str]:
    if given:
        raise click.UsageError("--tls-dev makes a certificate: leave out --tls-cert and --tls-key")
    from tidegate.config.places import data_folder
    from tidegate.server.tls_dev import dev_certificate

    cert, key = dev_certificate(data_folder(os.environ))
    return str(cert), str(key)


def _file_here(environ: Mapping[str, str], upstream: str | None, local: bool) -> str | None:
    return None if upstream is not None or local else file_here(environ)


def read_options(
    file: str | None, environ: Mapping[str, str], *, flags: Mapping[str, str], upstream: str | None, local: bool
) -> GatewayOptions:
    """File, environment and flags; the same again at every reload."""
    from tidegate.config import base_url_problem, load

    options = load(file, environ, flags=flags, require_upstream=upstream is None and not local)
    if upstream is None:
        return options
    problem = base_url_problem(upstream)
    if problem is not None:
        raise ConfigError(f"--upstream {problem}")
    key = next((f"env:{name}" for name in ("LLM_API_KEY", "OPENAI_API_KEY") if environ.get(name)), None)
    given = UpstreamOptions(name="upstream", base_url=upstream, api_keys=() if key is None else (key,))
    return replace(options, upstreams=(given,))


def models_to_start(options: GatewayOptions, local: bool) -> list[Background]:
    """The model servers to run inside this process: the local one when asked for, else a simulated one if need be."""
    if local:
        from tidegate.cli.local import local_model

        return [local_model]
    return [] if options.upstreams else [simulated_model]


@asynccontextmanager
async def simulated_model() -> AsyncIterator[UpstreamOptions]:
    """The simulator as an upstream, for as long as the gateway runs."""
    from tidegate.simulator.server import Simulator

    simulator = Simulator()
    await simulator.start("127.0.0.1", 0)
    try:
        # Any name is answered; these are what can be chosen from.
        models = (*simulator.models, "*")
        yield UpstreamOptions(name="simulator", base_url=simulator.url, models=models, trust_env=False)
    finally:
        await simulator.close()


@asynccontextmanager
async def _noted(make: Background, started: list[UpstreamOptions]) -> AsyncIterator[UpstreamOptions]:
    async with make() as upstream:
        started.append(upstream)
        yield upstream


def start_block(
    url: str, options: GatewayOptions, started: list[UpstreamOptions], *, workers: int = 1, trust: str | None = None
) -> str:
    """What a person needs in order to send the first request.

    :param trust: a certificate that nobody trusts yet.
    """
    upstreams = (*options.upstreams, *started)
    lines = [f"Tidegate is ready: {url}", ""]
    for upstream in upstreams:
        served = ", ".join((*upstream.aliases, *upstream.models))
        lines.append(f"  upstream  {upstream.name}: {upstream.base_url} ({_short(served)})")
    if workers > 1:
        lines.append(f"  workers   {workers}")
    lines.append(f"  clients   {_clients(options)}")
    if trust is not None:
        lines.append(f"  tls       made for this machine, trusted by nobody yet: {trust}")
    lines.extend(f"  warning   {warning}" for warning in warnings(options))
    lines.extend(("", *_curl(url, options, upstreams, trust), ""))
    return "\n".join(lines)


def _short(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _clients(options: GatewayOptions) -> str:
    count = len(options.auth.keys)
    keys = f"{count} key{'s' * (count != 1)}"
    if not options.auth.anonymous:
        if options.ledger.on:
            keys += ", and those made with: tidegate keys create"
        return f"{keys}; a request without one is refused"
    return "no key needed" if count == 0 else f"{keys}, and anyone without one"


def _curl(url: str, options: GatewayOptions, upstreams: tuple[UpstreamOptions, ...], trust: str | None) -> list[str]:
    names = [name for upstream in upstreams for name in (*upstream.aliases, *upstream.models) if "*" not in name]
    body = {"model": names[0] if names else "any", "messages": [{"role": "user", "content": "Tell me about the tide."}]}
    lines = [f"  curl -N {url}/api/v1/chat/stream"]
    if trust is not None:
        lines.append(f"    --cacert '{trust}'")
    if not options.auth.anonymous:
        lines.append("    -H 'authorization: Bearer tg-YOUR-KEY'")
    lines.extend(("    -H 'content-type: application/json'", f"    -d '{json.dumps(body)}'"))
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]
