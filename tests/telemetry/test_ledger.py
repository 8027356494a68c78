"""telemetry/ledger.py: tokens, cost and how the ledger is doing, as Prometheus sees them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from tidegate.telemetry.ledger import LedgerMetrics, LedgerState

STATE = LedgerState(
    tokens={("a", "output", False): 5, ("b", "output", False): 2, ("c", "output", False): 1, ("a", "prompt", True): 9},
    cost={"a": 0.25, "b": 0.5},
    unpriced={"c": 1},
    waiting=7,
    spool_bytes=900,
    written=12,
    dropped=1,
    failed=2,
    away=True,
)


def test_every_figure_is_there_and_names_that_clients_made_up_share_a_label() -> None:
    registry = CollectorRegistry()
    LedgerMetrics(registry, lambda: STATE, lambda model: model if model == "a" else "other")
    lines = generate_latest(registry).decode().splitlines()
    for line in (
        'tidegate_tokens_total{estimated="false",model="a",type="output"} 5.0',
        'tidegate_tokens_total{estimated="false",model="other",type="output"} 3.0',
        'tidegate_tokens_total{estimated="true",model="a",type="prompt"} 9.0',
        'tidegate_cost_dollars_total{model="a"} 0.25',
        'tidegate_unpriced_streams_total{model="other"} 1.0',
        "tidegate_ledger_waiting 7.0",
        "tidegate_ledger_spool_bytes 900.0",
        "tidegate_ledger_away 1.0",
        "tidegate_ledger_written_total 12.0",
        "tidegate_ledger_dropped_total 1.0",
        "tidegate_ledger_failures_total 2.0",
    ):
        assert line in lines
