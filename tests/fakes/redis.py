"""Debian's redis-server on a socket of its own: started, stopped, killed and started again by a test."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

import redis

__all__ = ["RedisServer"]

PATIENCE = 20.0


class RedisServer:
    """Keeps nothing on disk: after a restart it is empty.

    :param folder: where its socket is; the path must be short (a socket's is at most 107 bytes).
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._path}"

    def start(self) -> None:
        """Until it answers."""
        program = shutil.which("redis-server") or "/usr/bin/redis-server"
        options = ["--port", "0", "--unixsocket", str(self._path), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [program, *options, "--dir", str(self._path.parent)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "redis-server did not start"
                time.sleep(0.01)

    def client(self) -> redis.Redis:
        """A client that waits, for a test to look inside."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def kill(self) -> None:
        """As `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def freeze(self) -> None:
        """It is there and says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
