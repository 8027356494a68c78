"""A real Redis for the tests of this room."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.redis import RedisServer


@pytest.fixture(scope="module")
def shared_redis() -> Iterator[RedisServer]:
    """One for all tests of a module, which leave it running."""
    yield from _server()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """One that a test may kill."""
    yield from _server()


def _server() -> Iterator[RedisServer]:
    folder = Path(tempfile.mkdtemp(prefix="tg-redis-"))
    server = RedisServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
