"""telemetry/prometheus.py: what a scrape says about the streams that ended."""

from __future__ import annotations

import time

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from tests.telemetry.records import record
from tidegate import __version__
from tidegate.events import Usage
from tidegate.telemetry.prometheus import MAX_MODELS, PrometheusHook
from tidegate.telemetry.record import StreamRecord

BOTH = {"model": "gpt-4o", "upstream": "main"}
GEN_AI = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "main", "gen_ai_request_model": "gpt-4o"}


def scrape(*records: StreamRecord, hook: PrometheusHook | None = None) -> CollectorRegistry:
    hook = PrometheusHook() if hook is None else hook
    for ended in records:
        hook.opened()
        hook.ended(ended)
    return hook.registry


def values(registry: CollectorRegistry, name: str, label: str) -> set[str]:
    """The values that a label has in any sample of the name."""
    return {sample.labels[label] for family in registry.collect() for sample in family.samples if sample.name == name}


def test_live_streams_are_those_opened_and_not_ended() -> None:
    hook = PrometheusHook()
    hook.opened()
    hook.opened()
    hook.ended(record())
    assert hook.registry.get_sample_value("tidegate_streams_live") == 1


def test_an_end_is_counted_by_reason_model_upstream_and_framing() -> None:
    registry = scrape(record(), record(), record(reason="client_cancel", framing="ndjson"))
    stop = {**BOTH, "reason": "stop", "framing": "sse"}
    cancel = {**BOTH, "reason": "client_cancel", "framing": "ndjson"}
    assert registry.get_sample_value("tidegate_streams_total", stop) == 2
    assert registry.get_sample_value("tidegate_streams_total", cancel) == 1


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("tidegate_ttft_seconds", 0.25),
        ("tidegate_tpot_seconds", 0.01),
        ("tidegate_max_gap_seconds", 0.03),
        ("tidegate_queue_seconds", 0.05),
        ("tidegate_added_latency_seconds", 0.0004),
        ("tidegate_cancel_latency_seconds", 0.002),
        ("tidegate_stream_seconds", 1.25),
    ],
)
def test_each_time_has_its_histogram(name: str, total: float) -> None:
    registry = scrape(record(cancel_latency=0.002))
    assert registry.get_sample_value(f"{name}_count", BOTH) == 1
    assert registry.get_sample_value(f"{name}_sum", BOTH) == pytest.approx(total)
    assert registry.get_sample_value(f"{name}_bucket", {**BOTH, "le": "+Inf"}) == 1


def test_buckets_are_cumulative_and_their_bounds_inclusive() -> None:
    registry = scrape(record(ttft=0.01), record(ttft=0.011), record(ttft=1000.0))
    bucket = [
        registry.get_sample_value("tidegate_ttft_seconds_bucket", {**BOTH, "le": bound})
        for bound in ("0.01", "0.02", "81.92", "+Inf")
    ]
    assert bucket == [1, 2, 2, 3]


def test_a_time_that_was_never_measured_has_no_series() -> None:
    registry = scrape(record(queue_time=None, ttft=None, tpot=None, max_gap=None, added_latency=None, tokens=0))
    for name in ("ttft", "tpot", "max_gap", "queue", "added_latency", "cancel_latency"):
        assert registry.get_sample_value(f"tidegate_{name}_seconds_count", BOTH) is None
    assert registry.get_sample_value("tidegate_stream_seconds_count", BOTH) == 1


def test_bytes_retries_and_malformed_events_add_up() -> None:
    registry = scrape(record(retries=2, malformed=3), record(retries=1))
    assert registry.get_sample_value("tidegate_bytes_total", {"direction": "in"}) == 4000
    assert registry.get_sample_value("tidegate_bytes_total", {"direction": "out"}) == 4200
    assert registry.get_sample_value("tidegate_retries_total", {"upstream": "main"}) == 3
    assert registry.get_sample_value("tidegate_malformed_events_total", {"upstream": "main"}) == 3


def test_output_tokens_are_the_upstreams_count_or_else_ours() -> None:
    registry = scrape(record(usage=Usage(output_tokens=7)), record(usage=None, tokens=5), record(usage=None, tokens=0))
    assert registry.get_sample_value("tidegate_output_tokens_total", {"model": "gpt-4o"}) == 12


def test_the_genai_operation_begins_when_the_request_was_sent() -> None:
    registry = scrape(record())
    prefix = "gen_ai_client_operation"
    done = {**GEN_AI, "error_type": ""}
    assert registry.get_sample_value(f"{prefix}_duration_seconds_sum", done) == pytest.approx(1.20)
    assert registry.get_sample_value(f"{prefix}_time_to_first_chunk_seconds_sum", GEN_AI) == pytest.approx(0.20)


def test_the_genai_chunk_histogram_counts_every_chunk_after_the_first() -> None:
    registry = scrape(record())
    name = "gen_ai_client_operation_time_per_output_chunk_seconds"
    assert registry.get_sample_value(f"{name}_count", GEN_AI) == 100
    assert registry.get_sample_value(f"{name}_sum", GEN_AI) == pytest.approx(1.0)


def test_genai_token_usage_is_told_by_type() -> None:
    registry = scrape(record(), record(usage=None, tokens=5))
    name = "gen_ai_client_token_usage"
    told = {kind: {**GEN_AI, "gen_ai_token_type": kind} for kind in ("input", "output")}
    assert registry.get_sample_value(f"{name}_count", told["input"]) == 1
    assert registry.get_sample_value(f"{name}_sum", told["input"]) == 10
    assert registry.get_sample_value(f"{name}_sum", told["output"]) == 105
    assert registry.get_sample_value(f"{name}_bucket", {**told["output"], "le": "64.0"}) == 1


def test_a_failed_operation_is_told_by_its_error() -> None:
    registry = scrape(record(reason="upstream_error", error_code="upstream_unreachable", queue_time=None))
    failed = {**GEN_AI, "error_type": "upstream_unreachable"}
    assert registry.get_sample_value("gen_ai_client_operation_duration_seconds_sum", failed) == 1.25


def test_only_so_many_models_have_a_label_of_their_own() -> None:
    """A reader may invent names behind a glob; a label value is kept for ever."""
    registry = scrape(*(record(model=f"model-{number}") for number in range(MAX_MODELS + 50)))
    models = values(registry, "tidegate_streams_total", "model")
    assert len(models) == MAX_MODELS + 1
    assert registry.get_sample_value("tidegate_stream_seconds_count", {"model": "other", "upstream": "main"}) == 50


def test_configured_models_have_a_label_whoever_came_before() -> None:
    hook = PrometheusHook(models=["mine"])
    registry = scrape(
        *(record(model=f"m{number}") for number in range(MAX_MODELS + 50)), record(model="mine"), hook=hook
    )
    assert {"mine", "m0", f"m{MAX_MODELS - 1}", "other"} <= values(registry, "tidegate_streams_total", "model")


def test_an_endless_name_is_other_and_no_name_is_unknown() -> None:
    registry = scrape(record(model="x" * 129), record(model="", upstream=""))
    assert values(registry, "tidegate_streams_total", "model") == {"other", "unknown"}
    assert values(registry, "tidegate_streams_total", "upstream") == {"main", "none"}


def test_render_is_text_that_prometheus_reads() -> None:
    hook = PrometheusHook()
    scrape(record(model='we"ird\\\n'), record(cancel_latency=0.1, retries=1, malformed=1), hook=hook)
    body, content_type = hook.render()
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert {"tidegate_streams", "tidegate_ttft_seconds", "gen_ai_client_token_usage"} <= set(families)
    assert {sample.labels["model"] for sample in families["tidegate_streams"].samples} == {'we"ird\\\n', "gpt-4o"}
    assert f'tidegate_build_info{{version="{__version__}"}} 1.0' in body.decode()


def test_its_own_registry_also_tells_of_the_process() -> None:
    assert b"process_cpu_seconds_total" in PrometheusHook().render()[0]


def test_a_registry_that_is_given_gets_only_our_metrics_beside_its_own() -> None:
    registry = CollectorRegistry()
    Counter("theirs", "An application's own.", registry=registry).inc()
    body = PrometheusHook(registry).render()[0]
    assert b"theirs_total 1.0" in body
    assert b"tidegate_streams_live 0.0" in body
    assert b"process_cpu_seconds_total" not in body


def test_two_hooks_do_not_share_their_counts() -> None:
    one, other = PrometheusHook(), PrometheusHook()
    scrape(record(), hook=one)
    assert other.registry.get_sample_value("tidegate_stream_seconds_count", BOTH) is None


def test_nothing_of_the_key_or_the_stream_becomes_a_label() -> None:
    hook = PrometheusHook()
    scrape(record(client="secret-client", stream_id="secret-id", error_code="idle_timeout"), hook=hook)
    assert b"secret" not in hook.render()[0]


def test_completion_is_what_readers_saw_finish_of_all_they_did_not_stop() -> None:
    hook = PrometheusHook()
    assert hook.completion_ratio() is None
    for end in ("finished", "finished", "finished", "stopped", "left", "cut", "failed"):
        hook.seen({end: True, "first_paint": 0.5})
    assert hook.completion_ratio() == 0.5
    assert hook.readers()["completion_ratio"] == 0.5
    sample = hook.registry.get_sample_value
    assert sample("tidegate_completion_ratio") == 0.5
    assert sample("tidegate_reader_ends_total", {"end": "stopped"}) == 1
    assert sample("tidegate_perceived_latency_seconds_sum") == 3.5


def test_a_report_of_nonsense_counts_for_nothing() -> None:
    hook = PrometheusHook()
    reports: list[dict[str, float | bool | None]] = [
        {},
        {"finished": False, "first_paint": -1.0},
        {"finished": 1, "first_paint": True},
        {"somehow": True, "first_paint": 1e9},
        {"first_paint": float("nan")},
        {"first_paint": None},
    ]
    for report in reports:
        hook.seen(report)
    assert hook.completion_ratio() is None
    assert hook.registry.get_sample_value("tidegate_perceived_latency_seconds_count") is None


def test_an_end_is_cheap() -> None:
    """Measured at 3 µs; the bound is what design allows, on the best of several rounds, since machines are busy."""
    hook, ended = PrometheusHook(), record()
    best = 1.0
    for _ in range(10):
        began = time.process_time()
        for _ in range(500):
            hook.ended(ended)
        best = min(best, (time.process_time() - began) / 500)
    assert best < 40e-6


def test_safety_hits_are_counted_by_rule_and_action() -> None:
    """Those of ended streams, and of prompts that never became one."""
    hook = PrometheusHook()
    hits = (("email", "redact", 2), ("ssn", "block", 1))
    registry = scrape(record(safety=hits), record(safety=hits[:1]), record(), hook=hook)
    hook.found([("ssn", "block", 3)])
    assert registry.get_sample_value("tidegate_safety_hits_total", {"rule": "email", "action": "redact"}) == 4
    assert registry.get_sample_value("tidegate_safety_hits_total", {"rule": "ssn", "action": "block"}) == 4
    assert values(registry, "tidegate_safety_hits_total", "rule") == {"email", "ssn"}
