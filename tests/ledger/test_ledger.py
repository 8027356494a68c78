"""ledger/ledger.py: what others hold on to."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import select

from tests.ledger.rows import ended
from tidegate.ledger import book
from tidegate.ledger.database import Database
from tidegate.ledger.ledger import Ledger
from tidegate.ledger.tables import audit


def test_spending_is_counted_by_key_and_by_tag_since_an_hour(database: Database) -> None:
    items = [ended(1), ended(2, cost=None), ended(3, key_id="other", cost=2_000), ended(4, ended_at=9.0, cost=9_000)]
    with database.writing() as connection:
        book.enter(connection, items, careful=False)
    ledger = Ledger(database)
    assert ledger.spent(key="app", since=7200.0) == Decimal("1.5")
    assert ledger.spent(key="app", since=0.0) == Decimal("10.5")
    assert ledger.spent(tag=("team", "blue"), since=7200.0) == Decimal("3.5")
    assert ledger.spent(key="nobody", since=0.0) == 0


def test_an_admin_action_goes_onto_the_chain(database: Database) -> None:
    Ledger(database).audit("key.revoke", actor="root", subject="k1", detail={"cut": True})
    with database.reading() as connection:
        (row,) = connection.execute(select(audit)).mappings()
    assert (row["action"], row["actor"], row["subject"], row["detail"]) == ("key.revoke", "root", "k1", '{"cut":true}')
