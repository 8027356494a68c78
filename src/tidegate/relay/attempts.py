"""The tries that come before a stream's first token: which upstream and key, and how long to wait between them.

The order: first whatever has not failed this stream yet (another key when a key was refused, else another upstream),
at once; when everything has, again from the best one, after a back-off with full jitter or after what the upstream
asked for.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

import structlog

from tidegate.errors import Overloaded, StaleConnection, TidegateError, UpstreamRefused
from tidegate.policy.retry import backoff, needs_other_upstream, retryable
from tidegate.policy.routing import Route
from tidegate.relay.endings import Framing
from tidegate.relay.options import StreamOptions
from tidegate.relay.stream import Stream
from tidegate.upstream.client import UpstreamClient
from tidegate.upstream.keys import Key

__all__ = ["Attempt", "Plan", "carry"]

PATH: Final = "/chat/completions"

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
        routes = [(client, model) for client, model in self._routes if client.name not in self._barred]
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


async def carry(stream: Stream, plan: Plan, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Make tries until the stream has ended. Never raises but when its task is cancelled; then everything is closed."""
    error: TidegateError | None = None
    try:
        while not stream.ended:
            attempt = plan.choose(monotonic())
            if attempt is None:
                stream.fail(error or _none_ready(stream))
                return
            error = await _attempt(stream, attempt, headers)
            # Between the failure and this turn the reader may have left.
            if error is None or stream.ended:
                if attempt.key is not None and stream.timing.tokens:
                    attempt.client.keys.ok(attempt.key)
                return
            wait = plan.failed(attempt, error, monotonic())
            if wait is None:
                stream.fail(error)
                return
            stream.retry(error)
            if wait > 0:
                await stream.sleep(wait)
    finally:
        if not stream.ended:
            stream.abandon()


async def _attempt(stream: Stream, attempt: Attempt, headers: Sequence[tuple[bytes, bytes]]) -> TidegateError | None:
    """One try, with a question for token counts, and the same without it when that may be what was refused."""
    client, asks = attempt.client, attempt.client.tells_usage is not False
    adds = asks and not stream.request.include_usage
    error = await _ask(stream, attempt, headers, add_usage=adds)
    if not adds:
        return error
    if stream.answer.usage is not None:
        client.tells_usage = True
    if client.tells_usage is not None or not _of_the_body(error) or stream.ended:
        return error
    error = await _ask(stream, attempt, headers, add_usage=False)
    if not _of_the_body(error):
        client.tells_usage = False
        _log.info("relay.usage_not_told", upstream=client.name)
    return error


def _of_the_body(error: TidegateError | None) -> bool:
    """The upstream does not understand something in the request."""
    return isinstance(error, UpstreamRefused) and error.status in (400, 422)


async def _ask(
    stream: Stream, attempt: Attempt, headers: Sequence[tuple[bytes, bytes]], *, add_usage: bool
) -> TidegateError | None:
    """One request, and the same again on a fresh connection when a pooled one turns out to be dead."""
    client = attempt.client
    body = stream.request.upstream_body(attempt.model, add_usage=add_usage)
    redact = client.redactor if client.redactor else None
    error: TidegateError | None = None
    for stale in range(MAX_STALE + 1):
        wake = stream.connect(client.name, attempt.model, redact)
        stream.answer.hide_usage = add_usage and stream.framing is not Framing.JSON
        exchange = None if stale else client.send_now(stream, path=PATH, headers=headers, body=body, key=attempt.key)
        if exchange is not None:
            stream.on_sent(exchange)
        else:
            sending = client.send(stream, path=PATH, headers=headers, body=body, key=attempt.key, fresh=stale > 0)
            stream.wait_for(asyncio.get_running_loop().create_task(sending))
        error = await wake
        if not isinstance(error, StaleConnection) or stream.ended:
            break
    return error


def _none_ready(stream: Stream) -> TidegateError:
    return Overloaded(
        f"Every API key for '{stream.request.model}' is resting, because the upstream refused it.", retry_after=5.0
    )
