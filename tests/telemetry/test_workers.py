"""telemetry/workers.py: several workers count as one would, also after some of them have ended."""

from __future__ import annotations

from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from tests.telemetry.records import record
from tidegate import __version__
from tidegate.telemetry.prometheus import MAX_MODELS, PrometheusHook
from tidegate.telemetry.workers import Family, Together, samples_of

BOTH = {"model": "gpt-4o", "upstream": "main"}


def counted(*models: str, live: int = 0, reports: tuple[str, ...] = ()) -> list[Family]:
    """What a worker tells, over the link, that had one stream of each model."""
    hook = PrometheusHook()
    for model in models:
        hook.opened()
        hook.ended(record(model=model))
    for _ in range(live):
        hook.opened()
    for report in reports:
        hook.seen({report: True})
    told: list[Family] = msgspec.msgpack.decode(msgspec.msgpack.encode(samples_of(hook.registry)))
    return told


class Scrape:
    """What is rendered, to be asked for."""

    def __init__(self, together: Together, ready: int = 2) -> None:
        body, content_type = together.render(ready)()
        assert content_type.startswith("text/plain; version=0.0.4")
        self.samples = [sample for family in text_string_to_metric_families(body.decode()) for sample in family.samples]

    def value(self, name: str, **labels: str) -> float | None:
        found = [each.value for each in self.samples if each.name == name and labels.items() <= each.labels.items()]
        assert len(found) <= 1, "a series stands there twice"
        return found[0] if found else None

    def models(self) -> set[str]:
        return {each.labels["model"] for each in self.samples if "model" in each.labels}


def test_counters_histograms_and_gauges_of_all_are_added_up() -> None:
    together = Together()
    together.say("a", counted("gpt-4o", "gpt-4o", live=3))
    together.say("b", counted("gpt-4o", live=4))
    scrape = Scrape(together)
    assert scrape.value("tidegate_streams_total", reason="stop", **BOTH) == 3
    assert scrape.value("tidegate_streams_live") == 7
    assert scrape.value("tidegate_ttft_seconds_count", **BOTH) == 3
    assert scrape.value("tidegate_ttft_seconds_bucket", le="0.32", **BOTH) == 3
    assert scrape.value("tidegate_ttft_seconds_sum", **BOTH) == 0.75
    assert scrape.value("tidegate_workers") == 2


def test_what_a_worker_says_later_stands_in_place_of_what_it_said_before() -> None:
    together = Together()
    together.say("a", counted("gpt-4o"))
    together.say("a", counted("gpt-4o", "gpt-4o"))
    assert Scrape(together).value("tidegate_streams_total", **BOTH) == 2


def test_what_a_worker_that_has_ended_counted_stays_and_what_it_had_goes() -> None:
    together = Together()
    together.say("a", counted("gpt-4o", live=3))
    together.say("b", counted("gpt-4o", live=1))
    for worker in ("a", "never said anything"):
        together.end(worker)
    together.deaths += 1
    scrape = Scrape(together, ready=1)
    assert scrape.value("tidegate_streams_total", **BOTH) == 2
    assert scrape.value("tidegate_streams_live") == 1
    assert scrape.value("tidegate_worker_deaths_total") == 1
    together.end("b")
    assert Scrape(together, ready=0).value("tidegate_streams_total", **BOTH) == 2
    assert Scrape(together, ready=0).value("tidegate_streams_total", **BOTH) == 2, "to look changes nothing"


def test_what_is_no_sum_is_not_added_up() -> None:
    together = Together()
    one, other = counted(reports=("finished", "stopped")), counted(reports=("finished", "cut", "left"))
    together.say("a", one)
    together.say("b", other)
    scrape = Scrape(together)
    assert scrape.value("tidegate_build_info", version=__version__) == 1
    assert scrape.value("python_info") == 1
    assert scrape.value("tidegate_completion_ratio") == 0.5
    starts = [sample[2] for family in one for sample in family[3] if sample[0] == "process_start_time_seconds"]
    assert scrape.value("process_start_time_seconds") == starts[0]
    together.end("a")
    together.end("b")
    together.say("c", counted())
    assert Scrape(together).value("tidegate_completion_ratio") == 0.5


def test_without_a_report_there_is_no_ratio() -> None:
    together = Together()
    assert Scrape(together, ready=0).value("tidegate_workers") == 0
    together.say("a", counted("gpt-4o"))
    assert Scrape(together).value("tidegate_completion_ratio") is None


def test_model_names_get_no_more_labels_than_in_one_process_however_many_workers_come() -> None:
    together = Together(["known"])
    for worker in range(4):
        together.say(str(worker), counted(*(f"m-{worker}-{number}" for number in range(MAX_MODELS // 2)), ""))
        together.end(str(worker))
    together.name(["later", "known"])
    together.say("last", counted("known", "later", "one-too-many"))
    models = Scrape(together).models()
    assert len(models) == MAX_MODELS + 2 + len({"other", "unknown"})
    assert {"known", "later", "other", "unknown"} <= models
    assert "one-too-many" not in models


def test_a_registry_of_anything_can_be_told() -> None:
    class Nothing:
        def collect(self) -> list[Any]:
            return []

    registry = CollectorRegistry()
    registry.register(Nothing())
    assert samples_of(registry) == []
