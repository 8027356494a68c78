"""A database of each kind for every test of the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.fakes.postgres import Postgres
from tidegate.ledger.database import Database

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One server for all tests that do not stop it."""
    server = Postgres(tmp_path_factory.mktemp("postgres") / "cluster")
    server.start()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tidegate.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    name = f"ledger{next(_NUMBERS)}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server.url.replace("/postgres", f"/{name}")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """Open, with its tables."""
    made = Database(url)
    made.open()
    yield made
    made.close()
