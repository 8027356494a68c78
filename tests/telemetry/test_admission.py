"""telemetry/admission.py: who was let in, and who was not."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tidegate.telemetry import admission
from tidegate.telemetry.admission import AdmissionMetrics


def rendered(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_what_was_counted_is_shown() -> None:
    registry = CollectorRegistry()
    metrics = AdmissionMetrics(registry)
    metrics.admitted += 2
    metrics.refused("tokens")
    metrics.entered([("team", "a"), ("app", "x")])
    metrics.entered([("team", "a")])
    metrics.left([("team", "a"), ("app", "x")])
    assert rendered(registry) == [
        "tidegate_admitted_total 2.0",
        'tidegate_refused_total{cause="tokens"} 1.0',
        'tidegate_live_by_tag{tag="team",value="a"} 1.0',
        'tidegate_live_by_tag{tag="app",value="x"} 0.0',
    ]


def test_tags_beyond_the_first_hundred_share_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes keys chooses tags; a label is kept for ever."""
    monkeypatch.setattr(admission, "MAX_TAGS", 2)
    registry = CollectorRegistry()
    metrics = AdmissionMetrics(registry)
    for number in range(5):
        metrics.entered([("team", str(number))])
    metrics.entered([("colour", "red")])
    assert rendered(registry)[1:] == [
        'tidegate_live_by_tag{tag="team",value="0"} 1.0',
        'tidegate_live_by_tag{tag="team",value="1"} 1.0',
        'tidegate_live_by_tag{tag="team",value="other"} 3.0',
        'tidegate_live_by_tag{tag="other",value="other"} 1.0',
    ]
    for number in range(5):
        metrics.left([("team", str(number))])
    assert 'tidegate_live_by_tag{tag="team",value="other"} 0.0' in rendered(registry)


def test_how_limits_are_shared_is_shown_where_they_are() -> None:
    registry = CollectorRegistry()
    AdmissionMetrics(registry, shared=lambda: (True, 3, 7))
    assert rendered(registry)[1:] == [
        "tidegate_limits_away 1.0",
        "tidegate_limits_losses_total 3.0",
        "tidegate_limits_alone_total 7.0",
    ]
