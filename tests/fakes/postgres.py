"""A PostgreSQL of the test's own: a cluster in a folder, on a free port, that can be killed and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
from pathlib import Path

__all__ = ["Postgres"]


class Postgres:
    """Debian's server programs, run as an unprivileged user, because root may not run them."""

    def __init__(self, folder: Path) -> None:
        self._programs = _programs()
        self.folder = folder
        self._out = folder.parent / "out"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._user = "postgres" if os.geteuid() == 0 else None
        folder.mkdir(parents=True)
        if self._user is not None:
            # pytest's folders are root's alone: the server needs to pass through them.
            for parent in folder.parents:
                if parent.stat().st_uid == 0 and parent != Path("/"):
                    parent.chmod(parent.stat().st_mode | 0o711)
            owner = pwd.getpwnam(self._user)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        self._run("initdb", "-D", folder / "data", "-U", "tidegate", "--auth=trust", "-E", "UTF8", "--no-sync")

    @property
    def url(self) -> str:
        return f"postgresql://tidegate@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Until connections are taken."""
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.folder}"
        self._run(
            "pg_ctl", "-D", self.folder / "data", "-w", "-t", "60", "-o", options, "-l", self.folder / "log", "start"
        )

    def stop(self) -> None:
        """In an orderly way, without waiting for clients."""
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "-m", "fast", "stop")

    def kill(self) -> None:
        """As a crash of the machine would."""
        pid = int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop", check=False)

    def close(self) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop", check=False)

    def _run(self, program: str, *arguments: object, check: bool = True) -> None:
        command = [str(self._programs / program), *map(str, arguments)]
        # Into a file: a pipe would be held open by the server that stays behind.
        with self._out.open("ab") as out:
            done = subprocess.run(
                command,
                user=self._user,
                cwd=self.folder,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=120,
                check=False,
            )
        if check and done.returncode != 0:
            raise AssertionError(f"{program} failed:\n{self._out.read_text()[-2000:]}")


def _programs() -> Path:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    newest = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None)
    assert newest is not None, "PostgreSQL is not installed: scripts/debian-packages postgresql"
    return newest
