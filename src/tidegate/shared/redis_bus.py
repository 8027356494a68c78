"""The bus over Redis: a channel for each process, and a table of those that are alive.

Every process renews its place in the table all the time; one that is killed does not, and after
:attr:`SharedOptions.lease` seconds it is there no more. Long before that nobody hears its channel, which
:meth:`RedisBus.send` tells.

Redis may lose the table (a restart without its data). Who was in it counts for a lease longer, as if it had not been
lost, and by then has come back by itself.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from time import monotonic
from types import MappingProxyType
from typing import Any, Final

import structlog

from tidegate.shared.bus import MAX_MESSAGE, TAG_DIGITS, Receive
from tidegate.shared.connection import redis_client
from tidegate.shared.options import SharedOptions

__all__ = ["Members", "RedisBus"]

BEAT: Final = 1.0
"""Seconds between two beats, or a quarter of the lease, whichever is shorter."""

AGAIN: Final = 0.5
"""Seconds between two tries to find Redis again."""

YOUNG: Final = 2.0
"""Seconds in which those who are alive write themselves into a table that is new."""

DEAF: Final = 5.0
"""Seconds without one's own beat, after which a subscription is made anew."""

AT_ONCE: Final = 16
"""Connections that send."""

MOST_NAME: Final = 64

ALIVE: Final = b"."
LOOK: Final = b"+"
"""What the table's script says on a channel: that it can be heard, and that somebody came or went."""

_SOURCE: Final = files("tidegate.shared").joinpath("members.lua")
_TAG: Final = re.compile(rf"[0-9a-f]{{{TAG_DIGITS}}}", re.ASCII)

_log = structlog.get_logger()


class Members:
    """The others that are alive, from what the table said and when.

    :param lease: seconds.
    """

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._made: str | None = None
        self._lost: dict[str, tuple[str, float]] = {}
        self._last = 0.0
        self.others: Mapping[str, str] = MappingProxyType({})
        self.young = True
        """The table may not have everybody yet."""

    def take(self, made: str, age: float, listed: Mapping[str, str], now: float) -> None:
        """The table as it is now.

        :param made: which table; another one than before has lost what was in that.
        :param age: seconds.
        :param now: seconds, monotonic.
        """
        if self._made is not None and made != self._made:
            until = self._last + self._lease
            for tag, name in self.others.items():
                self._lost.setdefault(tag, (name, until))
        self._made, self._last = made, now
        self._lost = {
            tag: (name, until) for tag, (name, until) in self._lost.items() if tag not in listed and now < until
        }
        self.others = MappingProxyType({**{tag: name for tag, (name, _) in self._lost.items()}, **listed})
        self.young = age < YOUNG


class RedisBus:
    """As :class:`tidegate.shared.bus.Bus`; made without touching the network.

    :raises ConfigError: the client library is not installed, or the address makes no sense.
    """

    def __init__(self, url: str, options: SharedOptions, *, clock: Callable[[], float] = monotonic) -> None:
        self.tag = os.urandom(TAG_DIGITS // 2).hex()
        self.name = f"{socket.gethostname()[:24]}-{self.tag[:4]}"
        self._options = options
        self._clock = clock
        self._redis = redis_client(url, options, timeout=options.redis_timeout)
        self._waiting = redis_client(url, options, timeout=None)
        self._prefix = f"{{{options.prefix}}}:"
        self._script = self._redis.register_script(_SOURCE.read_text())
        self._room = asyncio.Semaphore(AT_ONCE)
        self._members = Members(options.lease)
        self._up = False
        self._heard = 0.0
        self._look = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.losses = 0
        """Times that Redis was lost."""

    @property
    def others(self) -> Mapping[str, str]:
        return self._members.others

    @property
    def complete(self) -> bool:
        return self._up and not self._members.young

    def start(self, receive: Receive) -> None:
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run(receive))

    async def _run(self, receive: Receive) -> None:
        while True:
            try:
                async with self._subscribed() as channel:
                    await _first_of(self._listen(channel, receive), self._beat_always())
            except Exception as error:
                self._lost(error)
            await asyncio.sleep(AGAIN)

    @asynccontextmanager
    async def _subscribed(self) -> AsyncIterator[Any]:
        channel = self._waiting.pubsub(ignore_subscribe_messages=True)
        try:
            async with asyncio.timeout(self._options.redis_timeout):
                await channel.subscribe(self._channel(self.tag))
            self._heard = self._clock()
            yield channel
        finally:
            await channel.aclose()  # type: ignore[no-untyped-call] # redis has types for most of it

    async def _listen(self, channel: Any, receive: Receive) -> None:
        async for message in channel.listen():
            data = message["data"]
            if data == ALIVE:
                self._heard = self._clock()
            elif data == LOOK:
                self._look.set()
            elif len(data) <= MAX_MESSAGE:
                receive(data)

    async def _beat_always(self) -> None:
        """Until the subscription is known to be deaf; that Redis does not answer once is no reason to give it up."""
        while self._clock() - self._heard < DEAF:
            self._look.clear()  # before the table is read: who comes while it is read is not in it
            try:
                await self._beat()
            except Exception as error:
                self._lost(error)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(BEAT, self._options.lease / 4) if self._up else AGAIN):
                    await self._look.wait()
        raise ConnectionError("nothing is heard of what is sent to this process")

    async def _beat(self) -> None:
        made, age, _, *listed = [_text(each) for each in await self._call("beat")]
        found = {
            tag: name[:MOST_NAME] for tag, name in zip(listed[::2], listed[1::2], strict=True) if _TAG.fullmatch(tag)
        }
        found.pop(self.tag, None)
        self._members.take(made, int(age) / 1000, found, self._clock())
        if not self._up:
            self._up = True
            _log.info("fleet.joined", replica=self.name, others=len(found))

    async def _call(self, operation: str) -> Sequence[Any]:
        lease = max(1, round(self._options.lease * 1000))
        answer: Sequence[Any] = await self._script(keys=[self._prefix], args=[operation, self.tag, self.name, lease])
        return answer

    def _lost(self, error: Exception) -> None:
        if self._up:
            self._up = False
            self.losses += 1
            _log.warning("fleet.away", kind=type(error).__name__)

    def _channel(self, tag: str) -> str:
        return f"{self._prefix}to:{tag}"

    async def send(self, to: Collection[str], message: bytes) -> set[str]:
        if not to or not self._up:
            return set()
        # In a task of its own, which goes on when this one is cancelled: a connection whose reply nobody has read must
        # not be given to the next call.
        return await asyncio.shield(self._spawn(self._publish(list(to), message)))

    async def _publish(self, to: list[str], message: bytes) -> set[str]:
        try:
            async with self._room, self._redis.pipeline(transaction=False) as calls:
                for tag in to:
                    calls.publish(self._channel(tag), message)
                counts = await calls.execute()
        except Exception as error:
            self._lost(error)
            return set()
        return {tag for tag, count in zip(to, counts, strict=True) if count}

    def _spawn(self, work: Coroutine[Any, Any, set[str]]) -> asyncio.Task[set[str]]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._up:
            self._up = False
            try:
                await self._call("leave")
            except Exception as error:
                _log.info("fleet.away", kind=type(error).__name__)  # the lease runs out by itself
        await self._waiting.aclose()
        await self._redis.aclose()


async def _first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Until one of them ends or fails; the others are cancelled."""
    # A TaskGroup that is cancelled while one of its tasks fails raises the failure only, and the cancellation is lost.
    tasks = [asyncio.get_running_loop().create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
