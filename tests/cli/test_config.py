"""cli/config.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Command
from tidegate.config import example
from tidegate.policy.keys import hash_key, new_key

UPSTREAM = '[[upstream]]\nname = "main"\nbase_url = "http://127.0.0.1:8000/v1"\n'


def test_a_good_file_is_said_to_be_good(command: Command) -> None:
    key = f'[[auth.key]]\nid = "a"\nhash = "{hash_key(new_key())}"\n'
    Path("x.toml").write_text(UPSTREAM + key)
    result = command("config", "check", "x.toml")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "x.toml: good (1 upstream, 1 key, no anonymous clients)\n"


def test_the_file_is_tidegate_toml_unless_named(command: Command) -> None:
    assert command("config", "check").stderr == (
        "tidegate: tidegate.toml: no such file; make one with: tidegate config example > tidegate.toml\n"
    )


def test_a_typo_is_named_with_file_line_key_and_the_nearest_right_name(command: Command) -> None:
    Path("tidegate.toml").write_text("[stream]\n\nidle_timout = 5\n" + UPSTREAM)
    result = command("config", "check")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        'tidegate: tidegate.toml:3: unknown key "idle_timout" in [stream]; did you mean "idle_timeout"?\n'
    )


def test_every_mistake_has_its_line(command: Command) -> None:
    Path("tidegate.toml").write_text("[stream]\nidle_timout = 5\n[server]\nport = -1\n")
    assert command("config", "check").stderr.count("\n") == 2


def test_a_gateway_that_nobody_can_use_is_warned_about(command: Command) -> None:
    Path("tidegate.toml").write_text(f'[ledger]\nurl = "off"\n{UPSTREAM}')
    result = command("config", "check")
    assert result.exit_code == 0
    assert result.stderr == (
        "tidegate: tidegate.toml: warning: nobody can use this gateway: there is no [[auth.key]] "
        "(make one with: tidegate keys hash), no ledger to keep keys in, and [auth] anonymous is false\n"
    )


def test_keys_of_the_ledger_may_use_a_gateway_without_others(command: Command) -> None:
    Path("tidegate.toml").write_text(UPSTREAM)
    assert command("config", "check").stderr == ""


def test_a_gateway_that_everybody_can_use_is_warned_about(command: Command) -> None:
    Path("tidegate.toml").write_text(f'[server]\nhost = "0.0.0.0"\n[auth]\nanonymous = true\n{UPSTREAM}')
    result = command("config", "check")
    assert result.exit_code == 0
    assert result.stderr == (
        "tidegate: tidegate.toml: warning: anyone who can reach 0.0.0.0 can use your models: "
        "[auth] anonymous is true and the address is not loopback\n"
    )


def test_the_example_is_printed_and_passes_the_check(command: Command) -> None:
    result = command("config", "example")
    assert result.stdout == example()
    Path("tidegate.toml").write_text(result.stdout)
    checked = command("config", "check")
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert checked.stdout == "tidegate.toml: good (1 upstream, 0 keys, anonymous clients welcome)\n"


def test_the_exit_status_of_the_real_program_is_2() -> None:
    Path("bad.toml").write_text("[strem]\n")
    result = subprocess.run(
        [sys.executable, "-m", "tidegate", "config", "check", "bad.toml"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "tidegate: bad.toml:1: unknown section [strem]; did you mean [stream]?\n"
