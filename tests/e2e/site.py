"""Two gateways that are processes, their Redis and PostgreSQL, a model server, and HAProxy in front: all real."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from tests.docs.test_proxies import _program
from tests.fakes.limited import ADMIN, bearing
from tests.fakes.ports import unused_port
from tests.fakes.postgres import Postgres
from tests.fakes.reader import Reader, ask
from tests.fakes.redis import RedisServer
from tidegate.cli import cli
from tidegate.ledger.database import Database
from tidegate.ledger.keys import KeyRow, KeyStore
from tidegate.policy.keys import hash_key, keyed_hash, new_key

__all__ = ["Site", "admin"]

LEASE = 2.0
"""Seconds; so long a process that was killed is waited for."""

PATIENCE = 60.0

CONFIG = """
[server]
port = {port}
drain_timeout = 10.0
drain_delay = 1.0
[auth]
anonymous = false
[[auth.key]]
id = "root"
hash = "{admin}"
admin = true
[ledger]
url = "{postgres}"
spool = "{folder}/spool-{port}"
[shared]
redis = "{redis}"
redis_timeout = 20.0
lease = {lease}
[[upstream]]
name = "model"
base_url = "{model}"
max_connections = 1000
"""


class Site:
    """Started by :meth:`start`; every part can be killed and started again."""

    def __init__(self, stack: ExitStack) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tg-site-"))
        stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.redis = RedisServer(self.folder)
        self.postgres = Postgres(self.folder / "pg")
        self.ports = [unused_port(), unused_port()]
        self.port = unused_port()
        """HAProxy's."""
        self.replicas: dict[int, subprocess.Popen[bytes]] = {}
        self._stack = stack
        self._model = ""

    def start(self) -> None:
        self._stack.callback(self.redis.kill)
        self.redis.start()
        self._stack.callback(self.postgres.close)
        self.postgres.start()
        self._model = self._simulator()
        self._stack.callback(self.close)
        for port in self.ports:
            self.serve(port)
        self._haproxy()

    def _simulator(self) -> str:
        started = subprocess.Popen(
            [sys.executable, "-m", "tidegate", "simulate", "--port", "0", "--tokens", "5000", "--tps", "20"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._end(started)
        assert started.stdout is not None
        self._stack.callback(started.stdout.close)
        url = next(match[0] for line in started.stdout if (match := re.search(r"http://[\d.]+:\d+", line)))
        return f"{url}/v1"

    def _end(self, started: subprocess.Popen[Any]) -> None:
        self._stack.callback(started.wait, PATIENCE)
        self._stack.callback(started.kill)

    def serve(self, port: int) -> None:
        """One gateway, until it answers."""
        file = self.folder / f"{port}.toml"
        file.write_text(
            CONFIG.format(
                port=port, admin=hash_key(ADMIN), postgres=self.postgres.url, folder=self.folder,
                redis=self.redis.url, lease=LEASE, model=self._model,
            )
        )  # fmt: skip
        with (self.folder / f"{port}.log").open("ab") as log:
            self.replicas[port] = subprocess.Popen(
                [sys.executable, "-m", "tidegate", "serve", "--config", str(file), "--log-format", "json"],
                stdout=log, stderr=log, env={**os.environ, "HOME": str(self.folder)},
            )  # fmt: skip
        self._until_ready(port)

    def _until_ready(self, port: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while asyncio.run(_status(port)) != 200:
            assert time.monotonic() < deadline, f"nobody answers at {port}:\n{self.log()[-3000:]}"
            time.sleep(0.02)

    def name(self, port: int) -> str:
        """Of a gateway, as its log says it."""
        lines = (self.folder / f"{port}.log").read_text().splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{")]
        return [str(event["replica"]) for event in events if event["event"] == "fleet.joined"][-1]

    def log(self) -> str:
        """Of both gateways."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def _haproxy(self) -> None:
        gateways = [each for port in self.ports for each in ("--gateway", f"127.0.0.1:{port}")]
        written = CliRunner().invoke(cli, ["edge", "haproxy", "--listen", f"127.0.0.1:{self.port}", *gateways])
        assert written.exit_code == 0, written.output
        file = self.folder / "haproxy.cfg"
        text = written.output
        for ours, here in (("balance leastconn", "balance roundrobin"), ("inter 1s", "inter 100ms")):
            assert ours in text
            text = text.replace(ours, here)
        file.write_text(text)
        with (self.folder / "haproxy.out").open("wb") as out:
            started = subprocess.Popen([_program("haproxy"), "-db", "-f", str(file)], stdout=out, stderr=out)
        self._end(started)
        self._until_ready(self.port)

    def kill(self, port: int) -> None:
        """As `kill -9` does."""
        self.replicas[port].kill()
        self.replicas[port].wait(PATIENCE)

    def close(self) -> None:
        for port, replica in self.replicas.items():
            if replica.poll() is None:
                self.kill(port)

    @staticmethod
    def key_id(key: str) -> str:
        return f"key-{key[3:11]}"

    def key(self, rpm: int | None = None, concurrent: int | None = None) -> str:
        """A new virtual key, in the ledger."""
        database = Database(self.postgres.url)
        database.open()
        try:
            store, key = KeyStore(database), new_key()
            row = KeyRow(id=self.key_id(key), name="app", rpm=rpm, concurrent=concurrent)
            store.create(row, keyed_hash(store.secret(), key), actor="test")
        finally:
            database.close()
        return key


async def _status(port: int) -> int:
    try:
        reader = await ask(port, "/readyz", None, method="GET")
    except OSError:
        return 0
    return reader.status


async def admin(port: int, path: str, method: str = "GET") -> Reader:
    """As the admin."""
    return await ask(port, path, None, bearing(ADMIN), method)
