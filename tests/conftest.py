"""For every test: a hypothesis profile with few examples, for runs that measure coverage and not chance; and a
collector that looks only at what the tests make."""

from __future__ import annotations

import gc

from hypothesis import settings

settings.register_profile("quick", max_examples=10, deadline=None)


def pytest_collection_finish() -> None:
    """Modules, functions and classes live until the end. Looking at all of them again after each test, to see that it
    left nothing open, took half of the time of all tests."""
    gc.collect()
    gc.freeze()
