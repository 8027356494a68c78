"""The gate of a stream: what it reserves before it begins, what it gets more, what it gives back at its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

import msgspec

from tidegate.errors import LimitReached, OutOfBudget, Overloaded, RateLimited, TidegateError
from tidegate.events import Usage
from tidegate.policy.budgets import dollars
from tidegate.policy.estimates import Expectations, most_output, prompt_tokens
from tidegate.policy.keys import Principal
from tidegate.policy.limits import NO_END, Ask, Grant, Kind, Limits, Meter, Refusal, Standing
from tidegate.policy.meters import UNLIMITED, Meters
from tidegate.server.spending import Spending
from tidegate.telemetry.admission import AdmissionMetrics
from tidegate.telemetry.record import StreamRecord

if TYPE_CHECKING:
    from tidegate.shared.limits import SharedGrant, SharedLimits

__all__ = ["Admission", "Cost", "Entry", "Price"]

STEP: Final = 64
"""Output tokens that a stream asks for when it has used what it had, and has in reserve at its beginning."""

MOST_AHEAD: Final = 1024
"""Output tokens that a very long answer asks for at once."""

AHEAD: Final = 32
"""Over Redis, it asks so many tokens before, so that the answer is there in time."""

SLACK: Final = 16
"""Tokens that may pass while the answer is late; then it is decided without it."""

BY_ITSELF: Final = frozenset({"stop", "length", "tool_calls", "content_filter"})
"""Terminal reasons of answers whose length says how long answers are."""

Headers = list[tuple[bytes, bytes]]

_NAMES: Final = {
    kind: tuple(f"x-ratelimit-{which}-{kind.value}".encode() for which in ("limit", "remaining", "reset"))
    for kind in Kind
}


class Asking(Protocol):
    """A request, as far as it says what it will use."""

    @property
    def model(self) -> str: ...

    @property
    def fields(self) -> Mapping[str, msgspec.Raw]: ...


class Price(NamedTuple):
    """Nano-dollars of one token, expected before the stream begins."""

    prompt: float
    output: float


class Cost(Protocol):
    """What a model costs, as far as anybody knows."""

    def expected(self, model: str) -> Price | None:
        """By the name that clients use, on the upstream that is asked first."""

    def of(self, record: StreamRecord, usage: Usage) -> int:
        """Nano-dollars of an answer; 0 where there is no price."""


class Admission:
    """Use it on one event loop.

    :param meters: the limits of the configuration.
    :param spending: what budgets have spent already.
    :param shared: limits over Redis; ``None``: this process counts for itself.
    :param cost: what models cost.
    """

    def __init__(
        self,
        meters: Meters,
        metrics: AdmissionMetrics,
        spending: Spending,
        *,
        shared: SharedLimits | None = None,
        cost: Cost,
    ) -> None:
        self.meters = meters
        self.metrics = metrics
        self.spending = spending
        self.shared = shared
        self.cost = cost
        self.limits = Limits() if shared is None else shared.mine
        self.expectations = Expectations()

    def concerns(self, who: Principal) -> bool:
        """Whether there is anything to decide or to count."""
        return self.meters.any or who.quota is not UNLIMITED or bool(who.tags)

    def at_once(self, who: Principal) -> bool:
        """Whether it can be decided without waiting: neither for Redis nor for the ledger."""
        if self.shared is not None and self.concerns(who):
            return False
        budget = who.quota.budget
        if budget is None:
            return True
        now = time.time()
        return self.meters.recent_budget(who.id, who.quota, now) is not None or self.spending.fresh(
            who.id, self.meters.period(budget.period, now)
        )

    def enter_at_once(self, who: Principal, request: Asking) -> Entry:
        """As :meth:`enter`, where :meth:`at_once` says so."""
        meters, budget, ask = self._asked(who, request, time.time())
        return self._entered(self.limits.admit(meters, ask, _now(), budget), who, request.model)

    async def enter(self, who: Principal, request: Asking) -> Entry:
        """Reserve what the request will probably use.

        :raises RateLimited: a limit is reached.
        :raises OutOfBudget: the money is spent.
        :raises Overloaded: limits cannot be counted now.
        """
        now = time.time()
        if who.quota.budget is not None:
            await self.spending.look(who.id, self.meters.period(who.quota.budget.period, now))
        meters, budget, ask = self._asked(who, request, now)
        if self.shared is None:
            decided: Grant | Refusal = self.limits.admit(meters, ask, _now(), budget)
        elif meters or budget is not None:
            decided = await self.shared.admit(meters, ask, budget)
        else:
            decided = Grant((), ask)
        return self._entered(decided, who, request.model)

    def _asked(self, who: Principal, request: Asking, now: float) -> tuple[Sequence[Meter], Meter | None, Ask]:
        meters = self.meters.fixed(who.id, who.quota, who.tags, request.model)
        budget = self.meters.budget(who.id, who.quota, now, self.spending.known)
        price = None if budget is None else self.cost.expected(request.model)
        return meters, budget, self._ask(request, price)

    def _entered(self, decided: Grant | Refusal, who: Principal, model: str) -> Entry:
        if isinstance(decided, Refusal):
            raise refusal_of(decided, who)
        self.metrics.entered(who.tags)
        if self.shared is None or not decided.meters:
            return Entry(self, decided, who, model)
        return SharedEntry(self, cast("SharedGrant", decided), who, model)

    def _ask(self, request: Asking, price: Price | None) -> Ask:
        if not request.model:
            return Ask(0, 0)  # about files, batches: no model works for it
        fields = request.fields
        prompt = prompt_tokens(fields)
        # A little more than the mean: most answers then need not ask for more.
        output = most_output(fields) or self.expectations.of(request.model) + STEP
        if price is None:
            return Ask(prompt, output)
        return Ask(prompt, output, round(prompt * price.prompt), price.output)


class Entry:
    """One stream's allowance (:class:`tidegate.relay.allowance.Allowance`); closed once, by whoever comes first."""

    __slots__ = ("_admission", "_changed", "_closed", "_model", "_who", "grant", "tokens")

    def __init__(self, admission: Admission, grant: Grant, who: Principal, model: str) -> None:
        self._admission = admission
        self._who = who
        self._model = model
        self._changed: Callable[[], None] | None = None
        self._closed = False
        self.grant = grant
        self.tokens = grant.allowance()

    @property
    def headers(self) -> Headers:
        """For the head of the answer."""
        return headers_of(self.grant.standings)

    def bind(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def ahead(self, tokens: int) -> None:
        reached = self._admission.limits.more(self.grant, _further(tokens), _now())
        if not isinstance(reached, Refusal):
            self.tokens = reached

    def more(self, delivered: int) -> TidegateError | None:
        reached = self._admission.limits.more(self.grant, _further(delivered), _now())
        if isinstance(reached, Refusal):
            return refusal_of(reached, self._who, inside=True)
        self.tokens = reached
        return None

    def ended(self, record: StreamRecord) -> None:
        usage = record.usage
        if usage is None:
            # Without a token the model has not answered, unless nobody waited for it.
            read = record.tokens or (record.reason == "client_cancel" and record.queue_time is not None)
            usage = Usage(self.grant.ask.prompt if read else 0, record.tokens, estimated=True)
        elif usage.output_tokens < record.tokens and record.reason not in BY_ITSELF:
            # It was told on the way, and there was more to come.
            usage = msgspec.structs.replace(usage, output_tokens=record.tokens, estimated=True)
        if record.reason in BY_ITSELF:
            self._admission.expectations.learn(self._model, usage.output_tokens)
        cost = 0 if self._who.quota.budget is None else self._admission.cost.of(record, usage)
        self._close(usage.prompt_tokens + usage.output_tokens, cost)

    def close(self) -> None:
        """Nothing was used, unless it has been said already what was."""
        self._close(0, 0)

    def _close(self, tokens: int, cost: int) -> None:
        if self._closed:
            return
        self._closed = True
        self._changed = None
        self._admission.metrics.left(self._who.tags)
        self._settle(tokens, cost)

    def _settle(self, tokens: int, cost: int) -> None:
        self._admission.limits.settle(self.grant, tokens, cost, _now())


class SharedEntry(Entry):
    """Over Redis, which is asked for more before it is needed."""

    __slots__ = ("_asking", "_error", "_granted", "_shared")

    grant: SharedGrant

    def __init__(self, admission: Admission, grant: SharedGrant, who: Principal, model: str) -> None:
        super().__init__(admission, grant, who, model)
        assert admission.shared is not None
        self._shared = admission.shared
        self._granted = self.tokens
        self._error: TidegateError | None = None
        self._asking: asyncio.Task[None] | None = None
        if self.tokens < NO_END:
            self.tokens = max(0, self._granted - AHEAD)

    def ahead(self, tokens: int) -> None:
        if self._asking is None and self._error is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask(_further(max(self._granted, tokens))))
            self.tokens = self._granted + SLACK

    def more(self, delivered: int) -> TidegateError | None:
        if self._error is not None and delivered > self._granted:
            return self._error
        if self._asking is None and self._error is None:
            self.ahead(delivered)
        elif delivered > self._granted + SLACK:
            self._take(lambda: self._shared.more_alone(self.grant, _further(delivered)))
        if self._error is not None:
            self.tokens = self._granted
            return self._error if delivered > self._granted else None
        self.tokens = self._granted + SLACK
        return None

    async def _ask(self, output: int) -> None:
        reached: int | Refusal | Overloaded
        try:
            reached = await self._shared.more(self.grant, output)
        except Overloaded as error:
            reached = error
        self._asking = None
        self._take(lambda: reached)
        if self._changed is not None:
            self._changed()

    def _take(self, answer: Callable[[], int | Refusal | Overloaded]) -> None:
        try:
            reached = answer()
        except Overloaded as error:
            reached = error
        if isinstance(reached, Overloaded):
            self._error = RateLimited("The gateway cannot reach what it counts limits with.", code=reached.code)
        elif isinstance(reached, Refusal):
            self._error = refusal_of(reached, self._who, inside=True)
        else:
            self._granted = max(self._granted, reached)
        self.tokens = self._granted if self._error is not None else max(0, self._granted - AHEAD)

    def _settle(self, tokens: int, cost: int) -> None:
        if self._asking is not None:
            self._asking.add_done_callback(lambda _: self._shared.settle(self.grant, tokens, cost))
        else:
            self._shared.settle(self.grant, tokens, cost)


def _further(tokens: int) -> int:
    """How far to ask when so many are used: a long answer asks less often, and never for much more than it had."""
    return tokens + min(MOST_AHEAD, max(STEP, tokens // 4))


def _now() -> int:
    return int(monotonic() * 1000)


def refusal_of(refusal: Refusal, who: Principal, *, inside: bool = False) -> LimitReached:
    """The error that a refusal is.

    :param inside: in the middle of an answer.
    """
    meter = refusal.meter
    whose = _whose(meter, who)
    where = " in the middle of the answer" if inside else ""
    wait = None if refusal.wait is None else max(0.001, refusal.wait / 1000)
    headers = headers_of(refusal.standings)
    if wait is not None:
        headers.append((b"retry-after-ms", b"%d" % max(1, refusal.wait or 1)))
    if meter.kind is Kind.BUDGET:
        until = f"; there is more in {duration(refusal.wait)}" if refusal.wait is not None else ""
        headers.append((b"x-should-retry", b"false"))
        message = f"The budget of {whose} of ${dollars(meter.limit)} is spent{where}{until}."
        return OutOfBudget(message, cause=meter.kind.value, headers=headers, retry_after=wait)
    if refusal.never:
        headers.append((b"x-should-retry", b"false"))
        message = f"The prompt alone is more than the {meter.limit} tokens per minute of {whose}; send a shorter one."
        return RateLimited(message, cause=meter.kind.value, headers=headers)
    if meter.kind is Kind.STREAMS:
        message = (
            f"Rate limit reached for {whose}: {meter.limit} streams at the same time. Try again when one has ended."
        )
        return RateLimited(message, cause=meter.kind.value, headers=headers, retry_after=1.0)
    message = (
        f"Rate limit reached for {whose}{where}: {meter.limit} {meter.kind.value} per minute. "
        f"Please try again in {duration(refusal.wait or 1)}."
    )
    return RateLimited(message, cause=meter.kind.value, headers=headers, retry_after=wait)


def _whose(meter: Meter, who: Principal) -> str:
    scope, _, name = meter.subject.partition(":")
    if scope == "key":
        return f"the key {who.id}"
    return "this gateway" if scope == "gateway" else f"the {scope} {name.partition(':')[2]}"


def headers_of(standings: tuple[tuple[Kind, Standing], ...]) -> Headers:
    """OpenAI's ``x-ratelimit-*``."""
    headers: Headers = []
    for kind, standing in standings:
        limit, remaining, reset = _NAMES[kind]
        headers += (
            (limit, b"%d" % standing.limit),
            (remaining, b"%d" % standing.remaining),
            (reset, _reset(standing.reset)),
        )
    return headers


@lru_cache(1024)
def _reset(ms: int) -> bytes:
    # A minute and a part of a bucket, nearly always, since this request has just been counted.
    return duration(ms).encode()


def duration(ms: int) -> str:
    """As OpenAI writes it: ``120ms``, ``8.64s``, ``1m0.25s``, ``6h0m0s``."""
    if ms < 1000:
        return f"{ms}ms"
    minutes, rest = divmod(ms, 60_000)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}" if minutes else seconds
