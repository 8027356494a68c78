"""cli/keys.py."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

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


class TestOfTheLedger:
    """Keys that are made at run time."""

    @pytest.fixture(autouse=True)
    def _ledger(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TIDEGATE_LEDGER__URL", f"sqlite:///{tmp_path / 'keys.db'}")

    def made(self, command: Command, *arguments: str) -> dict[str, Any]:
        result = command("keys", "create", "--name", "web", *arguments, "--json")
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def test_a_new_key_is_the_only_thing_on_stdout(self, command: Command) -> None:
        result = command("keys", "create", "--name", "web")
        assert result.exit_code == 0
        assert well_formed(result.stdout.strip())
        assert "(web)" in result.stderr
        assert "tg-" not in result.stderr

    def test_json_is_what_the_admin_api_tells(self, command: Command) -> None:
        made = self.made(
            command,
            *("--rpm", "5", "--tpm", "6", "--concurrent", "7", "--budget", "5.00/day", "--expires", "30d"),
            *("--model", "gpt-*", "--model", "small", "--tag", "team=search", "--tag", "app=x"),
            *("--on-disconnect", "drain", "--safety", "strict", "--admin"),
            *("--compression", "--obfuscation"),
        )
        assert made["object"] == "tidegate.key"
        assert (made["rpm"], made["tpm"], made["concurrent"]) == (5, 6, 7)
        assert made["budget"] == {"amount": 5.0, "currency": "USD", "period": "day"}
        assert made["models"] == ["gpt-*", "small"]
        assert made["tags"] == {"team": "search", "app": "x"}
        assert (made["on_disconnect"], made["safety"], made["admin"]) == ("drain", "strict", True)
        assert (made["compression"], made["obfuscation"]) == (True, True)
        told = {name: value for name, value in made.items() if name != "key"}
        assert json.loads(command("keys", "show", "web", "--json").stdout) == told
        assert json.loads(command("keys", "list", "--json").stdout) == {"object": "list", "data": [told]}

    def test_the_list_is_a_table_and_show_says_everything(self, command: Command) -> None:
        assert "There is no key yet" in command("keys", "list").stderr
        made = self.made(command, "--rpm", "5", "--budget", "0.5/week", "--tag", "team=search")
        self.made(command)
        head, first, second = command("keys", "list").stdout.splitlines()
        assert head.split() == ["ID", "NAME", "STATE", "RPM", "TPM", "STREAMS", "BUDGET", "EXPIRES", "TAGS"]
        assert first.split() == [made["id"], "web", "active", "5", "-", "-", "0.50/week", "-", "team=search"]
        assert second.split()[3:] == ["-"] * 6
        shown = command("keys", "show", made["id"]).stdout
        assert "tags:           team=search\n" in shown
        assert "budget:         0.50/week\n" in shown
        assert "tpm:            -\n" in shown
        assert "tg-" not in shown

    def test_rotation_prints_the_new_secret_alone(self, command: Command) -> None:
        made = self.made(command)
        result = command("keys", "rotate", "web", "--grace", "1h")
        assert well_formed(result.stdout.strip())
        assert result.stdout.strip() != made["key"]
        assert "The old one is good until" in result.stderr
        again = json.loads(command("keys", "rotate", made["id"], "--grace", "0s", "--json").stdout)
        assert again["previous_until"] is None
        assert well_formed(again["key"])

    def test_revocation_says_what_it_did(self, command: Command) -> None:
        made = self.made(command)
        assert command("keys", "revoke", "web", "--cut").stdout == (
            f"Revoked {made['id']} (web). Its live streams end now.\n"
        )
        assert json.loads(command("keys", "revoke", made["id"], "--json").stdout)["state"] == "revoked"

    @pytest.mark.parametrize(
        ("arguments", "exit_code", "line"),
        [
            (("create",), 2, "Missing option '--name'"),
            (("create", "--name", "x", "--budget", "5"), 2, "'budget' must be US dollars and a period"),
            (("create", "--name", "x", "--rpm", "0"), 2, "'rpm' must be a whole number of 1 or more"),
            (("create", "--name", "x", "--tag", "team"), 2, "must be a name and a value"),
            (("create", "--name", "x", "--expires", "soon"), 2, "'expires' must be a time from now"),
            (("create", "--name", "x", "--on-disconnect", "shout"), 2, "must be one of cancel, drain"),
            (("rotate", "x", "--grace", "long"), 2, "'grace' must be a time"),
            (("show", "nobody"), 1, "There is no key with the id or name 'nobody'."),
            (("revoke", "nobody"), 1, "There is no key with the id or name 'nobody'."),
        ],
    )
    def test_what_is_wrong_is_one_line(
        self, command: Command, arguments: tuple[str, ...], exit_code: int, line: str
    ) -> None:
        result = command("keys", *arguments)
        assert result.exit_code == exit_code
        assert line in result.stderr
        assert result.stderr.count("\n") == 1

    def test_without_a_ledger_there_is_nowhere_to_keep_keys(
        self, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TIDEGATE_LEDGER__URL", "off")
        result = command("keys", "list")
        assert (result.exit_code, "nowhere else to keep keys" in result.stderr) == (2, True)

    def test_a_ledger_that_cannot_be_reached_is_said(
        self, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("x")
        monkeypatch.setenv("TIDEGATE_LEDGER__URL", f"sqlite:///{tmp_path / 'file' / 'x.db'}")
        result = command("keys", "list")
        assert (result.exit_code, "the ledger cannot be reached" in result.stderr) == (1, True)

    def test_the_configuration_says_which_ledger(
        self, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("TIDEGATE_LEDGER__URL")
        (tmp_path / "tidegate.toml").write_text(f'[ledger]\nurl = "sqlite:///{tmp_path / "other.db"}"\n')
        self.made(command)
        command("keys", "create", "--name", "x", "--config", "tidegate.toml")
        assert len(json.loads(command("keys", "list", "--json").stdout)["data"]) == 2
        assert (tmp_path / "other.db").is_file()


def test_a_hash_as_json_holds_the_key_when_it_is_new(command: Command) -> None:
    made = json.loads(command("keys", "hash", "--id", "web", "--json").stdout)
    assert made == {"id": "web", "key": made["key"], "hash": hash_key(made["key"])}
    known = json.loads(command("keys", "hash", made["key"], "--json").stdout)
    assert known == {"id": "my-app", "hash": made["hash"]}
