"""cli/keys.py."""

from __future__ import annotations

import tomllib

import pytest

from tests.cli.conftest import Command
from tidegate.policy.keys import hash_key, new_key, well_formed


def test_a_new_key_is_shown_once_beside_its_table(command: Command) -> None:
    result = command("keys", "hash")
    assert result.exit_code == 0
    token = result.stderr.split("\n\n")[1]
    assert well_formed(token)
    assert tomllib.loads(result.stdout) == {"auth": {"key": [{"id": "my-app", "hash": hash_key(token)}]}}


def test_what_goes_to_the_file_never_holds_the_key(command: Command) -> None:
    assert "tg-" not in command("keys", "hash").stdout


def test_two_runs_make_two_keys(command: Command) -> None:
    assert command("keys", "hash").stdout != command("keys", "hash").stdout


def test_the_id_is_written_so_that_toml_reads_it(command: Command) -> None:
    table = tomllib.loads(command("keys", "hash", "--id", 'a "b" é').stdout)
    assert table["auth"]["key"][0]["id"] == 'a "b" é'


def test_a_key_that_exists_is_hashed_and_not_shown(command: Command) -> None:
    token = new_key()
    for result in (command("keys", "hash", token), command("keys", "hash", "-", stdin=f"{token}\n")):
        assert result.exit_code == 0
        assert hash_key(token) in result.stdout
        assert token not in result.output


@pytest.mark.parametrize(
    ("token", "line"),
    [
        ("short", "a key must be random and at least 32 characters, without spaces; without an argument this"),
        ("x" * 31 + " y", "a key must be random and at least 32 characters, without spaces; without an argument this"),
        ("tg-" + "x" * 49, "that tg-... key is not whole: its checksum is wrong; copy it again"),
        (hash_key("x"), "that is a hash already; put it into the file as it is"),
    ],
)
def test_what_cannot_be_a_key_is_refused_without_being_repeated(command: Command, token: str, line: str) -> None:
    result = command("keys", "hash", "-", stdin=token)
    assert result.exit_code == 2
    assert line in result.stderr
    assert token not in result.stderr


def test_no_key_on_stdin_is_no_key(command: Command) -> None:
    assert "a key must be random" in command("keys", "hash", "-", stdin="").stderr
