"""cli/safety.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command

TEXT = "Mail bob@example.com, or call +44 20 7946 0958.\n"


def test_a_text_is_shown_as_a_reader_would_get_it(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "answer.txt"
    file.write_text(TEXT)
    result = command("safety", "test", str(file))
    assert result.exit_code == 0
    assert result.stdout == "Mail [EMAIL], or call +44 20 7946 0958.\n"
    assert "email                        redact  at 5, 15 characters, " in result.stderr
    assert result.stderr.endswith("1 × email\n")


def test_stdin_and_another_profile(command: Command) -> None:
    result = command("safety", "test", "-", "--profile", "strict", stdin=TEXT.strip())
    assert result.stdout == "Mail [EMAIL], or call [PHONE].\n"


@pytest.mark.parametrize("do", ["test", "bench"])
def test_a_profile_of_ones_own_is_read_from_the_configuration(command: Command, tmp_path: Path, do: str) -> None:
    """It needs no upstream; without the file the profile is not known."""
    file = tmp_path / "tidegate.toml"
    file.write_text('[safety.profile.mine]\nrules = ["phone"]\n')
    result = command("safety", do, "-", "--config", str(file), "--profile", "mine", stdin=TEXT)
    assert result.exit_code == 0
    if do == "test":
        assert result.stdout == "Mail bob@example.com, or call [PHONE].\n"
    else:
        assert "rules     1," in result.stdout
    unknown = command("safety", do, "-", "--profile", "mine", stdin=TEXT)
    assert unknown.exit_code == 2
    assert "there are off, default, strict" in unknown.output


def test_the_value_is_nowhere_when_it_is_quiet(command: Command) -> None:
    result = command("safety", "test", "-", "--quiet", stdin=TEXT)
    assert "bob" not in result.output
    assert result.stdout.startswith("email ")


@pytest.mark.parametrize(("text", "code"), [(TEXT, 1), ("nothing here\n", 0)])
def test_a_check_fails_when_something_was_found(command: Command, text: str, code: int) -> None:
    result = command("safety", "test", "-", "--check", stdin=text)
    assert result.exit_code == code


def test_a_profile_without_rules_changes_nothing(command: Command) -> None:
    for options in (("--profile", "off"), ("--channel", "input")):
        result = command("safety", "test", "-", *options, stdin=TEXT)
        assert result.stdout == TEXT
        assert result.stderr == "nothing found\n"
    assert "default has no rules for input" in command("safety", "bench", "-", "--channel", "input", stdin=TEXT).stdout


def test_a_profile_that_is_not_there_is_an_error(command: Command) -> None:
    result = command("safety", "test", "-", "--profile", "stict", stdin=TEXT)
    assert result.exit_code == 2
    assert "there is no profile of that name; there are off, default, strict" in result.stderr


def test_a_bench_measures(command: Command) -> None:
    result = command("safety", "bench", "-", "--profile", "strict", stdin=TEXT * 20)
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["rules", "text", "new", "known", "held"]
    assert command("safety", "bench", "-", stdin="").exit_code == 2


def test_every_rule_is_listed(command: Command) -> None:
    lines = command("safety", "rules").stdout.splitlines()
    assert len(lines) > 120
    assert any(line.split() == ["email", "[EMAIL]"] for line in lines)
