"""cli/usage.py and cli/ledger.py: the ledger of a configuration, as a table, JSON or CSV."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from tests.ledger.rows import begun, ended, seen
from tidegate.cli import cli
from tidegate.ledger import book
from tidegate.ledger.database import Database


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file whose ledger has two streams."""
    database = Database(f"sqlite:///{tmp_path}/t.db")
    database.open()
    with database.writing() as connection:
        rows = [ended(1), ended(2, key_id="=other", cost=None, reason="client_cancel", model="m\x1b[31m")]
        book.enter(connection, rows, careful=False)
    database.close()
    file = tmp_path / "tidegate.toml"
    file.write_text(f'[ledger]\nurl = "sqlite:///{tmp_path}/t.db"\n')
    return file


def ran(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments)])


def test_a_table_shows_an_unpriced_cost_as_none(config: Path) -> None:
    lines = ran("usage", "--config", config).stdout.splitlines()
    assert lines[0].split()[:4] == ["key", "streams", "prompt", "output"]
    assert lines[1].split()[4] == "-"
    assert lines[2].split()[:5] == ["app", "1", "10", "5", "0.000002"]


def test_json_is_a_list_of_objects(config: Path) -> None:
    (row,) = json.loads(ran("usage", "--by", "reason", "--reason", "stop", "--format", "json", "-c", config).stdout)
    assert (row["reason"], row["streams"], row["prompt_tokens"], row["output_tokens"]) == ("stop", 1, 10, 5)
    assert (row["cost"], row["estimated_share"]) == (1.5e-6, 0.0)
    assert json.loads(ran("usage", "--since", "1d", "--format", "json", "-c", config).stdout) == []


def test_csv_has_a_head_and_no_formula(config: Path) -> None:
    rows = list(csv.DictReader(StringIO(ran("usage", "--format", "csv", "-c", config).stdout)))
    assert [(row["key"], row["cost"]) for row in rows] == [("'=other", ""), ("app", "1.5e-06")]


def test_what_is_unknown_is_a_dash_null_and_nothing(config: Path, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/t.db")
    with database.writing() as connection:
        book.enter(connection, [begun(3, "dead")], careful=True)
        book.close_crashed(connection, ["dead"], 7300.0)
    database.close()
    asked = ("usage", "--by", "reason", "--reason", "gateway_crash", "--config", config)
    head, line = ran(*asked).stdout.splitlines()
    names = ["reason", "streams", "prompt", "output", "cost", "$", "unknown", "estimated"]
    assert (head.split()[:8], line.split()[:7]) == (names, ["gateway_crash", "1", "-", "-", "-", "1", "-"])
    (row,) = json.loads(ran(*asked, "--format", "json").stdout)
    assert (row["prompt_tokens"], row["output_tokens"], row["cost"], row["unknown"]) == (None, None, None, 1)
    (cells,) = csv.DictReader(StringIO(ran(*asked, "--format", "csv").stdout))
    assert (cells["prompt_tokens"], cells["output_tokens"], cells["cost"], cells["unknown"]) == ("", "", "", "1")


def test_names_that_clients_chose_cannot_steer_a_terminal(config: Path) -> None:
    assert "\x1b" not in ran("usage", "--by", "model", "-c", config).stdout


def test_no_streams_is_said(config: Path) -> None:
    assert ran("usage", "--since", "1d", "-c", config).stdout == "No streams.\n"


def test_a_time_that_is_none_is_refused(config: Path) -> None:
    result = ran("usage", "--since", "soon", "-c", config)
    assert (result.exit_code, "write 30d" in result.stderr) == (2, True)


def test_without_a_ledger_it_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text(f'[ledger]\nurl = "sqlite:///{tmp_path}/none.db"\n')
    result = ran("usage", "-c", file)
    assert (result.exit_code, "a gateway makes it" in result.stderr) == (2, True)
    assert not (tmp_path / "none.db").exists()
    file.write_text('[ledger]\nurl = "off"\n')
    assert "keeps no ledger" in ran("usage", "-c", file).stderr
    file.write_text('[ledger]\nurl = "postgresql://nobody@127.0.0.1:1/none"\n')
    result = ran("usage", "-c", file)
    assert (result.exit_code, "cannot be reached" in result.stderr) == (1, True)


def test_a_ledger_of_a_newer_version_is_refused(config: Path, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/t.db")
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    result = ran("usage", "-c", config)
    assert (result.exit_code, "newer version" in result.stderr) == (2, True)


def test_what_readers_pages_reported_is_in_every_form(config: Path, tmp_path: Path) -> None:
    """In the table only once there is a report."""
    assert "perceived" not in ran("usage", "-c", config).stdout
    database = Database(f"sqlite:///{tmp_path}/t.db")
    with database.writing() as connection:
        book.enter(connection, [seen(1)], careful=True)
    database.close()
    head, other, app = ran("usage", "-c", config).stdout.splitlines()
    assert head.split()[-5:] == ["readers", "finished", "perceived", "p50", "p95"]
    assert (other.split()[-4:], app.split()[-4:]) == (["0", "-", "-", "-"], ["1", "100.0%", "0.5000", "0.5000"])
    _, row = json.loads(ran("usage", "--format", "json", "-c", config).stdout)
    assert (row["readers"], row["readers_completion_ratio"], row["perceived_p50"]) == (1, 1.0, 0.5)
    _, cells = csv.DictReader(StringIO(ran("usage", "--format", "csv", "-c", config).stdout))
    assert (cells["readers"], cells["readers_completion_ratio"], cells["perceived_p95"]) == ("1", "1.0", "0.5")
