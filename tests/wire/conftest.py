"""Settings of the property tests: a busy machine must not decide them."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("tidegate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tidegate")
