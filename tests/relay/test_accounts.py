"""relay/accounts.py: what a stream leaves in the ledger, through a running gateway."""

from __future__ import annotations

import gc
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.fakes.gateway import gateway, rig, run, simulator_options, until, upstream
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.events import Usage
from tidegate.ledger import writer
from tidegate.ledger.database import Database
from tidegate.ledger.options import LedgerOptions
from tidegate.ledger.tables import begins, legs, seen, texts
from tidegate.policy.options import PriceOptions
from tidegate.policy.prices import Prices
from tidegate.relay import accounts
from tidegate.relay.accounts import Spent, Tally
from tidegate.relay.stream import Stream
from tidegate.simulator.server import Simulator

SSE = "/v1/chat/completions"


def question(model: str, **fields: Any) -> dict[str, Any]:
    return {
        "model": model,
        "stream": True,
        "messages": [{"role": "user", "content": "Why does the tide come?"}],
        **fields,
    }


def in_folder(folder: Path, **given: Any) -> LedgerOptions:
    return LedgerOptions(url=f"sqlite:///{folder}/tidegate.db", spool=f"{folder}/spool", **given)


def rows_after(folder: Path, *asked: dict[str, Any], **given: Any) -> tuple[list[dict[str, Any]], list[Any], Database]:
    """The rows of ``legs`` after these requests, and the readers that made them."""
    options = in_folder(folder, **given.pop("ledger", {}))
    readers: list[Any] = []

    async def case() -> None:
        simulator = Simulator(simulator_options())
        await simulator.start()
        ups = [upstream(simulator.url, **each) for each in given.pop("upstreams", [{}])]
        async with gateway(*ups, ledger=options, **given) as gate:
            accounts_ = gate.gateway.relay.accounts
            assert accounts_ is not None
            accounts_.prices = Prices([PriceOptions(model="sim/*", input=1, output=2)])
            readers.extend([await ask(gate.port, SSE, body) for body in asked])
            ledger = gate.gateway.ledger
            assert ledger is not None
            await until(lambda: ledger.writer.waiting[0] == 0 and ledger.writer.figures.written >= len(asked))
        await simulator.close()

    run(case())
    database = Database(options.url)
    with database.reading() as connection:
        found = [
            dict(row) for row in connection.execute(select(legs).order_by(legs.c.started_at, legs.c.leg)).mappings()
        ]
        assert connection.execute(select(begins)).all() == []
    return found, readers, database


def test_a_whole_answer_is_counted_in_the_upstreams_words_and_its_usage_chunk_is_not_shown(tmp_path: Path) -> None:
    (row,), (reader,), database = rows_after(tmp_path, question("sim/default"))
    assert (row["output_tokens"], row["delivered"], row["estimated"], row["reason"]) == (20, 20, 0, "length")
    assert row["cost"] == (row["prompt_tokens"] + 2 * 20) * 1000
    assert all(event == "[DONE]" or event["choices"] for event in reader.events())
    database.close()


def test_who_asks_for_the_usage_chunk_gets_it(tmp_path: Path) -> None:
    body = question("sim/default", stream_options={"include_usage": True})
    _, (reader,), database = rows_after(tmp_path, body)
    assert [event["usage"]["completion_tokens"] for event in reader.events()[:-1] if not event["choices"]] == [20]
    database.close()


def test_an_upstream_that_tells_nothing_is_counted_by_deltas_and_the_tokenizer(tmp_path: Path) -> None:
    (row,), _, database = rows_after(tmp_path, question("sim/default"), upstreams=[{"ask_usage": False}])
    assert (row["output_tokens"], row["estimated"]) == (20, 1)
    assert 8 <= row["prompt_tokens"] <= 16
    database.close()


def test_every_try_is_a_leg_and_only_the_last_one_has_tokens(tmp_path: Path) -> None:
    rows, _, database = rows_after(tmp_path, question("sim/503-then-ok?seed=1"))
    assert [(row["leg"], row["final"], row["reason"], row["output_tokens"]) for row in rows] == [
        (0, 0, "upstream_error", 0),
        (1, 1, "stop", 20),
    ]
    assert rows[0]["ended_at"] <= rows[1]["started_at"] + 1e-3
    database.close()


def test_a_refusal_costs_nothing(tmp_path: Path) -> None:
    (row,), _, database = rows_after(tmp_path, question("sim/403"))
    assert (row["reason"], row["prompt_tokens"], row["output_tokens"], row["status"]) == ("upstream_refused", 0, 0, 403)
    database.close()


@pytest.mark.parametrize("store", [False, True])
def test_texts_are_kept_only_when_that_was_asked_for(tmp_path: Path, store: bool) -> None:
    asked = [question("sim/default"), {**question("sim/default"), "stream": False}]
    _, (reader, _), database = rows_after(tmp_path, *asked, ledger={"store_text": store})
    with database.reading() as connection:
        kept = connection.execute(select(texts.c.prompt, texts.c.answer)).all()
    database.close()
    if not store:
        assert kept == []
        return
    assert [json.loads(row.prompt)["messages"][0]["content"] for row in kept] == ["Why does the tide come?"] * 2
    assert [row.answer for row in kept] == [reader.text] * 2


def test_a_server_that_refuses_the_question_for_counts_is_asked_again_and_remembered(tmp_path: Path) -> None:
    from tests.fakes.picky import picky_server

    async def case() -> None:
        async with picky_server() as (url, bodies):
            options = LedgerOptions(url=f"sqlite:///{tmp_path}/t.db", spool=f"{tmp_path}/spool")
            async with gateway(upstream(url), ledger=options) as gate:
                for number in (1, 2):
                    reader = await ask(gate.port, SSE, question("m"))
                    assert (reader.status, reader.done) == (200, True)
                    record = await gate.ended(number)
                    assert record.retries == 0
            assert [b"stream_options" in body for body in bodies] == [True, False, False]

    run(case())


def test_what_a_readers_page_reports_is_kept_with_its_stream_once(tmp_path: Path) -> None:
    """Also of one that is live: when it has ended. A report without a figure that is known leaves nothing."""

    async def case() -> None:
        simulator = Simulator(simulator_options())
        await simulator.start()
        options = LedgerOptions(url=f"sqlite:///{tmp_path}/t.db", spool=f"{tmp_path}/spool")
        async with gateway(upstream(simulator.url), ledger=options) as gate:
            assert gate.gateway.ledger is not None
            writer = gate.gateway.ledger.writer
            first = (await ask(gate.port, SSE, question("sim/echo"))).headers["x-stream-id"]
            other = (await ask(gate.port, SSE, question("sim/echo"))).headers["x-stream-id"]
            live = await Reader.connect(gate.port)
            live.send(request_bytes(SSE, json.dumps(question("sim/prose?tps=20&tokens=10000")).encode()))
            await live.head()
            report = {"finished": True, "first_paint": 0.25}
            for stream_id, body in (
                (first, report),
                (first, {"left": True}),
                (other, {"gaps": 3}),
                (live.headers["x-stream-id"], {"left": True, "first_paint": 0.5}),
            ):
                assert (await ask(gate.port, f"/v1/streams/{stream_id}/seen", body)).status == 204
            await until(lambda: writer.waiting[0] == 0 and writer.figures.written >= 4)
            with gate.gateway.ledger.database.reading() as connection:
                assert [tuple(row[2:]) for row in connection.execute(select(seen))] == [("finished", 0.25)]
            live.hang_up()
            await live.close()
            await gate.ended(3)
        await simulator.close()

    run(case())
    with Database(f"sqlite:///{tmp_path}/t.db").reading() as connection:
        joined = select(seen.c.reader_end, seen.c.perceived, legs.c.reason, seen.c.ended_at == legs.c.ended_at)
        rows = connection.execute(joined.join(legs, legs.c.id == seen.c.leg_id).order_by(seen.c.perceived)).all()
    assert [tuple(row) for row in rows] == [("finished", 0.25, "stop", 1), ("left", 0.5, "client_cancel", 1)]


def test_the_tally_counts_by_model_and_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "MOST_MODELS", 2)
    tally = Tally()
    for model in ("a", "b", "c", "d"):
        tally.add(Spent(model, Usage(prompt_tokens=1, output_tokens=2), Decimal("1.5")))
    tally.add(Spent("a", Usage(output_tokens=1, estimated=True), None))
    assert tally.cost == {"a": 1500, "b": 1500, "": 3000}
    assert tally.unpriced == {"a": 1}
    assert tally.tokens[("a", "output", False)] == 2
    assert tally.tokens[("a", "output", True)] == 1


def test_the_book_does_not_keep_a_stream_whose_tokens_were_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for the ledger's thread holds what a row says, not what carried the stream."""
    monkeypatch.setattr(writer, "GATHER", 3600.0)
    options = in_folder(tmp_path)

    async def case() -> None:
        async with rig(ledger=options) as gate:
            relay, ledger = gate.gateway.relay, gate.gateway.ledger
            assert ledger is not None
            assert relay.accounts is not None
            for _ in range(3):
                await ask(gate.port, SSE, question("sim/default"))
            await until(lambda: not len(relay.registry))
            assert len(ledger.writer._queue) == 6
            assert relay.accounts._fresh == {}
            gc.collect()
            assert [each for each in gc.get_objects() if isinstance(each, Stream)] == []

    run(case())
    database = Database(options.url)
    with database.reading() as connection:
        assert len(connection.execute(select(legs)).all()) == 3
    database.close()


def test_a_stream_that_is_live_when_the_book_is_written_is_begun_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "GATHER", 0.01)
    options = in_folder(tmp_path)

    async def case() -> None:
        async with rig(ledger=options) as gate:
            reader = await Reader.connect(gate.port)
            reader.send(request_bytes(SSE, json.dumps(question("sim/stall")).encode()))
            database = Database(options.url)

            def begun() -> list[Any]:
                with database.reading() as connection:
                    return list(connection.execute(select(begins)).all())

            await until(lambda: bool(begun()))
            ((row),) = begun()
            assert (row.model, row.framing, row.key_id) == ("sim/stall", "sse", "anonymous")
            database.close()
            await reader.close()

    run(case())
