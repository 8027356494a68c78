"""What limits promise, as tests that run on every implementation: in one process, and over Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hypothesis import strategies as st

from tidegate.policy.limits import NO_END, Ask, Grant, Kind, Meter, Refusal
from tidegate.policy.windows import GRAIN, MINUTE, SPAN

START = 1_000_000_000
KEY = "key:a"


def requests(limit: int, subject: str = KEY) -> Meter:
    return Meter(Kind.REQUESTS, subject, limit)


def tokens(limit: int, subject: str = KEY) -> Meter:
    return Meter(Kind.TOKENS, subject, limit)


def streams(limit: int, subject: str = KEY) -> Meter:
    return Meter(Kind.STREAMS, subject, limit)


def budget(limit: int, spent: int = 0, resets: int | None = 5000, subject: str = KEY) -> Meter:
    return Meter(Kind.BUDGET, subject, limit, spent, resets)


def ask(prompt: int = 10, output: int = 90, prompt_cost: int = 0, unit_cost: float = 0.0) -> Ask:
    return Ask(prompt, output, prompt_cost, unit_cost)


class Table(Protocol):
    """An implementation, and the clock it sees."""

    now: int

    def admit(self, meters: Sequence[Meter], ask: Ask) -> Grant | Refusal: ...

    def more(self, grant: Grant, output: int) -> int | Refusal: ...

    def settle(self, grant: Grant, tokens: int, cost: int = 0) -> None: ...


def granted(decision: Grant | Refusal) -> Grant:
    assert isinstance(decision, Grant), decision
    return decision


def refused(decision: Grant | Refusal | int) -> Refusal:
    assert isinstance(decision, Refusal), decision
    return decision


class Rules:
    """The promises; a subclass has the fixture ``table``."""

    def test_no_more_requests_than_the_limit_and_the_wait_is_true(self, table: Table) -> None:
        for _ in range(3):
            granted(table.admit([requests(3)], ask()))
        refusal = refused(table.admit([requests(3)], ask()))
        assert refusal.meter.kind is Kind.REQUESTS
        assert refusal.wait is not None
        assert MINUTE <= refusal.wait <= MINUTE + GRAIN
        table.now += refusal.wait - 1
        refused(table.admit([requests(3)], ask()))
        table.now += 1
        granted(table.admit([requests(3)], ask()))

    def test_the_window_slides(self, table: Table) -> None:
        granted(table.admit([requests(2)], ask()))
        table.now += 30_000
        granted(table.admit([requests(2)], ask()))
        table.now += 30_000 + GRAIN
        granted(table.admit([requests(2)], ask()))
        refusal = refused(table.admit([requests(2)], ask()))
        assert refusal.wait is not None
        assert refusal.wait <= 30_000

    def test_tokens_are_reserved_and_what_was_not_used_comes_back(self, table: Table) -> None:
        grant = granted(table.admit([tokens(100)], ask(10, 90)))
        assert grant.allowance() == 90
        refused(table.admit([tokens(100)], ask(1, 1)))
        table.settle(grant, 40)
        assert granted(table.admit([tokens(100)], ask(10, 50))).allowance() == 50
        refused(table.admit([tokens(100)], ask(0, 1)))

    def test_more_than_was_reserved_is_charged_at_the_end(self, table: Table) -> None:
        grant = granted(table.admit([tokens(100)], ask(10, 10)))
        table.settle(grant, 95)
        refused(table.admit([tokens(100)], ask(1, 5)))
        granted(table.admit([tokens(100)], ask(1, 4)))

    def test_what_has_slid_out_does_not_come_back_twice(self, table: Table) -> None:
        grant = granted(table.admit([tokens(100)], ask(10, 90)))
        table.now += MINUTE + GRAIN
        other = granted(table.admit([tokens(100)], ask(10, 90)))
        table.settle(grant, 20)
        refused(table.admit([tokens(100)], ask(1, 0)))
        table.settle(other, 99)
        granted(table.admit([tokens(100)], ask(1, 0)))

    def test_a_reservation_is_never_more_than_the_limit_could_grant(self, table: Table) -> None:
        assert granted(table.admit([tokens(60)], ask(10, 4000))).allowance() == 50

    def test_a_prompt_over_the_limit_is_never_served(self, table: Table) -> None:
        refusal = refused(table.admit([requests(5), tokens(60)], ask(61, 10)))
        assert refusal.never
        assert refusal.wait is None

    def test_a_stream_gets_more_until_there_is_none(self, table: Table) -> None:
        grant = granted(table.admit([requests(5), streams(5), tokens(100)], ask(10, 20)))
        assert table.more(grant, 84) == 84
        assert table.more(grant, 148) == 90
        refusal = refused(table.more(grant, 148))
        assert refusal.meter.kind is Kind.TOKENS
        assert refusal.wait is not None
        assert refusal.wait <= MINUTE + GRAIN
        table.now += refusal.wait
        more = table.more(grant, 148)
        assert isinstance(more, int)
        assert more > 90

    def test_more_counts_against_what_is_reserved_already(self, table: Table) -> None:
        meters = [tokens(1000), tokens(60, "tag:t")]
        grant = granted(table.admit(meters, ask(10, 200)))
        assert grant.allowance() == 50
        assert refused(table.more(grant, 100)).meter.subject == "tag:t"
        table.settle(grant, 60)
        assert granted(table.admit([tokens(1000)], ask(0, 940))).allowance() == 940
        refused(table.admit([tokens(1000)], ask(0, 1)))

    def test_streams_are_counted_until_they_are_settled_once(self, table: Table) -> None:
        first, second = (granted(table.admit([streams(2)], ask())) for _ in range(2))
        refusal = refused(table.admit([streams(2)], ask()))
        assert (refusal.meter.kind, refusal.wait, refusal.never) == (Kind.STREAMS, None, False)
        table.settle(first, 0)
        table.settle(first, 0)
        third = granted(table.admit([streams(2)], ask()))
        refused(table.admit([streams(2)], ask()))
        table.settle(second, 0)
        table.settle(third, 0)
        granted(table.admit([streams(1)], ask()))

    def test_all_or_nothing(self, table: Table) -> None:
        holder = granted(table.admit([streams(1, "gateway")], ask()))
        meters = [requests(1), tokens(100), streams(1), budget(1000), streams(1, "gateway")]
        for _ in range(3):
            refused(table.admit(meters, ask(10, 90, 0, 1.0)))
        table.settle(holder, 0)
        grant = granted(table.admit(meters, ask(10, 90, 0, 1.0)))
        assert grant.charged == [1, 100, 1, 90, 1]

    def test_the_longest_wait_is_told(self, table: Table) -> None:
        meters = [streams(1), requests(1), budget(10, 0, 90_000)]
        granted(table.admit(meters, ask(10, 90, 0, 1.0)))
        assert refused(table.admit(meters, ask())).meter.kind is Kind.BUDGET
        assert refused(table.admit(meters[:2], ask())).meter.kind is Kind.REQUESTS
        forever = budget(10, 10, None, "key:b")
        refusal = refused(table.admit([*meters, forever], ask()))
        assert (refusal.meter.subject, refusal.wait) == ("key:b", None)

    def test_the_last_cent_of_a_budget_may_be_spent(self, table: Table) -> None:
        meters = [budget(1000, 900)]
        price = ask(10, 90, 20, 2.0)
        grant = granted(table.admit(meters, price))
        assert grant.charged == [100]
        assert grant.allowance() == 40
        refusal = refused(table.admit(meters, price))
        assert (refusal.meter.kind, refusal.wait) == (Kind.BUDGET, 5000)
        assert refused(table.more(grant, 41)).wait == 5000
        table.settle(grant, 30, 60)
        grant = granted(table.admit(meters, price))
        assert grant.charged == [40]
        assert grant.allowance() == 10

    def test_money_that_live_streams_hold_is_not_there_for_others(self, table: Table) -> None:
        price = ask(0, 100, 0, 1.0)
        first = granted(table.admit([budget(250)], price))
        second = granted(table.admit([budget(250)], price))
        assert table.more(first, 1000) == 150
        refused(table.more(second, 101))
        table.settle(second, 0, 10)
        assert table.more(first, 1000) == 240

    def test_a_stream_without_a_price_spends_nothing_and_is_let_in_while_there_is_money(self, table: Table) -> None:
        grant = granted(table.admit([budget(1000, 999), tokens(50)], ask(10, 5)))
        assert grant.allowance() == 5
        assert table.more(grant, 20) == 20
        only = granted(table.admit([budget(1000, 999)], ask(10, 5)))
        assert only.allowance() == NO_END
        refused(table.admit([budget(1000, 1000)], ask(10, 5)))

    def test_what_others_spent_comes_from_the_ledger(self, table: Table) -> None:
        grant = granted(table.admit([budget(1000)], ask(0, 10, 0, 1.0)))
        table.settle(grant, 10, 400)
        assert granted(table.admit([budget(1000, 300)], ask(0, 9999, 0, 1.0))).charged == [600]
        refused(table.admit([budget(1000, 1000)], ask()))

    def test_the_tightest_limit_of_each_kind_stands_in_the_headers(self, table: Table) -> None:
        meters = [requests(5), tokens(500), requests(3, "gateway"), tokens(9000, "gateway"), streams(9)]
        grant = granted(table.admit(meters, ask(10, 90)))
        standings = dict(grant.standings)
        assert list(standings) == [Kind.REQUESTS, Kind.TOKENS]
        assert (standings[Kind.REQUESTS].limit, standings[Kind.REQUESTS].remaining) == (3, 2)
        assert (standings[Kind.TOKENS].limit, standings[Kind.TOKENS].remaining) == (500, 400)
        assert MINUTE <= standings[Kind.TOKENS].reset <= MINUTE + GRAIN
        for _ in range(2):
            granted(table.admit(meters, ask(10, 90)))
        standings = dict(refused(table.admit(meters, ask(10, 90))).standings)
        assert (standings[Kind.REQUESTS].remaining, standings[Kind.TOKENS].remaining) == (0, 200)

    def test_nothing_counts_any_more_after_a_quiet_minute(self, table: Table) -> None:
        granted(table.admit([tokens(10)], ask(1, 9)))
        table.now += 10 * MINUTE
        granted(table.admit([tokens(10)], ask(1, 9)))


Steps = list[tuple[int, int, int, int]]

steps: st.SearchStrategy[Steps] = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 2 * GRAIN), st.integers(0, 2 * MINUTE)),  # time that passes
        st.integers(0, 12),  # prompt
        st.integers(0, 40),  # output
        st.integers(0, 60),  # tokens of the oldest stream, which is settled then; over 52: it goes on
    ),
    max_size=40,
)


def check_against_a_list(table: Table, limit: int, taken: Steps) -> None:
    """Any minute holds the limit at most, a refusal is needed, and its wait is true: against a list of every charge."""
    charges: list[list[int]] = []  # [moment, amount]
    live: list[tuple[Grant, list[int]]] = []
    meters = [tokens(limit)]
    for passes, prompt, output, used in taken:
        table.now += passes
        now = table.now
        counted = sum(amount for at, amount in charges if (at // GRAIN + 1 + SPAN) * GRAIN > now)
        amount = min(prompt + output, limit)
        decision = table.admit(meters, ask(prompt, output))
        if isinstance(decision, Grant):
            assert counted + amount <= limit
            charges.append([now, amount])
            live.append((decision, charges[-1]))
        elif not decision.never:
            assert counted + amount > limit
            assert decision.wait is not None
            waits = (max(0, (at // GRAIN + 1 + SPAN) * GRAIN - now) for at, _ in [*charges, [now - 2 * MINUTE, 0]])
            assert decision.wait == min(
                wait
                for wait in waits
                if sum(some for at, some in charges if (at // GRAIN + 1 + SPAN) * GRAIN > now + wait) + amount <= limit
            )
        if live and used <= 52:
            grant, charge = live.pop(0)
            table.settle(grant, min(used, charge[1]))
            charge[1] = min(used, charge[1])
        for at, _ in charges:
            assert sum(some for when, some in charges if at <= when < at + MINUTE) <= limit
