"""ledger/away.py: what is caught without knowing a database."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tidegate.ledger.away import LedgerAway
from tidegate.ledger.database import Database


def test_it_says_whether_the_database_works_and_does_not_take_this() -> None:
    assert not LedgerAway("away").refused
    assert LedgerAway("no", refused=True).refused


def test_it_is_what_a_database_that_cannot_be_reached_raises() -> None:
    with pytest.raises(LedgerAway), Database("sqlite:////proc/none/tidegate.db").writing():
        pass


def test_a_gateway_without_a_ledger_does_not_load_sqlalchemy() -> None:
    """It is 15 MB of every process that has it."""
    look = (
        "import sys\n"
        "from tidegate.ledger.options import LedgerOptions\n"
        "from tidegate.server.app import create_app\n"
        "from tidegate.server.options import GatewayOptions\n"
        "create_app(GatewayOptions(ledger=LedgerOptions(url='off')))\n"
        "assert 'sqlalchemy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", look], check=True, timeout=120)
