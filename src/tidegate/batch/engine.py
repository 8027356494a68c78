"""The run: requests begin as the pace allows, failures that may pass come back later, answers go to the journal."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic, time
from typing import TypeAlias

from tidegate.batch.answer import Whole, judged
from tidegate.batch.journal import Journal
from tidegate.batch.lines import Answer, Request
from tidegate.batch.options import BatchOptions
from tidegate.batch.pace import Pace
from tidegate.errors import StaleConnection, TidegateError
from tidegate.policy.retry import RETRYABLE_STATUS, backoff, retry_after_of, retryable
from tidegate.upstream.client import UpstreamClient
from tidegate.upstream.keys import Key

__all__ = ["Batch", "Price", "Progress"]

Price: TypeAlias = Callable[[str, int, int], float | None]
"""``(model, prompt tokens, output tokens) -> cost``; ``None`` for a model without a known price."""

_HEADERS = ((b"content-type", b"application/json"), (b"accept", b"application/json"))


@dataclass(slots=True)
class Progress:
    """How it stands. Counts are of requests unless they say otherwise."""

    total: int
    good: int = 0
    failed: int = 0
    in_flight: int = 0
    limit: int = 0
    refusals: int = 0
    """Answers with 429 or 503."""
    retries: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None


class Batch:
    """Sends requests until each has an answer or has failed for good. ``run`` may be called once.

    :param body: gives the body of a request when it is sent.
    """

    def __init__(
        self,
        requests: Iterable[Request],
        *,
        total: int,
        body: Callable[[Request], bytes],
        client: UpstreamClient,
        journal: Journal,
        options: BatchOptions,
        price: Price | None = None,
    ) -> None:
        self.progress = Progress(total)
        self._body = body
        self._client = client
        self._journal = journal
        self._options = options
        self._price = price
        self._pace = Pace(start=options.start, most=options.most, tolerance=options.tolerance)
        self._waiting = deque((request, 0) for request in requests)
        self._later: list[tuple[float, int, Request, int]] = []
        """Due, number, request, retries: a heap."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._stir = asyncio.Event()
        self._stopping = False
        self._broken: BaseException | None = None

    async def run(self) -> None:
        """Until nothing is left to send, or :meth:`stop` was called and what was in flight has come back."""
        try:
            while self._broken is None and (self._tasks or (self._left and not self._stopping)):
                self._stir.clear()
                pause = self._begin()
                try:
                    async with asyncio.timeout(pause):
                        await self._stir.wait()
                except TimeoutError:
                    pass
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._broken is not None:
            raise self._broken

    @property
    def _left(self) -> bool:
        return bool(self._waiting or self._later)

    def stop(self) -> None:
        """Begin nothing any more; what was sent is waited for, because it is paid for."""
        self._stopping = True
        self._stir.set()

    def _begin(self) -> float | None:
        """Send what may be sent now; seconds until more may be, ``None`` when only an answer can change that."""
        now = monotonic()
        while not self._stopping and self._left and len(self._tasks) < self._pace.limit:
            if now < self._pace.resumes:
                return self._pace.resumes - now
            if self._later and self._later[0][0] <= now:
                _, _, request, retries = heapq.heappop(self._later)
            elif self._waiting:
                request, retries = self._waiting.popleft()
            else:
                return self._later[0][0] - now
            task = asyncio.create_task(self._one(request, retries))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        self.progress.limit, self.progress.in_flight = self._pace.limit, len(self._tasks)
        return None

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._broken = task.exception()  # the disk is full, say
        self._stir.set()

    async def _one(self, request: Request, retries: int) -> None:
        began = monotonic()
        self._journal.sent(request)
        answer, pause = await self._asked(request)
        now = monotonic()
        if answer.error is None:
            self._pace.answered(now, now - began, answer.output_tokens)
        elif answer.status in (429, 503):
            self.progress.refusals += 1
            self._pace.refused(now, pause)
        again = answer.error is not None and _passes(answer) and retries < self._options.retries
        if again:
            # A request that is given up by Ctrl-C has no answer in the journal, so the next run sends it again.
            self.progress.retries += 1
            wait = backoff(retries, self._options.retry_delay, random.random(), retry_after=pause)  # noqa: S311
            heapq.heappush(self._later, (now + wait, request.number, request, retries + 1))
            return
        self._journal.answered(request, answer)
        self._count(answer)

    async def _asked(self, request: Request) -> tuple[Answer, float | None]:
        """One try: what came of it, and how long the server wants to be left alone."""
        body = self._body(request)
        try:
            async with asyncio.timeout(self._options.timeout):
                try:
                    return await self._exchange(request, body, fresh=self._options.fresh)
                except StaleConnection:
                    return await self._exchange(request, body, fresh=True)
        except TimeoutError:
            message = f"no answer within {self._options.timeout:g} s"
            return Answer(error=("timeout", message)), None
        except TidegateError as error:
            code = "lost" if retryable(error) else error.code
            return Answer(error=(code, error.message)), error.retry_after

    async def _exchange(self, request: Request, body: bytes, *, fresh: bool) -> tuple[Answer, float | None]:
        whole = Whole(self._options.max_answer_bytes)
        key: Key | None = self._client.keys.take(monotonic())
        exchange = await self._client.send(whole, path=request.path, headers=_HEADERS, body=body, key=key, fresh=fresh)
        whole.exchange = exchange
        try:
            head, answer = await whole.result
        finally:
            exchange.abort()
        return judged(head, answer), retry_after_of(head.headers, now_epoch=time())

    def _count(self, answer: Answer) -> None:
        progress = self.progress
        if answer.error is None:
            progress.good += 1
        else:
            progress.failed += 1
        progress.prompt_tokens += answer.prompt_tokens
        progress.output_tokens += answer.output_tokens
        if self._price is not None:
            cost = self._price(answer.model, answer.prompt_tokens, answer.output_tokens)
            if cost is not None:
                progress.cost = (progress.cost or 0.0) + cost


def _passes(answer: Answer) -> bool:
    """Whether another try may go better, and would not pay twice for an answer that has come."""
    if answer.status:
        return answer.status in RETRYABLE_STATUS or answer.status >= 500
    return answer.error is not None and answer.error[0] in ("lost", "timeout")
