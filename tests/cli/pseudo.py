"""A program at a pseudo-terminal, and the screen that a person would see."""

from __future__ import annotations

import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pyte

__all__ = ["Terminal", "terminal"]


class Terminal:
    """80 x 24."""

    def __init__(self, process: subprocess.Popen[bytes], master: int, columns: int, lines: int) -> None:
        self.process = process
        self.raw = b""
        self._master = master
        self._screen = pyte.HistoryScreen(columns, lines, history=5000, ratio=0.5)
        self._screen.write_process_input = self.type  # type: ignore[method-assign,assignment]
        self._stream: Any = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> list[str]:
        """What is on the screen."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def all(self) -> str:
        """With what has scrolled off."""
        width = self._screen.columns
        above = ["".join(line[x].data for x in range(width)).rstrip() for line in self._screen.history.top]
        return "\n".join(above + self.lines)

    def type(self, text: str) -> None:
        """Keys."""
        os.write(self._master, text.encode())

    def until(self, true: Callable[[], bool] | str, seconds: float = 60.0) -> None:
        """Read until a text is on the screen, or something is true."""
        deadline = time.monotonic() + seconds
        while not (true in self.all if isinstance(true, str) else true()):
            assert time.monotonic() < deadline, f"not there: {true}\n" + "\n".join(self.lines)
            self._read()

    def ask(self, text: str) -> None:
        """Type at a prompt, once there is one: before that the keys would go elsewhere."""
        self.until(lambda: next((line for line in reversed(self.lines) if line), "") == "›")
        self.type(text)

    def ended(self, seconds: float = 60.0) -> int:
        """Its exit code, once it has ended."""
        self.until(lambda: self.process.poll() is not None, seconds)
        while self._read():
            pass
        return int(self.process.returncode)

    def resize(self, columns: int, lines: int) -> None:
        """As a person drags the window."""
        _set_size(self._master, columns, lines)
        self._screen.resize(lines, columns)
        self.process.send_signal(signal.SIGWINCH)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 0.05)
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux: the other end is closed
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)


def _set_size(number: int, columns: int, lines: int) -> None:
    ioctl(number, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@contextmanager
def terminal(*arguments: str, home: Path, columns: int = 80, lines: int = 24) -> Iterator[Terminal]:
    """``tidegate`` with the arguments at a terminal of its own; killed at the end if it still lives."""
    master, slave = pty.openpty()
    _set_size(slave, columns, lines)
    environment = {**os.environ, "TERM": "xterm-256color", "XDG_STATE_HOME": str(home), "HOME": str(home)}
    for name in ("COLUMNS", "LINES"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-m", "tidegate", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: ioctl(0, termios.TIOCSCTTY, 0) and None,
    )
    os.close(slave)
    try:
        yield Terminal(process, master, columns, lines)
    finally:
        process.kill()
        process.wait(60)
        os.close(master)
