"""For every test: a hypothesis profile with few examples, for runs that measure coverage and not chance."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("quick", max_examples=10, deadline=None)
