"""The real programs with the configurations that ``tidegate edge`` prints."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trustme
from bench.proxies import CHECK, PROXIES, SERVE, whole
from click.testing import CliRunner

from tests.docs.test_proxies import _environment, _program
from tests.fakes.child import end
from tests.fakes.ports import unused_port
from tidegate.cli import cli

__all__ = ["PROGRAMS", "check", "running", "written"]

PROGRAMS = tuple(PROXIES)


def written(
    program: str, gateway_port: int, folder: Path, *, tls: bool = False, own_ca: bool = False, also: str = ""
) -> tuple[Path, int]:
    """The file, as the command prints it, and the port that it names. nginx's stands inside of a frame.

    :param own_ca: the certificate is the program's own affair, which only Caddy has.
    """
    port = unused_port()
    arguments = ["edge", program, "--listen", f"127.0.0.1:{port}", "--gateway", f"127.0.0.1:{gateway_port}"]
    if also:
        arguments += ["--gateway", also]
    if own_ca:
        arguments += ["--domain", "localhost"]
    elif tls:
        issued = trustme.CA().issue_cert("localhost")
        chain, key = folder / "chain.pem", folder / "key.pem"
        chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        if program == "haproxy":
            chain.write_bytes(chain.read_bytes() + key.read_bytes())
        arguments += ["--domain", "localhost", "--cert", str(chain), "--key", str(key)]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    file, text = folder / "configuration", result.output
    file.write_text(whole(program, text, folder))
    return file, port


def check(program: str, file: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Have the program look at it."""
    return subprocess.run(
        [_program(program), *CHECK[program], str(file)],
        cwd=folder, env=_environment(folder), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@asynccontextmanager
async def running(
    program: str, gateway_port: int, folder: Path, *, tls: bool = False, own_ca: bool = False, also: str = ""
) -> AsyncIterator[int]:
    """The program in front of the gateway; its port, once it believes that the gateway is there.

    :param also: another gateway.
    """
    file, port = written(program, gateway_port, folder, tls=tls, own_ca=own_ca, also=also)
    with (folder / "output").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            _program(program), *SERVE[program], str(file),
            cwd=folder, env=_environment(folder), stdout=output, stderr=output,
        )  # fmt: skip
    url = f"{'https://localhost' if tls else 'http://127.0.0.1'}:{port}/healthz"
    try:
        for _ in range(1200):
            assert process.returncode is None, (folder / "output").read_text()
            probe = await asyncio.create_subprocess_exec(
                "curl", "-skf", "--noproxy", "*", "-o", "/dev/null", url, stderr=subprocess.DEVNULL
            )
            if await probe.wait() == 0:
                break
            await asyncio.sleep(0.05)
        yield port
    finally:
        await end(process)
