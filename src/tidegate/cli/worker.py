"""The program of one worker, which :mod:`tidegate.workers.supervisor` starts: the descriptor of its link, then those of
each group of sockets, with commas. Nobody types it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import Final

__all__ = ["PROGRAM", "main"]

PROGRAM: Final = (sys.executable, "-m", "tidegate.cli.worker")


def main(arguments: Sequence[str]) -> int:
    """Serve until the supervisor says otherwise. Returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until the server has handlers of its own
    from tidegate.cli.serve import simulated_model
    from tidegate.server.run import run_loop
    from tidegate.workers.worker import work

    link, *groups = arguments
    inherited = [[int(descriptor) for descriptor in group.split(",")] for group in groups]
    return run_loop(work(int(link), inherited, background=[simulated_model]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
