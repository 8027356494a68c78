"""cli/audit.py: whether the chain is whole, and the chain as NDJSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.cli.test_usage import config as config
from tests.cli.test_usage import ran
from tidegate.ledger.database import Database


def test_a_whole_chain_is_exit_0_and_its_head_is_told(config: Path) -> None:
    result = ran("audit", "verify", "--config", config)
    assert result.exit_code == 0
    assert "The chain is whole: 2 records, 2 rows compared." in result.stdout
    head = result.stdout.split()[-1]
    assert ran("audit", "verify", "--head", head, "-c", config).exit_code == 0
    assert ran("audit", "verify", "--head", "0" * 64, "-c", config).exit_code == 1


@pytest.mark.parametrize(
    ("done", "where"), [("UPDATE audit SET actor = 'x' WHERE seq = 2", 2), ("DELETE FROM audit WHERE seq = 1", 1)]
)
def test_what_was_done_to_it_is_told_and_where(config: Path, tmp_path: Path, done: str, where: int) -> None:
    database = Database(f"sqlite:///{tmp_path}/t.db")
    with database.writing() as connection:
        connection.execute(text(done))
    database.close()
    result = ran("audit", "verify", "-c", config)
    assert (result.exit_code, result.stdout.splitlines()[0].startswith(f"record {where}: ")) == (1, True)
    found = json.loads(ran("audit", "verify", "--json", "-c", config).stdout)
    assert (found["whole"], found["problems"][0]["seq"]) == (False, where)


def test_the_export_is_a_record_a_line(config: Path) -> None:
    records = [json.loads(line) for line in ran("audit", "export", "-c", config).stdout.splitlines()]
    assert [(record["seq"], record["action"]) for record in records] == [(1, "stream.end"), (2, "stream.end")]
    assert len(ran("audit", "export", "--after", "1", "-c", config).stdout.splitlines()) == 1
