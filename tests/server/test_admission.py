"""server/admission.py: what a client is told of its limits; that they hold is tests/e2e/test_limits.py."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from tests.fakes.gateway import run, until
from tests.telemetry.records import record
from tidegate.errors import OutOfBudget, Overloaded, RateLimited
from tidegate.events import Usage
from tidegate.policy.keys import ANONYMOUS, Principal
from tidegate.policy.limits import NO_END, Ask, Grant, Kind, Limits, Meter, Refusal, Standing
from tidegate.policy.meters import Meters
from tidegate.policy.options import LimitOptions
from tidegate.server.admission import (
    AHEAD,
    SLACK,
    STEP,
    Admission,
    Entry,
    SharedEntry,
    duration,
    headers_of,
    refusal_of,
)
from tidegate.server.spending import Spending
from tidegate.shared.limits import SharedGrant
from tidegate.telemetry.admission import AdmissionMetrics

WHO = Principal("key-1")


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0ms"),
        (120, "120ms"),
        (1000, "1s"),
        (8640, "8.64s"),
        (60_250, "1m0.25s"),
        (360_000, "6m0s"),
        (86_400_000, "24h0m0s"),
    ],
)
def test_a_duration_is_written_as_openai_writes_it(ms: int, text: str) -> None:
    assert duration(ms) == text


def test_headers_are_openais() -> None:
    standings = ((Kind.REQUESTS, Standing(60, 59, 1000)), (Kind.TOKENS, Standing(150_000, 149_984, 360_000)))
    assert dict(headers_of(standings)) == {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"59",
        b"x-ratelimit-reset-requests": b"1s",
        b"x-ratelimit-limit-tokens": b"150000",
        b"x-ratelimit-remaining-tokens": b"149984",
        b"x-ratelimit-reset-tokens": b"6m0s",
    }


@pytest.mark.parametrize(
    ("refusal", "kind", "words", "retry_after"),
    [
        (Refusal(Meter(Kind.REQUESTS, "key:key-1", 60), 1500), RateLimited, "the key key-1: 60 requests per", 1.5),
        (Refusal(Meter(Kind.TOKENS, "tag:0:team=a", 60), 999), RateLimited, "the tag team=a: 60 tokens per", 0.999),
        (Refusal(Meter(Kind.TOKENS, "model:0:m:8b", 60), 5), RateLimited, "the model m:8b: 60 tokens per", 0.005),
        (Refusal(Meter(Kind.STREAMS, "gateway", 5), None), RateLimited, "this gateway: 5 streams at the same", 1.0),
        (Refusal(Meter(Kind.TOKENS, "gateway", 5), None, never=True), RateLimited, "send a shorter one", None),
        (
            Refusal(Meter(Kind.BUDGET, "key:key-1:day:2026-01-01", 5 * 10**9), 60_000),
            OutOfBudget,
            "of the key key-1 of $5.00 is spent; there is more in 1m0s",
            60.0,
        ),
        (Refusal(Meter(Kind.BUDGET, "key:key-1:total", 10**7), None), OutOfBudget, "of $0.01 is spent.", None),
    ],
)
def test_a_refusal_says_whose_limit_it_is_and_when_to_come_again(
    refusal: Refusal, kind: type, words: str, retry_after: float | None
) -> None:
    error = refusal_of(refusal, WHO)
    assert type(error) is kind
    assert words in error.message
    assert (error.status, error.retry_after, error.cause) == (429, retry_after, refusal.meter.kind.value)


def test_in_the_middle_of_an_answer_it_says_so() -> None:
    assert "in the middle" in refusal_of(Refusal(Meter(Kind.TOKENS, "gateway", 5), 7), WHO, inside=True).message


class FreeOfCharge:
    """Costs."""

    def expected(self, _: str) -> None:
        return None

    def of(self, *_: object) -> int:
        return 0


class Known:
    """What is told to whoever counts."""

    def __init__(self) -> None:
        self.settled: list[tuple[int, int]] = []
        self.answers: list[int | Refusal | Overloaded] = []
        self.alone: list[int | Refusal | Overloaded] = []
        self.asked: list[int] = []

    async def more(self, _: object, output: int) -> int | Refusal:
        self.asked.append(output)
        await until(lambda: bool(self.answers))
        return self.given(self.answers)

    def more_alone(self, _: object, output: int) -> int | Refusal:
        self.asked.append(-output)
        return self.given(self.alone)

    def given(self, answers: list[int | Refusal | Overloaded]) -> int | Refusal:
        answer = answers.pop(0)
        if isinstance(answer, Overloaded):
            raise answer
        return answer

    def settle(self, _: object, tokens: int, cost: int, __: int = 0) -> None:
        self.settled.append((tokens, cost))


def admission(shared: Known | None = None) -> Admission:
    made = Admission(Meters(LimitOptions()), AdmissionMetrics(CollectorRegistry()), Spending(None), cost=FreeOfCharge())
    made.shared = shared  # type: ignore[assignment]
    return made


def shared_entry(known: Known, allowance: int = 100) -> SharedEntry:
    meter = Meter(Kind.TOKENS, "key:a", 1000)
    grant = SharedGrant(Limits().charge([meter], Ask(0, allowance), 0), local=True)
    return SharedEntry(admission(known), grant, WHO, "m")


OVER = Refusal(Meter(Kind.TOKENS, "key:a", 1000), 5)


def test_over_redis_more_is_asked_before_it_is_needed() -> None:
    async def case() -> None:
        known, changes = Known(), []
        entry = shared_entry(known)
        entry.bind(lambda: changes.append(entry.tokens))
        assert entry.tokens == 100 - AHEAD
        assert entry.more(69) is None
        assert entry.tokens == 100 + SLACK
        known.answers.append(100 + STEP)
        await until(lambda: bool(changes))
        assert known.asked == [100 + STEP]
        assert changes == [100 + STEP - AHEAD] == [entry.tokens]

    run(case())


def test_a_refusal_that_comes_early_waits_until_what_was_granted_is_used() -> None:
    async def case() -> None:
        known = Known()
        entry = shared_entry(known)
        assert entry.more(69) is None
        known.answers.append(OVER)
        await until(lambda: entry.tokens == 100)
        assert entry.more(100) is None
        assert isinstance(entry.more(101), RateLimited)

    run(case())


def test_when_the_answer_is_late_it_is_decided_here() -> None:
    async def case() -> None:
        known = Known()
        entry = shared_entry(known)
        assert entry.more(69) is None
        await asyncio.sleep(0)
        known.alone += [180, OVER]
        assert entry.more(100 + SLACK + 1) is None
        assert entry.tokens == 180 + SLACK
        assert isinstance(entry.more(180 + SLACK + 1), RateLimited)
        assert known.asked[1:] == [-(100 + SLACK + 1 + STEP), -(180 + SLACK + 1 + STEP)]
        known.answers.append(400)
        entry.close()
        await until(lambda: bool(known.settled))
        assert known.settled == [(0, 0)]

    run(case())


@pytest.mark.parametrize("late", [False, True])
def test_closed_a_stream_ends_when_redis_is_away(late: bool) -> None:
    async def case() -> None:
        known, away = Known(), Overloaded("away", code="limits_unavailable")
        entry = shared_entry(known)
        assert entry.more(69) is None
        await asyncio.sleep(0)
        if late:
            known.alone.append(away)
            error = entry.more(100 + SLACK + 1)
            known.answers.append(1)
        else:
            known.answers.append(away)
            await until(lambda: entry.tokens == 100)
            error = entry.more(101)
        assert isinstance(error, RateLimited)
        assert error.code == "limits_unavailable"
        await asyncio.sleep(0.01)

    run(case())


@pytest.mark.parametrize(
    ("told", "used"),
    [
        ({"usage": Usage(30, 50), "tokens": 48, "reason": "stop"}, 80),
        ({"usage": Usage(30, 10), "tokens": 48, "reason": "limit"}, 78),
        ({"usage": None, "tokens": 48, "reason": "limit"}, 55),
        ({"usage": None, "tokens": 0, "reason": "client_cancel", "queue_time": 0.1}, 7),
        ({"usage": None, "tokens": 0, "reason": "client_cancel", "queue_time": None}, 0),
        ({"usage": None, "tokens": 0, "reason": "upstream_refused"}, 0),
    ],
)
def test_what_was_used_is_the_upstreams_word_or_what_was_seen(told: dict[str, object], used: int) -> None:
    known = Known()
    gate = admission()
    gate.limits = known  # type: ignore[assignment]
    entry = Entry(gate, Grant((), Ask(7, 90)), ANONYMOUS, "m")
    assert entry.tokens == NO_END
    entry.ended(record(**told))
    entry.close()
    assert known.settled == [(used, 0)]


def test_answers_that_end_by_themselves_say_how_long_answers_are() -> None:
    gate = admission()
    for reason, tokens in (("stop", 40), ("limit", 5), ("length", 60)):
        Entry(gate, Grant((), Ask(7, 90)), WHO, "m").ended(record(reason=reason, tokens=tokens, usage=None))
    assert gate.expectations.of("m") == 50
