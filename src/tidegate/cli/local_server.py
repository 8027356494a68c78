"""The child process of ``tidegate serve --local``: ``python -m tidegate.cli.local_server WEIGHTS NAME``.

Standard input brings the key that it asks its clients for, on one line; standard output gets its URL once the model is
loaded. It stops when standard input ends: a parent that was killed leaves no model behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

__all__ = ["main"]

CONTEXT: Final = 4096
"""Tokens of prompt and answer together, shared by the slots."""

SLOTS: Final = 2
"""Answers at the same time; further ones wait inside the model server."""

PR_SET_PDEATHSIG: Final = 1
"""``prctl(2)``: the signal that comes when the parent is gone."""


def main(weights: str, name: str) -> None:
    """Serve until standard input ends.

    :param weights: the GGUF file.
    :param name: what the model is called in requests.
    """
    live_as_long_as_the_parent()
    key = sys.stdin.readline().strip()
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.model_alias = {name}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = CONTEXT
    params.n_parallel = SLOTS
    params.use_jinja = True
    # One: with two threads on two cores the model collapses under load, and takes the gateway's core.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    # Only the gateway may use it: its own pages and lists would show one client's prompts to another.
    params.api_keys = [key]
    params.ui = params.endpoint_slots = params.endpoint_props = False
    params.offline = True
    # MiB kept of earlier prompts, 8192 unless told.
    params.cache_ram_mib = 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    # Nobody reads its log from here on, and a full pipe would stop it.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.stdin.read()
    # The server's threads do not end by themselves.
    os._exit(0)


def live_as_long_as_the_parent() -> None:
    """The parent alone decides when this process ends.

    Ctrl-C, a closed terminal and a service manager signal every process of the group, and the parent still has answers
    to finish. Loading holds the interpreter's lock, so that no thread sees standard input end: hence the kernel's help.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
