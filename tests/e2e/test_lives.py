"""Ten thousand random lives through real sockets: any answer or fault, any framing, any face, any reader.

Whatever happens in between, afterwards nothing is left (task, socket, timer, place in the pool, slot in the registry,
generation of the model), each stream has exactly one record, and the record agrees with what the reader saw and with
what the model server knows that it sent. The ledger has each leg of each stream once, and its tokens are those that
were delivered. Nothing here depends on who was faster: a life that a loaded machine turns
into a timeout has to be told as one.

A failure names its life. ``pytest tests/e2e/test_lives.py -k seed-7`` plays the lives of seed 7 again, and
``TIDEGATE_LIVES=100:200 pytest tests/e2e/test_lives.py`` those of a hundred other seeds.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sqlalchemy import select

from tests.fakes.gateway import HTTP2, Rig, gateway, run, simulator_options, until, upstream
from tests.fakes.loop import timers_left
from tests.fakes.reader import Reader, ask, request_bytes
from tidegate.ledger.database import Database
from tidegate.ledger.options import LedgerOptions
from tidegate.ledger.report import Query, usage
from tidegate.ledger.tables import begins, legs
from tidegate.ledger.verify import verify
from tidegate.policy.options import LimitOptions
from tidegate.simulator.script import asked_of, deltas
from tidegate.simulator.server import Simulator, Truth
from tidegate.simulator.texts import ANSWERS, tokens_of
from tidegate.telemetry.record import StreamRecord

SEEDS = range(*map(int, os.environ.get("TIDEGATE_LIVES", "0:20").split(":")))
TOKENS = 12
"""Of each answer."""
WORKERS = 50
LIVES = 10
"""Of one worker: 20 seeds of 50 workers with 10 lives each are ten thousand."""

SSE, OWN = "/v1/chat/completions", "/api/v1/chat/stream"
FACES = {"fast": True, "plain": False, "http2": HTTP2}
SUCCESS = {"stop", "length", "tool_calls"}

ANSWERING = ["default", "prose", "emoji", "cjk", "rtl", "tools", "reasoning", "refusal", "strawberry", "usage-beside"]
"""Answers that come as they were meant, oddly framed or not."""
ANSWERING += ["no-done", "crlf", "cr", "comments", "ids", "no-role", "gzip", "http10", "length-framed", "json"]
ANSWERING += ["keepalive-close", "garbage", "invalid-utf8", "split-utf8", "429-then-ok", "500-then-ok", "503-then-ok"]
FAILING = ["401", "403", "404", "429", "500", "503", "stall", "silent", "no-finish", "done-only", "error-event"]
FAILING += ["late-error-after-finish", "half-event", "html", "head-bomb", "two-lengths", "echo-key"]
NUMBERED = ["stall-after", "cut-after", "cut-clean-after", "rst-after"]
RARE = ["finish-then-hang", "slow-head", "dribble?tokens=3", "big-event-1", "big-event-9", "flood-1"]
RARE += ["default?tokens=500"]

BAD = [
    (b"{", 400),
    (b"[]", 400),
    (b'{"messages":[{}]}', 400),
    (b'{"model":"sim/default"}', 400),
    (b'{"model":"sim/default","messages":[{}],"stream":1}', 400),
    (b"\xff", 400),
    (b"x" * 70_000, 413),
]

REASONS = {
    "upstream_cut": "upstream_cut",
    "idle_timeout": "idle_timeout",
    "total_timeout": "total_timeout",
    "first_token_timeout": "first_token_timeout",
    "connect_timeout": "connect_timeout",
    "client_cancel": "client_cancel",
    "overloaded": "limit",
}
"""Error codes whose terminal reason has a name of its own."""


@dataclass
class Life:
    """What one reader asks for and does, and what it sees."""

    name: str
    model: str
    path: str
    framing: str
    face: str
    does: str
    after: int
    """Bytes of the body that it reads before it does so; 0: before the head."""
    pause: float
    status: int = 0
    stream_id: str | None = None
    left: bool = False
    saw: str = ""
    tokens: int = 0
    text: str = ""
    error: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}: {self.model} {self.framing} {self.face}, {self.does} after {self.after}; saw {self.saw}"


def life_of(seed: int, number: int) -> Life:
    """The same life for the same numbers."""
    rand = random.Random(f"{seed}/{number}")
    kind = rand.random()
    if kind < 0.5:
        asked = rand.choice(ANSWERING)
    elif kind < 0.75:
        asked = rand.choice(FAILING)
    elif kind < 0.95:
        asked = f"{rand.choice(NUMBERED)}-{rand.choice((0, 1, 2, 5, 9))}"
    else:
        asked = rand.choice(RARE)
    options = f"ttft={rand.choice((0, 0, 0.005, 0.03))}&tps={rand.choice((0, 0, 300, 2000))}"
    framing = rand.choice(("sse", "sse", "ndjson", "ndjson", "json"))
    does = rand.choices(
        ("reads", "naps", "resets", "closes", "half-closes", "stops", "deletes", "errs", "breaks off"),
        (40, 10, 10, 8, 8, 10, 8, 4, 2),
    )[0]
    return Life(
        name=f"seed {seed}, life {number}",
        # The number makes the model's name this life's own: it is how its record and its generations are found.
        model=f"sim/{asked}{'&' if '?' in asked else '?'}{options}&seed={number}",
        path=rand.choice((SSE, OWN)) if framing == "ndjson" else SSE,
        framing=framing,
        face=rand.choices(tuple(FACES), (45, 35, 20))[0],
        does=does,
        after=rand.choice((0, 0, 1, 200, 1000, 3000)),
        pause=rand.choice((0.0, 0.0, 0.002, 0.02, 0.08)),
    )


def options_of(seed: int) -> dict[str, Any]:
    """The gateway's options for a whole case: short times, and whatever changes the paths through the code."""
    rand = random.Random(seed)
    return {
        "first_token_timeout": 0.4,
        "idle_timeout": 0.4,
        "total_timeout": 8.0,
        # Longer than any reader here takes nothing, on a busy machine too: what has ended is given up then.
        "stall_timeout": 5.0,
        "retry_attempts": rand.choice((0, 1, 2)),
        "heartbeat": rand.choice((0.0, 0.05, 15.0)),
        "flush_interval": rand.choice((0.0, 0.0, 0.01)),
        "high_water": rand.choice((1024, 65536)),
        "on_disconnect": rand.choice(("cancel", "cancel", "drain")),
        "drain_seconds": 0.3,
    }


async def live(life: Life, gate: Rig, kept: Reader | None) -> Reader | None:
    """One life; returns its connection when another one may follow on it."""
    reader = kept or await Reader.connect(gate.port, receive_buffer=4096 if life.does == "naps" else None)
    reader.status, reader.headers, reader.body, reader.whole = 0, {}, b"", False
    if life.does == "breaks off":
        reader.send(request_bytes(life.path, b'{"model":', length=500))
        await asyncio.sleep(life.pause)
        reader.hang_up()
        life.left, life.saw = True, "nothing"
        return None
    reader.send(_request(life))
    try:
        await _act(life, gate, reader)
        life.status, life.stream_id = reader.status, reader.headers.get("x-stream-id")
    except (ConnectionError, asyncio.IncompleteReadError):
        life.saw = life.saw or "a connection that closed"
    except BaseException:
        reader.hang_up()
        raise
    if not reader.whole or reader.headers.get("connection") == "close":
        await reader.close()
        return None
    return reader


def _request(life: Life) -> bytes:
    if life.does == "errs":
        body, _ = BAD[life.after % len(BAD)]
        return request_bytes(life.path, body)
    body = json.dumps(
        {"model": life.model, "messages": [{"role": "user", "content": "Why?"}], "stream": life.framing != "json"}
    ).encode()
    headers = {"accept": "application/x-ndjson"} if life.framing == "ndjson" and life.path == SSE else {}
    return request_bytes(life.path, body, headers)


async def _act(life: Life, gate: Rig, reader: Reader) -> None:
    leaves = life.does in ("resets", "closes", "half-closes")
    if leaves and not life.after:
        await asyncio.sleep(life.pause)
        await _leave(life, reader)
        return
    await reader.head()
    if life.does != "reads":
        while not reader.whole and len(reader.body) < life.after and await reader.chunk():
            pass
    if not reader.whole:
        if leaves:
            await _leave(life, reader)
            return
        await asyncio.sleep(life.pause)
        if life.does in ("stops", "deletes"):
            stop = life.does == "stops"
            where = f"/v1/streams/{reader.headers['x-stream-id']}{'/stop' if stop else ''}"
            answer = await ask(gate.port, where, None, method="POST" if stop else "DELETE")
            assert answer.status == 200, str(life)
        await reader.rest()
    _look(life, reader)


async def _leave(life: Life, reader: Reader) -> None:
    life.left, life.saw = True, "nothing more"
    if life.does == "resets":
        reader.hang_up()
    elif life.does == "closes":
        await reader.close()
    else:
        reader.half_close()
        if life.face != "http2":  # where the connection stays
            await reader.stream.read()  # whatever was on its way, until the gateway closes
        await reader.close()


def _look(life: Life, reader: Reader) -> None:
    """What the reader makes of the body that it got."""
    if not reader.whole:
        life.saw = "a body that is not whole"
        return
    try:
        life.error = reader.error or {}
    except ValueError as error:
        raise AssertionError(f"{life}: not JSON: {reader.status} {reader.headers} {reader.body[:500]!r}") from error
    if reader.status != 200:
        life.saw = f"status {reader.status}"
        return
    events = [event for event in reader.events() if event != "[DONE]"]
    for event in events:
        for choice in event.get("choices", ()):
            said = choice.get("delta") or choice.get("message") or {}
            life.text += "".join(said.get(name) or "" for name in ("reasoning_content", "content", "refusal"))
            life.tokens += any(said.get(name) for name in ("reasoning_content", "content", "refusal", "tool_calls"))
    if life.error:
        life.saw = "an error"
        assert "[DONE]" not in reader.events(), str(life)
    elif any("tidegate" in event for event in events):
        life.saw = "a soft stop"
    else:
        life.saw = "a success"
    if not life.error:
        assert reader.finish is not None, f"{life}: neither an error nor a finish reason"
        assert reader.done == (life.framing == "sse"), str(life)


def check(life: Life, records: list[StreamRecord], truths: list[Truth]) -> None:
    """The record agrees with what the reader saw, and with what the model server sent."""
    if life.does in ("errs", "breaks off"):
        assert (records, truths) == ([], []), str(life)
        assert life.left or life.status == BAD[life.after % len(BAD)][1], str(life)
        return
    if not records:  # it left before its request had been read
        assert life.left, str(life)
        assert truths == []
        return
    (record,) = records
    about = f"{life}; {record}; {truths}"
    assert record.reason != "internal_error", about
    assert len(truths) <= record.retries + 1, about
    assert record.tokens <= max((truth.tokens for truth in truths), default=0) + _uncounted(life), about
    if life.left:
        assert record.reason in SUCCESS or record.reason == "client_cancel" or record.error_code, about
        assert (record.cancel_latency is not None) <= (record.reason == "client_cancel"), about
        return
    assert life.stream_id in (record.stream_id, None), about
    saw = next(saw for saw in CHECKS if life.saw.startswith(saw))
    CHECKS[saw](life, record, truths, about)


def _saw_success(life: Life, record: StreamRecord, truths: list[Truth], about: str) -> None:
    assert record.reason in SUCCESS, about
    assert (record.status, record.error_code) == (200, None), about
    # A try that was given up may be the last one that the model server got to see.
    assert not all(truth.aborted for truth in truths) or life.model.startswith("sim/finish-then-hang"), about
    said = expected(life.model)
    assert said is None or life.text == said, about
    if not life.model.startswith("sim/json"):
        assert record.tokens in {truth.tokens + _uncounted(life) for truth in truths}, about
        assert life.framing == "json" or life.tokens == record.tokens, about


def _saw_soft_stop(life: Life, record: StreamRecord, truths: list[Truth], about: str) -> None:
    assert record.reason == "soft_stop", about
    assert life.does == "stops", about
    _saw_part(life, record, about)


def _saw_error(life: Life, record: StreamRecord, truths: list[Truth], about: str) -> None:
    assert record.status == 200, about
    assert life.error["stream_id"] == record.stream_id, about
    assert record.error_code == life.error["code"], about
    assert record.reason == REASONS.get(life.error["code"], record.reason), about
    assert record.reason not in SUCCESS, about
    _saw_part(life, record, about)


def _saw_status(life: Life, record: StreamRecord, truths: list[Truth], about: str) -> None:
    assert record.status == life.status, about
    assert record.error_code == life.error["code"], about
    assert record.reason == REASONS.get(life.error["code"], record.reason), about
    assert record.reason not in SUCCESS, about
    assert life.framing == "json" or record.tokens == 0, about


def _saw_a_cut(life: Life, record: StreamRecord, truths: list[Truth], about: str) -> None:
    """A connection that closed, or a body that is not whole: only a reader that does not read is given up like that."""
    given_up = record.reason == "client_stalled" or (record.reason == "client_cancel" and life.does == "deletes")
    assert given_up or (record.reason == "total_timeout" and life.does == "naps"), about


def _saw_part(life: Life, record: StreamRecord, about: str) -> None:
    assert life.framing == "json" or life.tokens == record.tokens, about
    said = expected(life.model)
    assert said is None or said.startswith(life.text), about


CHECKS = {
    "a success": _saw_success,
    "a soft stop": _saw_soft_stop,
    "an error": _saw_error,
    "status": _saw_status,
    "a body": _saw_a_cut,
    "a connection": _saw_a_cut,
}


def expected(model: str) -> str | None:
    """The whole text that an answer would have; ``None`` where it is not that of a built-in answer."""
    name = model.removeprefix("sim/").partition("?")[0]
    if name.startswith(("big-event", "flood", "strawberry", "tools", "json", "dribble")):
        return "-s-t-r-a-w-b-e-r-r-y" if name == "strawberry" else None
    if name == "split-utf8":
        return "".join(tokens_of(ANSWERS["emoji"])[:TOKENS])
    said = deltas(asked_of({"model": model}, simulator_options(tokens=TOKENS)))
    return "".join(each.get("content") or each.get("reasoning_content") or each.get("refusal") or "" for each in said)


def _uncounted(life: Life) -> int:
    """Deltas that the simulator does not count as tokens: its big event; the pieces of a whole body."""
    return 1 if life.model.startswith("sim/big-event-1") else 9 if life.model.startswith("sim/json") else 0


async def play(seed: int, lives: list[Life]) -> None:
    """All lives of one seed, on a gateway for each face in front of one model server."""
    simulator = Simulator(simulator_options(tokens=TOKENS, jitter=0.5, seed=seed))
    await simulator.start()
    try:
        with TemporaryDirectory() as folder:
            await between(simulator, seed, lives, folder)
    finally:
        await simulator.close()
    for _ in range(500):
        if not timers_left():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"timers were left: {timers_left()}")


async def between(simulator: Simulator, seed: int, lives: list[Life], folder: str) -> None:
    """Everything while the model server runs."""
    options = options_of(seed)
    up = upstream(simulator.url, max_connections=random.Random(seed).choice((8, 10_000)))
    server = {"max_request_bytes": 65_536}
    ledger = LedgerOptions(url=f"sqlite:///{folder}/tidegate.db", spool=f"{folder}/spool")
    # Half of them are counted, and never reach a limit: every place that was taken has to come back.
    sections = {"limits": LimitOptions(rpm=10**9, tpm=10**12, concurrent=10**9)} if seed % 2 else {}
    async with AsyncExitStack() as stack:
        gates: dict[str, Rig] = {}
        for face, fast in FACES.items():
            gates[face] = await stack.enter_async_context(
                gateway(up, fast=fast, server=server, ledger=ledger, sections=sections, **options)
            )

        async def work(worker: int) -> None:
            kept: dict[str, Reader] = {}
            for number in range(worker * LIVES, (worker + 1) * LIVES):
                life = life_of(seed, number)
                lives.append(life)
                before = None if life.does == "naps" else kept.pop(life.face, None)
                after = await live(life, gates[life.face], before)
                if after is not None:
                    if life.face in kept:
                        await kept[life.face].close()
                    kept[life.face] = after
            for reader in kept.values():
                await reader.close()

        async with asyncio.TaskGroup() as workers:
            for worker in range(WORKERS):
                workers.create_task(work(worker))
        for gate in gates.values():
            await until(lambda gate=gate: not len(gate.gateway.relay.registry))  # type: ignore[misc]
            (client,) = gate.gateway.relay._clients.values()
            await until(lambda client=client: client.open_connections == client.idle_connections)  # type: ignore[misc]
            assert client._pool.waiting == 0, "somebody waits for a place that nobody uses"
        await until(lambda: simulator.stats()["running"] == 0)
    for gate in gates.values():
        assert all(client.open_connections == 0 for client in gate.gateway.relay._clients.values())
    await until(lambda: not simulator.connections)
    records = [record for gate in gates.values() for record in gate.records]
    judge(lives, records, list(simulator.truths))
    audit(lives, records, list(simulator.truths), ledger)


def judge(lives: list[Life], records: list[StreamRecord], truths: list[Truth]) -> None:
    by_model: dict[str, tuple[list[StreamRecord], list[Truth]]] = {life.model: ([], []) for life in lives}
    for record in records:
        by_model[record.model][0].append(record)
    for truth in truths:
        by_model[truth.model][1].append(truth)
    for life in lives:
        check(life, *by_model[life.model])


def audit(lives: list[Life], records: list[StreamRecord], truths: list[Truth], options: LedgerOptions) -> None:
    """Conservation: what the ledger has is what was delivered, each leg once."""
    database = Database(options.url)
    with database.reading() as connection:
        rows = connection.execute(select(legs)).mappings().all()
        assert verify(connection).problems == []
        assert connection.execute(select(begins)).all() == []
        reported = list(usage(connection, Query(by="reason")))
    database.close()
    assert len(rows) == sum(record.retries + 1 for record in records)
    final = {row["stream_id"]: row for row in rows if row["final"]}
    assert final.keys() == {record.stream_id for record in records}
    assert all(row["output_tokens"] == 0 for row in rows if not row["final"])
    by_model = {life.model: life for life in lives}
    sent = Counter[str]()
    for truth in truths:
        sent[truth.model] = max(sent[truth.model], truth.tokens)
    kept = delivered = 0
    for record in records:
        row, life = final[record.stream_id], by_model[record.model]
        about = f"{life}; {dict(row)}; {record}"
        whole = life.saw in ("a success", "a soft stop", "an error") and life.framing != "json"
        assert (row["reason"], row["model"], row["retries"]) == (record.reason, record.model, record.retries), about
        assert row["output_tokens"] >= row["delivered"] - _uncounted(life), about
        # A body that comes whole is one delta, and tells how many tokens it has.
        told = TOKENS if record.usage is not None else 0
        # Where deltas are long, what was not told is estimated from their text.
        long = life.model.startswith(("sim/big-event", "sim/flood")) and row["estimated"]
        assert long or row["output_tokens"] <= max(sent[record.model] + _uncounted(life), told), about
        if whole and not _uncounted(life) and not long:
            assert row["output_tokens"] == row["delivered"] == life.tokens, about
            delivered += life.tokens
            kept += row["output_tokens"]
    assert kept == delivered > 0
    # What is reported is what the rows add up to, and each stream is in it once.
    assert sum(each["output_tokens"] for each in reported) == sum(row["output_tokens"] for row in rows)
    assert sum(each["streams"] for each in reported) == len(records)


def kinds(lives: list[Life]) -> Iterator[str]:
    for life in lives:
        yield life.saw
        yield life.does


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"seed-{seed}")
def test_random_lives_leave_nothing_behind(seed: int) -> None:
    """Five hundred of the ten thousand, fifty at a time."""
    lives: list[Life] = []

    async def case() -> None:
        try:
            await play(seed, lives)
        except TimeoutError:
            raise AssertionError(f"did not end: {[str(life) for life in lives if not life.saw]}") from None

    run(case(), count_timers=True)
    seen = Counter(kinds(lives))
    # What it is good for: every kind of reader was there, and saw every kind of end.
    assert len(lives) == WORKERS * LIVES
    assert seen.keys() >= {"a success", "an error", "nothing more", "resets", "half-closes", "naps", "deletes"}, seen
