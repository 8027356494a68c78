"""deploy/: as much as can be checked without an engine or a cluster. deploy/README.md says what was not run."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.gateway import rig, run
from tests.fakes.limited import gate
from tests.fakes.reader import Reader, ask
from tidegate import __version__
from tidegate.config import load

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
ENVIRON = {
    "LLM_API_KEY": "sk-any",
    "KEY_SECRET": "any",
    "LEDGER_URL": "postgresql://tidegate:any@postgres/tidegate",
    "REDIS_URL": "redis://redis:6379/0",
}


def documents(*names: str) -> list[dict[str, Any]]:
    return [yaml.safe_load((DEPLOY / name).read_text()) for name in names]


def test_the_configuration_is_good() -> None:
    options = load(str(DEPLOY / "tidegate.toml"), ENVIRON)
    assert options.server.host == "0.0.0.0"
    assert not options.auth.anonymous
    assert (DEPLOY / "kubernetes" / "tidegate.toml").read_text() == (DEPLOY / "tidegate.toml").read_text()


class TestImage:
    lines = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()

    def of(self, instruction: str) -> list[str]:
        return [line.removeprefix(instruction).strip() for line in self.lines if line.startswith(f"{instruction} ")]

    def test_what_it_copies_is_there_and_not_ignored(self) -> None:
        kept = {
            line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
        }
        copied = [word for line in self.of("COPY") if "--from" not in line for word in line.split()[:-1]]
        assert copied
        for name in copied:
            assert (ROOT / name).exists()
            assert name.partition("/")[0] in kept

    def test_its_stages_refer_to_each_other(self) -> None:
        stages = [line.partition(" AS ")[2] for line in self.of("FROM")]
        assert stages == ["page", "build", ""]
        assert set(re.findall(r"--from=(\w+)", "\n".join(self.lines))) == {"page", "build"}

    def test_it_installs_extras_that_exist(self) -> None:
        extras = re.search(r"'\.\[([\w,]+)\]'", "\n".join(self.lines))
        assert extras is not None
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(extras[1].split(",")) <= set(known)

    def test_it_runs_as_nobody_in_particular(self) -> None:
        assert self.of("USER") == ["10001"]
        last = max(place for place, line in enumerate(self.lines) if line.startswith("FROM"))
        assert "USER 10001" in self.lines[last:]

    def test_its_health_check_is_one(self) -> None:
        (line,) = [line for line in self.lines if line.startswith("HEALTHCHECK")]
        program, *arguments = json.loads(line.partition("CMD")[2])
        assert program == "python"

        async def case() -> None:
            async with rig() as found:
                for port, healthy in ((found.port, True), (1, False)):
                    command = [each.replace(":8080", f":{port}") for each in arguments]
                    # The image has a `python`; here it may be called otherwise.
                    done = await asyncio.to_thread(
                        subprocess.run, [sys.executable, *command], capture_output=True, check=False
                    )
                    assert (done.returncode == 0) is healthy, done.stderr

        run(case())


def test_compose_has_its_files_and_variables() -> None:
    (compose,) = documents("compose.yaml")
    text = (DEPLOY / "compose.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+)", text)) == set(
        re.findall(r"^(\w+)=", (DEPLOY / "example.env").read_text(), re.M)
    )
    named = set(compose["volumes"])
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in named or (DEPLOY / source).exists()
        for other in service.get("depends_on", ()):
            assert other in compose["services"]
    gateway = compose["services"]["gateway"]
    assert gateway["read_only"]
    assert set(ENVIRON) == set(gateway["environment"])
    options = load(str(DEPLOY / "tidegate.toml"), ENVIRON)
    assert float(gateway["stop_grace_period"].removesuffix("s")) > options.server.drain_timeout + 5
    (prometheus,) = documents("prometheus.yaml")
    (target,) = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target == f"gateway:{options.server.port}"


class TestKubernetes:
    (deployment, service, budget) = documents(
        *(f"kubernetes/{name}.yaml" for name in ("deployment", "service", "disruption"))
    )
    pod = deployment["spec"]["template"]["spec"]
    gateway = pod["containers"][0]

    def test_kustomize_builds_it(self) -> None:
        program = shutil.which("kubectl")
        if program is None:
            pytest.skip("kubectl is not installed")
        done = subprocess.run(
            [program, "kustomize", str(DEPLOY / "kubernetes")], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        kinds = sorted(document["kind"] for document in yaml.safe_load_all(done.stdout))
        assert kinds == ["ConfigMap", "Deployment", "PodDisruptionBudget", "Service"]
        assert f"image: tidegate:{__version__}" in done.stdout

    def test_a_pod_is_left_time_to_drain(self) -> None:
        options = load(str(DEPLOY / "tidegate.toml"), ENVIRON)
        pause = int(self.gateway["lifecycle"]["preStop"]["exec"]["command"][1])
        assert self.pod["terminationGracePeriodSeconds"] >= pause + options.server.drain_timeout + 5
        assert pause > self.gateway["readinessProbe"]["periodSeconds"]

    def test_the_probes_ask_what_the_gateway_answers(self) -> None:
        async def case() -> None:
            async with rig() as found:
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    path = self.gateway[probe]["httpGet"]["path"]
                    assert (await ask(found.port, path, None, method="GET")).status == 200
                found.gateway.relay.draining = True
                path = self.gateway["readinessProbe"]["httpGet"]["path"]
                assert (await ask(found.port, path, None, method="GET")).status == 503

        run(case())

    def test_everything_is_about_the_same_pods(self) -> None:
        labels = self.deployment["spec"]["template"]["metadata"]["labels"]
        assert self.deployment["spec"]["selector"]["matchLabels"] == labels
        assert self.service["spec"]["selector"] == labels
        assert self.budget["spec"]["selector"]["matchLabels"] == labels
        assert self.budget["spec"]["minAvailable"] < self.deployment["spec"]["replicas"]
        mounted = {mount["name"] for mount in self.gateway["volumeMounts"]}
        assert mounted == {volume["name"] for volume in self.pod["volumes"]}

    def test_nothing_runs_as_root(self) -> None:
        assert self.pod["securityContext"]["runAsNonRoot"]
        own = self.gateway["securityContext"]
        assert own["readOnlyRootFilesystem"]
        assert not own["allowPrivilegeEscalation"]
        assert own["capabilities"]["drop"] == ["ALL"]


class TestUnit:
    unit = DEPLOY / "systemd" / "tidegate.service"

    def analyzed(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        program = shutil.which("systemd-analyze")
        if program is None:
            pytest.skip("systemd-analyze is not installed")
        # The program that it starts is not installed where the unit says.
        copy = folder / "tidegate.service"
        copy.write_text(self.unit.read_text().replace("/opt/tidegate/bin/tidegate", "/bin/true"))
        return subprocess.run([program, *arguments, str(copy)], capture_output=True, text=True, check=False, timeout=60)

    def test_systemd_understands_it(self, tmp_path: Path) -> None:
        done = self.analyzed(tmp_path, "verify", "--man=no")
        told = [line for line in done.stderr.splitlines() if "tidegate.service" in line]
        assert (done.returncode, told) == (0, [])

    def test_it_is_locked_in(self, tmp_path: Path) -> None:
        """Exposure below 2.0 of 10; what is left is the network, which it is for."""
        done = self.analyzed(tmp_path, "security", "--offline=true", "--threshold=20")
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr

    def test_it_is_left_time_to_drain(self) -> None:
        stop = re.search(r"^TimeoutStopSec=(\d+)$", self.unit.read_text(), re.M)
        assert stop is not None
        assert int(stop[1]) >= 30 + 5


class TestDashboard:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "tidegate.json").read_text())

    def test_every_query_finds_its_metric_and_its_labels(self) -> None:
        """In the ``/metrics`` of a gateway that has streamed, failed, refused, been left and been paid for."""
        metrics: dict[str, set[str]] = {}

        async def case() -> None:
            async with gate() as found:
                key = (await found.key(rpm=5))["key"]
                for model in ("sim/priced?tokens=5", "sim/503-then-ok", "sim/503-then-ok"):
                    await found.ask(key, model)
                reader: Reader = await found.open(key)
                reader.hang_up()
                await found.rig.ended(4)
                while (await found.ask(key)).status != 429:
                    pass
                body = {"model": "sim/default", "input": "a"}
                admin = {"authorization": f"Bearer {(await found.key())['key']}"}
                await ask(found.rig.port, "/v1/embeddings", body, admin)
                text = ""
                for _ in range(200):
                    text = (await ask(found.rig.port, "/metrics", None, method="GET")).body.decode()
                    if "tidegate_cost_dollars_total{" in text:
                        break
                    await asyncio.sleep(0.05)
                for line in text.splitlines():
                    found_line = re.match(r"([a-z_]+)(?:\{(.*)\})? ", line)
                    if found_line:
                        labels = set(re.findall(r'(\w+)="', found_line[2] or ""))
                        metrics.setdefault(found_line[1], set()).update(labels)
                for name in re.findall(r"^# TYPE (\w+) gauge$", text, re.M):
                    metrics.setdefault(name, set())  # a ratio of nothing has no sample yet

        run(case())
        queries = [target["expr"] for panel in self.dashboard["panels"] for target in panel["targets"]]
        assert len(queries) > 15
        for query in queries:
            (name,) = re.findall(r"\(((?:tidegate|gen_ai|process)_[a-z_]+)", re.sub(r"by \(\w+\)", "", query))
            assert name in metrics, query
            for by in re.findall(r"by \((\w+)\)", query):
                assert by == "instance" or by in metrics[name], query  # Prometheus adds the instance

    def test_it_is_found_where_it_is_mounted(self) -> None:
        (source, provider) = documents(
            "grafana/provisioning/datasources/prometheus.yaml", "grafana/provisioning/dashboards/tidegate.yaml"
        )
        (compose,) = documents("compose.yaml")
        mounts = [volume.split(":")[1] for volume in compose["services"]["grafana"]["volumes"]]
        assert provider["providers"][0]["options"]["path"] in mounts
        uids = {panel["datasource"]["uid"] for panel in self.dashboard["panels"]}
        assert uids == {source["datasources"][0]["uid"]}


def test_the_readme_names_everything() -> None:
    text = (DEPLOY / "README.md").read_text()
    for each in ("Dockerfile", "compose.yaml", "tidegate.service", "kubernetes/", "grafana/"):
        assert each in text
