"""server/reports.py: ``/admin/usage``."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.ledger.rows import ended
from tidegate.ledger import book
from tidegate.ledger.database import Database
from tidegate.ledger.options import LedgerOptions
from tidegate.policy.keys import hash_key, new_key
from tidegate.policy.options import AuthOptions, StaticKey
from tidegate.server.app import create_app
from tidegate.server.options import GatewayOptions

ADMIN, PLAIN = new_key(), new_key()
AUTH = AuthOptions(
    keys=(StaticKey(id="root", hash=hash_key(ADMIN), admin=True), StaticKey(id="app", hash=hash_key(PLAIN)))
)


def options(folder: Path) -> GatewayOptions:
    return GatewayOptions(auth=AUTH, ledger=LedgerOptions(url=f"sqlite:///{folder}/t.db", spool=f"{folder}/spool"))


def asked(client: TestClient, query: str = "", key: str = ADMIN) -> tuple[int, dict[str, object]]:
    answer = client.get(f"/admin/usage{query}", headers={"authorization": f"Bearer {key}"})
    return answer.status_code, answer.json()


def test_an_admin_sees_who_used_what(tmp_path: Path) -> None:
    with TestClient(create_app(options(tmp_path))) as client:
        assert asked(client) == (200, {"object": "list", "data": []})
        database = Database(f"sqlite:///{tmp_path}/t.db")
        with database.writing() as connection:
            book.enter(connection, [ended(1), ended(2, key_id="other", cost=None)], careful=False)
        database.close()
        status, body = asked(client)
        assert status == 200
        data = body["data"]
        assert isinstance(data, list)
        assert [(row["key"], row["streams"], row["cost"]) for row in data] == [("app", 1, 1.5e-6), ("other", 1, None)]
        assert asked(client, "?by=model&since=1d") == (200, {"object": "list", "data": []})
        assert "tidegate_ledger_waiting 0.0" in client.get("/metrics").text


@pytest.mark.parametrize(("query", "param"), [("?by=colour", "by"), ("?since=soon", "since"), ("?form=x", "query")])
def test_a_question_that_makes_no_sense_is_told_so(tmp_path: Path, query: str, param: str) -> None:
    with TestClient(create_app(options(tmp_path))) as client:
        status, body = asked(client, query)
        assert status == 400
        assert body["error"]["param"] == param  # type: ignore[index]


def test_it_is_for_admins(tmp_path: Path) -> None:
    with TestClient(create_app(options(tmp_path))) as client:
        assert asked(client, key=PLAIN)[0] == 403
        assert asked(client, key=new_key())[0] == 401


def test_without_a_ledger_there_is_nothing_to_tell() -> None:
    with TestClient(create_app(GatewayOptions(auth=AUTH))) as client:
        status, body = asked(client)
        assert (status, body["error"]["code"]) == (409, "no_ledger")  # type: ignore[index]
