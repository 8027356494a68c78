"""For every test: a hypothesis profile with few examples, for runs that measure coverage and not chance."""

from __future__ import annotations

import os
import tempfile

from hypothesis import settings

# Gateways that tests start keep their ledgers here, and not in the folder of whoever runs the tests.
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="tidegate-tests-")

settings.register_profile("quick", max_examples=10, deadline=None)
