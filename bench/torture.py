"""``tidegate torture`` against the gateways: each set up as its documentation says, its timeouts below the patience.

Every gateway gets the same cases from the same lying model server. One process at a time; minutes, not seconds.
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.measure import process
from bench.relays import RELAYS, Launch, Unavailable, peer_home
from bench.rig import free_port

__all__ = ["GATEWAYS", "markdown", "run"]

GATEWAYS = ("tidegate", "nginx", "vllm-router", "litellm")
PATIENCE = 10
TIDEGATE = """\
[auth]
anonymous = true
[stream]
first_token_timeout = 2.0
idle_timeout = 2.0
retry_delay = 0.1
[[upstream]]
name = "lying"
base_url = "http://127.0.0.1:{upstream}/v1"
api_keys = ["sk-torture-gateway-0123456789"]
"""


def launch(name: str, port: int, upstream: int, folder: Path) -> Launch:
    """As in the benchmark, with time limits that a person would not mind waiting for."""
    relay = RELAYS[name]
    assert relay.launch is not None
    found = relay.launch(port, upstream, folder)
    if name == "tidegate":
        config = folder / "tidegate.toml"
        config.write_text(TIDEGATE.format(upstream=upstream))
        argv = [sys.executable, "-m", "tidegate", "serve", "--config", str(config), "--port", str(port)]
        return dataclasses.replace(found, argv=argv)
    if name == "nginx":
        config = folder / "nginx.conf"
        text = config.read_text()
        config.write_text(text.replace("proxy_buffering off;", "proxy_buffering off;\n      proxy_read_timeout 3s;"))
    if name == "vllm-router":
        more = ["--request-timeout-secs", "5", "--disable-retries", "--disable-circuit-breaker"]
        return dataclasses.replace(found, argv=[*found.argv, *more, "--health-check-interval-secs", "600"])
    if name == "litellm":
        config = folder / "litellm.yaml"
        text = config.read_text().replace("api_key: none", "api_key: sk-torture-gateway-0123456789")
        config.write_text(text.replace("num_retries: 0", "num_retries: 0\n  request_timeout: 3") + ROUTER)
    return found


ROUTER = """\
router_settings:
  disable_cooldowns: true
"""


def version(name: str) -> str:
    """Of the gateway, as it says itself."""
    if name == "tidegate":
        from tidegate import __version__

        return __version__
    if name == "nginx":
        said = subprocess.run(["/usr/sbin/nginx", "-v"], capture_output=True, text=True, check=False).stderr
        found = re.search(r"nginx/(\S+)", said)
        return found[1] if found else "?"
    python = peer_home() / name / "bin" / "python"
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout.strip() or "?"


def torture(name: str) -> dict[str, Any]:
    """All cases through one gateway. Those that hung are played once more, and the second time counts: a machine that
    was busy for ten seconds must not speak against a gateway.

    :raises Unavailable: it is not installed, or does not start.
    """
    result = played(name, [])
    hung = [case["case"] for case in result["results"] if case["outcome"] == "hang"]
    if hung:
        again = {case["case"]: case for case in played(name, hung)["results"]}
        result["results"] = [again.get(case["case"], case) for case in result["results"]]
        result["honest"] = sum(case["honest"] for case in result["results"])
    return {**result, "gateway": name, "version": version(name), "played twice": hung}


def played(name: str, only: list[str]) -> dict[str, Any]:
    """The report of ``tidegate torture``."""
    port, upstream = free_port(), free_port()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        started = launch(name, port, upstream, folder)
        command = [sys.executable, "-m", "tidegate", "torture", f"http://127.0.0.1:{port}", "--json", "-"]
        command += ["--upstream-port", str(upstream), "--model", "bench", "--patience", str(PATIENCE)]
        for case in only:
            command += ["--only", case]
        # Routers ask the model server before they listen, so it has to be there first; the suite waits for both.
        suite = subprocess.Popen([*command, "--recovery", "150"], stdout=subprocess.PIPE, text=True)
        try:
            with process(started.argv, started.environ, folder / f"{name}.log"):
                out, _ = suite.communicate(timeout=1800)
        finally:
            suite.kill()
            suite.wait()
    try:
        found: dict[str, Any] = json.loads(out)
    except ValueError:
        raise Unavailable("the suite could not be played: the gateway never passed on a good answer") from None
    return found


def run(names: tuple[str, ...] = GATEWAYS) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """What each made of it, and which could not be tried and why."""
    from bench.run import progress

    results, missing = [], {}
    for name in names:
        progress(f"torture: {name}")
        try:
            results.append(torture(name))
        except (Unavailable, OSError) as error:
            missing[name] = str(error)
            progress(f"{name}: {error}")
    return results, missing


def markdown(results: list[dict[str, Any]], missing: dict[str, str]) -> str:
    """A row per case, a column per gateway; what is not honest in bold."""
    heads = [f"{one['gateway']} {one['version']}" for one in results]
    lines = [f"| case | an honest gateway | {' | '.join(heads)} |", "|---|---|" + "---|" * len(heads)]
    totals = [f"**{one['honest']} of {one['cases']}**" for one in results]
    lines.append(f"| **honest** | | {' | '.join(totals)} |")
    by_case = [{case["case"]: case for case in one["results"]} for one in results]
    for case in results[0]["results"] if results else ():
        cells = [_cell(cases[case["case"]]) for cases in by_case]
        lines.append(f"| `{case['case']}` | {case['wanted']} | {' | '.join(cells)} |")
    lines += [f"\nNot tried: {name}: {why}" for name, why in missing.items()]
    return "\n".join(lines) + "\n"


def _cell(case: dict[str, Any]) -> str:
    text = case["outcome"].replace("_", " ") + (f" ({case['detail']})" if case["detail"] else "")
    return text if case["honest"] else f"**{text}**"
