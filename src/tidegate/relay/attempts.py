"""The tries that come before a stream's first token: which upstream and key, and how long to wait between them.

The order: first whatever has not failed this stream yet (another key when a key was refused, else another upstream),
at once; when everything has, again from the best one, after a back-off with full jitter or after what the upstream
asked for.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Final, TypedDict

import structlog

from tidegate.errors import Overloaded, StaleConnection, TidegateError, UpstreamRefused
from tidegate.policy.retry import backoff, needs_other_upstream, retryable
from tidegate.policy.routing import Route
from tidegate.relay.endings import Framing
from tidegate.relay.leg import Told, resolve
from tidegate.relay.options import StreamOptions
from tidegate.relay.stream import Stream
from tidegate.upstream.client import UpstreamClient
from tidegate.upstream.keys import Key

__all__ = ["Attempt", "Plan", "Tries"]

PATIENCE: Final = 10.0
"""The longest ``Retry-After`` that is waited out; a longer one is the client's to wait."""

MAX_STALE: Final = 3
"""Pooled connections that may turn out dead in a row; then a fresh one is asked for anyway."""

_log = structlog.get_logger()

_KEY_TROUBLE: Final = frozenset({401, 403, 429})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: which upstream is asked for which model with which key."""

    client: UpstreamClient
    model: str
    key: Key | None
    fresh: bool
    """Neither this upstream nor this key has failed this stream."""


class Plan:
    """What to try next, for one stream.

    :param routes: the candidates, best first.
    """

    def __init__(
        self,
        clients: Mapping[str, UpstreamClient],
        routes: Sequence[Route],
        options: StreamOptions,
        *,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._routes = [(clients[route.upstream], route.model) for route in routes]
        self._left = options.retry_attempts
        self._made = 0
        self._delay = options.retry_delay
        self._rand = rand
        self._failed: dict[str, int] = {}
        self._keys: dict[str, set[Key]] = {}
        self._barred: set[str] = set()

    def choose(self, now: float) -> Attempt | None:
        """The next try; ``None`` when no upstream has a key that is not resting."""
        routes = self._routes
        if self._failed or self._barred:
            routes = [(client, model) for client, model in routes if client.name not in self._barred]
            routes.sort(key=lambda route: self._failed.get(route[0].name, 0))
        for client, model in routes:
            tried = self._keys.get(client.name, set())
            if client.keys.empty:
                return Attempt(client, model, None, client.name not in self._failed)
            key = client.keys.take(now, exclude=tried)
            if key is not None:
                return Attempt(client, model, key, client.name not in self._failed)
        for client, model in routes:
            key = client.keys.take(now)
            if key is not None:
                return Attempt(client, model, key, False)
        return None

    def failed(self, attempt: Attempt, error: TidegateError, now: float) -> float | None:
        """Take note of a failure. Seconds to wait before the next try; ``None`` when there shall be none."""
        name = attempt.client.name
        refused_key = isinstance(error, UpstreamRefused) and error.status in _KEY_TROUBLE and attempt.key is not None
        if refused_key:
            assert attempt.key is not None
            attempt.client.keys.rest(attempt.key, now, error.status, error.retry_after)
            self._keys.setdefault(name, set()).add(attempt.key)
        if not refused_key or not self._has_key(attempt.client, now):
            self._failed[name] = self._failed.get(name, 0) + 1
        if needs_other_upstream(error) or (
            refused_key and error.status != 429 and not self._has_key(attempt.client, now)
        ):
            self._barred.add(name)
        if not self._left or not (retryable(error) or needs_other_upstream(error) or refused_key):
            return None
        self._left -= 1
        wait = self._wait(error, now)
        self._made += 1
        return wait

    def _has_key(self, client: UpstreamClient, now: float) -> bool:
        """Another key that has not been refused to this stream is ready."""
        return client.keys.ready(now, exclude=self._keys.get(client.name, ()))

    def _wait(self, error: TidegateError, now: float) -> float | None:
        untried = [
            client
            for client, _ in self._routes
            if client.name not in self._barred
            and (client.name not in self._failed)
            and (client.keys.empty or self._has_key(client, now))
        ]
        if untried:
            return 0.0
        again = [client for client, _ in self._routes if client.name not in self._barred]
        if not again:
            return None
        wait = backoff(self._made, self._delay, self._rand(), retry_after=error.retry_after)
        resting = [client.keys.next_ready(now) for client in again if not client.keys.empty]
        if resting and len(resting) == len(again):
            wait = max(wait, min(pause for pause in (0.0 if rest is None else rest for rest in resting)))
        return wait if wait <= PATIENCE else None


Spawn = Callable[[Coroutine[Any, Any, None]], None]
"""Runs a coroutine beside the stream."""


class Tries:
    """One stream's tries. The first is made at once when a kept connection is there for it, and is mostly the only one;
    a task is made for what has to wait: a new connection, or whatever comes after a failure.

    :param headers: the application's, those that may pass.
    """

    __slots__ = ("_asks", "_first", "_headers", "_plan", "_spawn", "_stream")

    def __init__(self, stream: Stream, plan: Plan, headers: Sequence[tuple[bytes, bytes]], spawn: Spawn) -> None:
        self._stream = stream
        self._plan = plan
        self._headers = headers
        self._spawn = spawn
        self._first: Attempt | None = None
        self._asks = True
        """Token counts are asked for although the client did not."""

    def begin(self) -> None:
        """Make the first try."""
        stream = self._stream
        first = self._first = None if stream.ended else self._plan.choose(monotonic())
        if first is None:
            stream.fail(_none_ready(stream))
        elif first.client.idle_connections and not stream.request.once:
            self._connect(first, self._on_first)
            exchange = first.client.send_now(stream, **self._request(first))
            if exchange is not None:
                stream.on_sent(exchange)
            else:
                self._spawn(self._go_on(first))
        else:
            self._spawn(self._go_on(first))

    def _on_first(self, error: TidegateError | None) -> None:
        """How the try has ended that was made at once."""
        assert self._first is not None
        if error is None or self._stream.ended:
            self._over(self._first)
        else:
            self._spawn(self._go_on(self._first, error))

    async def _go_on(self, attempt: Attempt, error: TidegateError | None = None) -> None:
        """Make tries until the stream has ended. Raises only when its task is cancelled; then everything is closed.

        :param attempt: the one that comes now.
        :param error: how it has ended, if it has been made already.
        """
        try:
            await self._until_ended(attempt, error)
        except Exception as bug:
            self._stream.on_bug(bug)
        finally:
            if not self._stream.ended:
                self._stream.abandon()

    async def _until_ended(self, attempt: Attempt | None, error: TidegateError | None) -> None:
        stream, plan = self._stream, self._plan
        if attempt is not None and (error is None or isinstance(error, StaleConnection)):
            error = await self._make(attempt, stale=0 if error is None else 1)
        while attempt is not None:
            # Between the failure and this turn the reader may have left.
            if error is None or stream.ended:
                self._over(attempt)
                return
            if self._asks and attempt.client.tells_usage is None and _of_the_body(error):
                error = await self._without_counts(attempt)
                continue
            wait = plan.failed(attempt, error, monotonic())
            if wait is None:
                break
            stream.retry(error)
            if wait > 0:
                await stream.sleep(wait)
            attempt = plan.choose(monotonic())
            if attempt is not None:
                error = await self._make(attempt)
        stream.fail(error or _none_ready(stream))

    async def _make(self, attempt: Attempt, *, stale: int = 0) -> TidegateError | None:
        """One try, and the same again on a fresh connection when a kept one turns out to be dead. ``None``: the stream
        has ended.

        :param stale: how many have turned out so.
        """
        stream, client = self._stream, attempt.client
        if stream.ended:
            return None
        loop = asyncio.get_running_loop()
        error: TidegateError | None = None
        for again in range(stale, MAX_STALE + 1):
            wake: asyncio.Future[TidegateError | None] = loop.create_future()
            self._connect(attempt, partial(resolve, wake))
            sending = client.send(stream, **self._request(attempt), fresh=again > 0 or stream.request.once)
            stream.wait_for(loop.create_task(sending))
            error = await wake
            if not isinstance(error, StaleConnection) or stream.ended:
                break
        return error

    async def _without_counts(self, attempt: Attempt) -> TidegateError | None:
        """The try again, for an upstream that may not know the question for token counts; it is remembered."""
        client = attempt.client
        client.tells_usage = False
        error = await self._make(attempt)
        if _of_the_body(error):
            client.tells_usage = None  # it was something else
        else:
            _log.info("relay.usage_not_told", upstream=client.name)
        return error

    def _connect(self, attempt: Attempt, tell: Told) -> None:
        client, stream = attempt.client, self._stream
        stream.connect(client.name, attempt.model, client.redactor if client.redactor else None, tell)
        self._asks = client.tells_usage is not False and not stream.request.include_usage
        stream.answer.hide_usage = self._asks and stream.framing is not Framing.JSON

    def _request(self, attempt: Attempt) -> _Request:
        stream = self._stream
        request = stream.request
        body = request.upstream_body(attempt.model, add_usage=self._asks)
        return {
            "method": request.method,
            "path": request.path,
            "headers": self._headers,
            "body": body,
            "key": attempt.key,
        }

    def _over(self, attempt: Attempt) -> None:
        """The stream has ended with this try."""
        if self._asks and self._stream.answer.usage is not None:
            attempt.client.tells_usage = True
        if attempt.key is not None and (self._stream.timing.tokens or self._stream.answer.complete):
            attempt.client.keys.ok(attempt.key)


def _of_the_body(error: TidegateError | None) -> bool:
    """The upstream does not understand something in the request."""
    return isinstance(error, UpstreamRefused) and error.status in (400, 422)


class _Request(TypedDict):
    method: str
    path: str
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    key: Key | None


def _none_ready(stream: Stream) -> TidegateError:
    return Overloaded(
        f"Every API key for '{stream.request.model}' is resting, because the upstream refused it.", retry_after=5.0
    )
