"""bench/link.py: links of the kernel's own where it gives them, and a reason where it does not."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from tidegate.bench.link import NoLink, links


def test_what_is_sent_to_a_phone_passes_a_device_that_the_kernel_slows_down() -> None:
    try:
        with links(2) as (first, second):
            rules = [
                subprocess.run(["tc", "qdisc", "show", "dev", link.device], capture_output=True, text=True, check=True)
                for link in (first, second)
            ]
            for rule, link in zip(rules, (first, second), strict=True):
                assert "rate 400Kbit" in rule.stdout
                assert ("netem" in rule.stdout) is (link.shaped == "400 kbit/s, 150 ms")
                assert "no netem" in link.shaped or "150" in link.shaped
            with second.socket() as phone, first_listener(first.outside) as listener:
                phone.settimeout(30.0)
                phone.connect(listener.getsockname())
                ours, peer = listener.accept()
                before = second.sent
                with ours:
                    ours.sendall(b"x" * 4000)
                    got = b""
                    while len(got) < 4000:
                        got += phone.recv(4000)
                assert peer[0] == "198.18.1.2", "the phone has an address of its own"
                assert second.sent - before >= 4000 + 3 * 54
            spaces = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
            assert first.space in spaces
    except NoLink as reason:
        pytest.skip(f"no link can be made here: {reason}")
    left = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert f"tidegate-{os.getpid()}-" not in left
    assert not Path(f"/sys/class/net/{first.device}").exists()


def first_listener(address: str) -> socket.socket:
    return socket.create_server((address, 0))


def pretend(folder: Path, monkeypatch: pytest.MonkeyPatch, **programs: str) -> None:
    """Programs of these names in place of the system's."""
    for name, script in programs.items():
        file = folder / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ({}, "There is no program `ip`"),
        ({"ip": ""}, "There is no program `tc`"),
        (
            {"ip": "echo 'mount failed: Operation not permitted.' >&2; exit 1", "tc": ""},
            "not permitted. It takes Linux",
        ),
        ({"ip": "exit 3", "tc": ""}, "netns add .*failed: exit 3. It takes Linux, and root."),
        ({"ip": "", "tc": "echo unknown >&2; exit 2"}, "neither netem nor tbf .unknown.."),
    ],
)
def test_where_there_can_be_none_it_says_why(
    programs: dict[str, str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path, monkeypatch, **programs)
    with pytest.raises(NoLink, match=reason), links(1):
        raise AssertionError("there is one")


@pytest.mark.parametrize(
    ("script", "shaped"), [("", "400 kbit/s, 150 ms"), ("case $* in *netem*) exit 2;; esac", "no delay.*has no netem")]
)
def test_how_it_is_slowed_down_is_said(
    script: str, shaped: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel without netem limits the rate, and delays nothing."""
    pretend(tmp_path, monkeypatch, ip="", tc=script)
    with links(1) as (link,):
        assert re.search(shaped, link.shaped)
        with pytest.raises(NoLink, match=r"No socket in a network namespace: .*No such file"):
            link.socket()
