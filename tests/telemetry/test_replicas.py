"""telemetry/replicas.py: who else is there, and who did not answer."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from tidegate.telemetry.replicas import ReplicaMetrics, ReplicaState


def test_what_is_known_is_shown() -> None:
    states = [ReplicaState(3, True, 7, 0), ReplicaState(1, False, 8, 1)]
    registry = CollectorRegistry(auto_describe=False)
    ReplicaMetrics(registry, lambda: states.pop(0))
    for expected in (["3.0", "0.0", "7.0", "0.0"], ["1.0", "1.0", "8.0", "1.0"]):
        lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
        assert [line.split() for line in lines] == [
            ["tidegate_replicas", expected[0]],
            ["tidegate_replicas_unknown", expected[1]],
            ["tidegate_replica_questions_total", expected[2]],
            ["tidegate_replica_silences_total", expected[3]],
        ]
