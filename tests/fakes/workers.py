"""``tidegate serve`` with several workers as real processes, and readers of it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.cli.running import alive, children
from tests.e2e.faces import SSE, question
from tests.fakes.gateway import simulator_options, until
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.simulator.server import Simulator

__all__ = ["Served", "served"]

CONFIG = """
[server]
port = 0
workers = {workers}
log_format = "json"
drain_timeout = {drain}
{more}
[ledger]
url = "sqlite:///{folder}/tidegate.db"
spool = "{folder}/spool"
[[upstream]]
name = "sim"
base_url = "{upstream}"
trust_env = false
connect_timeout = 30.0
"""


class Served:
    """The gateway's processes, its log, and what a client can ask.

    :param simulator: its model server, in the test's own process.
    """

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        self.folder = folder
        self.config = folder / "tidegate.toml"
        self.simulator = simulator
        self.said: list[str] = []
        """Its standard output."""
        self._log = folder / "log"
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def start(self, *arguments: str) -> None:
        """Its process; not yet ready."""
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tidegate", "serve", "--config", str(self.config), *arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    async def ready(self) -> None:
        """Until it says that it is."""
        stdout = self.process.stdout
        assert stdout is not None
        found = None
        while found is None:
            line = await asyncio.to_thread(stdout.readline)
            assert line, f"it ended: {self._log.read_text()}"
            self.said.append(line)
            found = re.search(r"is ready: http://[\d.]+:(\d+)", line)
        self.port = int(found[1])

    def log(self, event: str) -> list[dict[str, Any]]:
        """What it has logged under that name."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    async def logged(self, event: str, count: int = 1) -> dict[str, Any]:
        """The ``count``-th line of that name, once it is there."""
        await until(lambda: len(self.log(event)) >= count)
        return self.log(event)[count - 1]

    def workers(self) -> list[int]:
        """The processes that it has started and that run."""
        return sorted(pid for pid in children(self.process.pid) if alive(pid))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        return await asyncio.to_thread(self.process.wait, 60)

    async def open(self, model: str, headers: Mapping[str, str] | None = None) -> Reader:
        """A request that was sent; its head is not read yet."""
        reader = await Reader.connect(self.port)
        reader.send(request_bytes(SSE, json.dumps(question(model)).encode(), headers))
        return reader

    async def get(self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Any:
        """A JSON answer, of whichever worker took the connection."""
        reader = await ask(self.port, path, None, headers or {}, method)
        assert reader.status == 200, reader.body
        return json.loads(reader.body)

    async def metrics(self) -> dict[str, float]:
        """The sums over all labels, by the sample's name."""
        reader = await ask(self.port, "/metrics", None, method="GET")
        assert reader.status == 200, reader.body
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(reader.body.decode()):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found

    def close(self) -> None:
        """Nothing of it is left."""
        if self._process is None:
            return
        left = [*children(self.process.pid)]
        self.process.kill()
        self.process.wait(60)
        for pid in left:
            if alive(pid):
                subprocess.run(["kill", "-9", str(pid)], check=False)
        assert self.process.stdout is not None
        self.process.stdout.close()


@asynccontextmanager
async def served(
    *arguments: str, workers: int | str = 2, drain: float = 60.0, more: str = "", tokens: int = 20, wait: bool = True
) -> AsyncIterator[Served]:
    """It is ready, in front of a simulator; killed at the end if it still lives.

    :param more: of its configuration: further settings of ``[server]``, and tables.
    :param wait: until it is ready.
    """
    folder = Path(tempfile.mkdtemp(prefix="tg-workers-"))
    simulator = Simulator(simulator_options(tokens=tokens))
    await simulator.start()
    found = Served(folder, simulator)
    text = CONFIG.format(workers=json.dumps(workers), drain=drain, more=more, folder=folder, upstream=simulator.url)
    found.config.write_text(text)
    try:
        found.start(*arguments)
        if wait:
            await found.ready()
        yield found
    finally:
        await asyncio.to_thread(found.close)
        await simulator.close()
        shutil.rmtree(folder)
