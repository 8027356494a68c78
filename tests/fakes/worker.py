"""Stands for a worker's program: it does what a file says, and writes down what it hears.

Its arguments are a folder, then those of every worker. In the folder, ``do`` is ``serve``, ``fail MESSAGE``,
``exit N``, ``wait`` (it is never ready), ``die N`` (once it is ready) or ``stay`` (whatever it is told).
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Any

from tidegate.workers.link import Link

__all__ = ["main"]


async def main(folder: Path, descriptor: int) -> int:
    """Returns the exit code."""
    what, _, more = (folder / "do").read_text().partition(" ")
    told = asyncio.Event()
    heard = folder / f"heard-{os.getpid()}"

    def hear(word: str, payload: Any = "") -> None:
        with heard.open("a") as file:
            file.write(f"{word} {payload}\n")
        if word in ("leave", "stop", "gone") and what != "stay":
            told.set()

    def setup(_: bytes) -> None:
        if what == "exit":
            os._exit(int(more))
        if what == "fail":
            link.tell("failed", more)
            told.set()
        elif what != "wait":
            link.tell("ready")
        if what == "die":
            asyncio.get_running_loop().call_later(0.05, os._exit, int(more))

    handlers = {word: lambda payload, word=word: hear(word, payload) for word in ("listen", "leave", "stop", "others")}
    link = await Link.over(
        socket.socket(fileno=descriptor), {**handlers, "setup": setup, "alive": lambda _: None}, lambda: hear("gone")
    )
    await told.wait()
    link.close()
    await link.closed()
    return 1 if what == "fail" else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]))))
