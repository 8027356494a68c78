"""scripts/python: the interpreter that the project is set up with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "python"

CHOICE = """\
#!/bin/sh
case "$2" in
*version_info*) {version} ;;
*maps*) exit {shared} ;;
esac
"""


def fake(path: Path, *, version: str, shared: bool) -> None:
    """An interpreter that answers what the script asks of one."""
    says = f"echo {version}" if version else "exit 1"
    path.parent.mkdir(exist_ok=True)
    path.write_text(CHOICE.format(version=says, shared=int(not shared)))
    path.chmod(0o755)


def chosen(tmp_path: Path) -> str:
    script = tmp_path / "choose"
    script.write_text(SCRIPT.read_text().replace("/usr/bin/python3", str(tmp_path / "debian" / "python3")))
    environment = {"PATH": os.pathsep.join((str(tmp_path / "own"), "/usr/bin", "/bin"))}
    return subprocess.run(
        ["sh", str(script)], env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.parametrize(
    ("own", "debian", "takes_debian"),
    [
        (("3 11", True), ("3 11", False), True),
        (("3 11", False), ("3 11", False), False),
        (("3 11", True), ("3 11", True), False),
        (("3 13", True), ("3 11", False), False),
        (("3 11", True), ("", False), False),
        (("", True), ("3 11", False), False),
    ],
    ids=["a slower build", "as fast", "as slow", "a newer one", "Debian's cannot make a venv", "it cannot"],
)
def test_only_the_same_version_in_a_faster_build_is_taken_instead(
    own: tuple[str, bool], debian: tuple[str, bool], takes_debian: bool, tmp_path: Path
) -> None:
    fake(tmp_path / "own" / "python3", version=own[0], shared=own[1])
    fake(tmp_path / "debian" / "python3", version=debian[0], shared=debian[1])
    assert chosen(tmp_path) == (str(tmp_path / "debian" / "python3") if takes_debian else "python3")
