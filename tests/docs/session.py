"""One page's shell: a bash that lives as long as the page, and servers that a reader would leave in other terminals."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

__all__ = ["Session"]

SERVERS = re.compile(r"^(?:[A-Z_]+=\S+ )*(?P<program>tidegate serve|tidegate simulate|uvicorn)\b")
READY = re.compile(r"(?:ready|running on)[^\n]*?https?://127\.0\.0\.1:(\d+)")
DEFAULT_PORTS = {"tidegate serve": "8080", "tidegate simulate": "8000", "uvicorn": "8000"}
SECONDS = 120.0


class Session:
    """Commands run one after the other in ``folder``.

    :param addresses: host and port, as they stand on the page, to where the test has it. Servers that the page itself
        starts listen on a free port, and are added.
    """

    def __init__(self, folder: Path, addresses: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.addresses = dict(addresses)
        programs = Path(sys.executable).parent
        self._environment = {
            **{name: os.environ[name] for name in ("HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ},
            "PATH": f"{programs}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONUNBUFFERED": "1",
            # What a page writes into the user's data folder is its own, and not of whoever runs the tests.
            "XDG_DATA_HOME": str(folder / ".data"),
            **environment,
        }
        self._servers: list[subprocess.Popen[bytes]] = []
        self._bash = self._start(["bash", "--norc", "--noprofile"], stdin=subprocess.PIPE)

    def here(self, text: str) -> str:
        """The text with every address in it replaced."""
        for shown, real in self.addresses.items():
            text = text.replace(shown, real)
        return text

    def there(self, text: str) -> str:
        """Output with the page's addresses put back."""
        for shown, real in self.addresses.items():
            text = text.replace(real, shown)
        return text

    def run(self, command: str) -> tuple[int, str]:
        """Exit status and output (both streams) of a command; a server's until it is ready."""
        server = SERVERS.match(command)
        if server is not None and "--list" not in command and "--help" not in command:
            return self._serve(command, server["program"])
        (self.folder / ".command").write_text(self.here(command) + "\n")
        assert self._bash.stdin is not None
        self._bash.stdin.write(b". ./.command </dev/null\nprintf '\\n\\036%s\\036\\n' $?\n")
        self._bash.stdin.flush()
        output, status = self._read(self._bash, re.compile(r"\n\036(\d+)\036\n"))
        return int(status[1]), self.there(output)

    def close(self) -> None:
        """End everything that was started."""
        for process in (self._bash, *self._servers):
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait(60)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _serve(self, command: str, program: str) -> tuple[int, str]:
        port = re.search(r"--port (\d+)", command)
        shown = port[1] if port is not None else DEFAULT_PORTS[program]
        command = re.sub(r"--port \d+", "", self.here(command))
        process = self._start(["bash", "-c", f"{command} --port 0"])
        self._servers.append(process)
        output, ready = self._read(process, READY)
        for stale in [name for name in self.addresses if f"127.0.0.1:{shown}" in name]:
            del self.addresses[stale]
        self.addresses[f"127.0.0.1:{shown}"] = f"127.0.0.1:{ready[1]}"
        if program != "tidegate simulate" and self._bash.stdin is not None:
            # As a service manager knows it.
            self._bash.stdin.write(f"export GATEWAY_PID={process.pid}\n".encode())
        return 0, self.there(output + ready[0])

    def _start(self, command: list[str], stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment,
            bufsize=0,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @staticmethod
    def _read(process: subprocess.Popen[bytes], until: re.Pattern[str]) -> tuple[str, re.Match[str]]:
        """The output before ``until``, and what it matched."""
        assert process.stdout is not None
        said, deadline = b"", time.monotonic() + SECONDS
        while (found := until.search(text := said.decode(errors="replace"))) is None:
            wait = deadline - time.monotonic()
            if wait <= 0 or not select.select([process.stdout], [], [], wait)[0]:
                raise AssertionError(f"not ready after {SECONDS:g} s; so far: {text}")
            data = os.read(process.stdout.fileno(), 65536)
            assert data, f"it ended: {text}"
            said += data
        return text[: found.start()], found
