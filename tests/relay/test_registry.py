"""relay/registry.py: who may see which stream, live and ended, and that the ended ones are a ring."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.fakes import live
from tidegate.errors import Cancelled, StreamNotFound
from tidegate.policy.keys import Principal
from tidegate.relay.registry import Registry, record_of
from tidegate.relay.stream import Stream
from tidegate.wire.chat_request import ChatRequest, parse_chat_request

ANN, BOB, ADMIN = Principal("ann"), Principal("bob"), Principal("root", admin=True)


def on_loop(case: Callable[[Registry], None]) -> None:
    async def main() -> None:
        registry = Registry()
        case(registry)
        for stream in registry:
            stream.abandon()

    asyncio.run(main())


def opened(registry: Registry, stream_id: str, who: Principal = ANN) -> Stream:
    return live.opened(registry, stream_id, who)


def test_a_stream_is_seen_by_its_own_key_and_by_admins() -> None:
    def case(registry: Registry) -> None:
        stream = opened(registry, "one")
        for who in (ANN, ADMIN):
            assert registry.live("one", who) is stream
            assert registry.get("one", who)["state"] == "admitted"
            assert [row["id"] for row in registry.visible(who)] == ["one"]
        for look in (registry.live, registry.get):
            with pytest.raises(StreamNotFound):
                look("one", BOB)
        assert registry.visible(BOB) == []

    on_loop(case)


def test_nobody_can_tell_a_foreign_stream_from_none() -> None:
    def case(registry: Registry) -> None:
        opened(registry, "one")
        told = []
        for name in ("one", "never"):
            with pytest.raises(StreamNotFound) as caught:
                registry.get(name, BOB)
            told.append(caught.value.public())
        assert told[0] == told[1]

    on_loop(case)


def test_an_ended_stream_can_be_asked_for_and_is_no_longer_live() -> None:
    def case(registry: Registry) -> None:
        stream = opened(registry, "one")
        stream.fail(Cancelled("Cancelled."))
        assert len(registry) == 0
        assert registry.live("one", ANN) is None
        shown = registry.get("one", ANN)
        assert (shown["state"], shown["reason"], shown["error"]) == ("ended", "client_cancel", "client_cancel")
        assert registry.visible(ANN) == []
        with pytest.raises(StreamNotFound):
            registry.get("one", BOB)

    on_loop(case)


def test_the_oldest_ended_one_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what its page reported."""
    monkeypatch.setattr("tidegate.relay.registry.ENDED", 3)

    def case(registry: Registry) -> None:
        for number in range(4):
            stream = opened(registry, str(number))
            registry.saw(str(number), ANN, {"ttft": number})
            stream.fail(Cancelled("Cancelled."))
        with pytest.raises(StreamNotFound):
            registry.get("0", ANN)
        assert registry.get("1", ANN)["reader"] == {"ttft": 1}
        assert set(registry._seen) == set(registry._ended) == {"1", "2", "3"}

    on_loop(case)


def test_nobody_reports_on_a_foreign_stream() -> None:
    def case(registry: Registry) -> None:
        opened(registry, "one")
        with pytest.raises(StreamNotFound):
            registry.saw("one", BOB, {"ttft": 1})
        assert "reader" not in registry.get("one", ANN)

    on_loop(case)


def test_a_stream_may_end_while_somebody_counts_them() -> None:
    def case(registry: Registry) -> None:
        for number in range(3):
            opened(registry, str(number))
        for stream in registry:
            stream.fail(Cancelled("Cancelled."))
        assert len(registry) == 0

    on_loop(case)


def test_the_record_of_a_live_stream_is_what_is_known_so_far() -> None:
    """No reason yet, and no status before the head."""

    def case(registry: Registry) -> None:
        stream = opened(registry, "one")
        record = record_of(stream)
        assert (record.reason, record.status, record.tokens, record.ttft) == ("", 0, 0, None)
        stream.on_gone()
        record = record_of(stream)
        assert (record.reason, record.status) == ("client_cancel", 499)

    on_loop(case)


def test_records_share_the_words_that_each_request_brings_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> ChatRequest:
        return parse_chat_request(b'{"model":"some-model","messages":[{"role":"user","content":"x"}]}')

    def case(registry: Registry) -> None:
        records = []
        for name in ("one", "two"):
            monkeypatch.setattr(live, "REQUEST", asked())
            records.append(record_of(opened(registry, name)))
        assert records[0].model == "some-model"
        assert records[0].model is records[1].model
        assert asked().model is not asked().model

    on_loop(case)


def test_the_newest_are_told_with_how_many_there_are() -> None:
    def case(registry: Registry) -> None:
        for number in range(5):
            opened(registry, str(number), ANN if number % 2 else BOB)
        count, rows = registry.newest(ADMIN, 2)
        assert (count, [row["id"] for row in rows]) == (5, ["3", "4"])
        count, rows = registry.newest(ANN, 9)
        assert (count, [row["id"] for row in rows]) == (2, ["1", "3"])

    on_loop(case)


def test_rows_are_made_when_they_are_asked_for() -> None:
    def case(registry: Registry) -> None:
        first, _ = opened(registry, "one"), opened(registry, "two")
        rows = registry.rows(ANN)
        first.cancel()
        assert [(row["id"], row["state"]) for row in rows] == [("one", "ended"), ("two", "admitted")]

    on_loop(case)
