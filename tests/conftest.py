"""For every test: a hypothesis profile with few examples, for runs that measure coverage and not chance; a collector
that looks only at what the tests make; and who runs them, when several processes do."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

# Gateways that tests start keep their ledgers here, and not in the folder of whoever runs the tests.
_FOLDER = os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="tidegate-tests-")
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)

settings.register_profile("quick", max_examples=10, deadline=None)


def pytest_collection_finish() -> None:
    """Modules, functions and classes live until the end. Looking at all of them again after each test, to see that it
    left nothing open, took half of the time of all tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def collector() -> Iterator[None]:
    """For tests in whose process a server runs: it tunes the collector, which here is the tests'."""
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()  # as above
    gc.set_threshold(*threshold)


class OneByOne(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Every test goes to whoever is free, but those of the packaging to one, which builds and installs once, and those
    of several gateways to one, which starts them once. They come first. (``--dist loadgroup`` would say the same, but
    xdist 3.8 does not find its groups with pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file.endswith(("test_packaging.py", "e2e/test_fleet.py")) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneByOne:
    return OneByOne(config, log)
