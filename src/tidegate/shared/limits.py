"""Limits across processes and machines: :class:`tidegate.policy.limits.Limits` over Redis, one script call a decision.

Every process says under a name (its *lease*, renewed all the time) which streams it has and what money they hold. A
process that is killed does not renew, and after :attr:`SharedOptions.lease` seconds nothing of it counts.

When a call fails, nobody knows whether it was carried out. The process then takes a new name, says again what it has
and drops the old one: whatever was still on its way under the old name has no effect. If that fails too, Redis is away.
Until it is back, a process decides by limits of its own, which have been counting all the time, or refuses.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from importlib.resources import files
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
import structlog

from tidegate.errors import Overloaded
from tidegate.policy.limits import Ask, Grant, Kind, Limits, Meter, Refusal, Standing, tightest
from tidegate.shared.connection import MOST_CONNECTIONS, redis_client
from tidegate.shared.options import SharedOptions

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

__all__ = ["RedisScript", "SharedGrant", "SharedLimits"]

FRESH: Final = 1.0
"""Seconds for which a connection that has answered is taken to be there."""

AGAIN: Final = 0.5
"""Seconds between two tries to find Redis again."""

_LETTER: Final = {Kind.REQUESTS: "r", Kind.TOKENS: "t", Kind.STREAMS: "s", Kind.BUDGET: "b"}
_SOURCE: Final = files("tidegate.shared").joinpath("limits.lua")

_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


class Script(Protocol):
    """The script, somewhere; raises :class:`Exception` when it cannot be asked."""

    async def __call__(self, operation: str, ask: bytes) -> Sequence[int]: ...

    async def close(self) -> None: ...


class RedisScript:
    """The script in Redis. The client library's connections, without its client, which is a third of what a call costs.

    :raises ConfigError: the client library is not installed, or the address makes no sense.
    """

    def __init__(self, url: str, options: SharedOptions) -> None:
        self._redis = redis_client(url, options, timeout=None)  # a call has one for all of it
        from redis.exceptions import NoScriptError

        self._not_loaded = NoScriptError
        self._timeout = options.redis_timeout
        self._source = _SOURCE.read_text()
        sha = hashlib.sha1(self._source.encode(), usedforsecurity=False).hexdigest()
        self._begin = b"*6\r\n" + _words("EVALSHA", sha, "1", f"{{{options.prefix}}}:")
        self._room = asyncio.Semaphore(MOST_CONNECTIONS)
        self._kept: list[tuple[AbstractConnection, float]] = []
        """Connections that nobody uses, each with the moment of its last answer."""

    async def __call__(self, operation: str, ask: bytes) -> Sequence[int]:
        command = b"%b%b$%d\r\n%b\r\n" % (self._begin, _words(operation), len(ask), ask)
        async with self._room, asyncio.timeout(self._timeout):
            try:
                return await self._asked(command)
            except self._not_loaded:
                await self._redis.script_load(self._source)
                return await self._asked(command)

    async def _asked(self, command: bytes) -> Sequence[int]:
        connection = await self._connection()
        try:
            await connection.send_packed_command(command, check_health=False)
            answer: Sequence[int] = await connection.read_response()
        except BaseException:
            # Whatever it was: a reply may still come, and must not be taken for that of the next call.
            await connection.disconnect(nowait=True)
            await self._redis.connection_pool.release(connection)
            raise
        self._kept.append((connection, monotonic()))
        return answer

    async def _connection(self) -> AbstractConnection:
        pool = self._redis.connection_pool
        if self._kept:
            connection, used = self._kept.pop()
            if monotonic() - used < FRESH:
                return connection
            await pool.release(connection)  # which looks whether it is still there
        found: AbstractConnection = await pool.get_connection()  # type: ignore[no-untyped-call]
        return found

    async def close(self) -> None:
        while self._kept:
            await self._redis.connection_pool.release(self._kept.pop()[0])
        await self._redis.aclose()


def _words(*words: str) -> bytes:
    """As Redis takes them."""
    return b"".join(b"$%d\r\n%b\r\n" % (len(data), data) for data in (word.encode() for word in words))


class SharedGrant(Grant):
    """What one stream holds in Redis, and beside it what this process has counted for itself.

    :param mine: this process's own.
    :param local: granted while Redis was away.
    """

    __slots__ = ("id", "local", "mine")

    def __init__(self, mine: Grant, *, local: bool) -> None:
        super().__init__(mine.meters, mine.ask)
        self.id = os.urandom(8).hex()
        self.mine = mine
        self.local = local
        if local:
            self.charged = list(mine.charged)
            self.standings = mine.standings


class SharedLimits:
    """Use it on one event loop; it connects with the first decision.

    :param script: the way to Redis.
    :param clock: milliseconds, for what this process counts for itself.
    :param now: milliseconds instead of Redis's own clock; for tests.
    """

    def __init__(
        self,
        options: SharedOptions,
        script: Script,
        *,
        clock: Callable[[], int] = lambda: int(monotonic() * 1000),
        now: Callable[[], int] | None = None,
    ) -> None:
        self._options = options
        self._script = script
        self._clock = clock
        self._now = now
        self.mine = Limits()
        """This process's own count: of everything, at all times."""
        self._grants: dict[str, SharedGrant] = {}
        self._process = os.urandom(8).hex()
        self._number = 0
        self._up = False
        self.away = False
        """Redis does not answer."""
        self.fallbacks = 0
        """Decisions that were made without it."""
        self.losses = 0
        """Times that it was lost."""
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._watching: asyncio.Task[None] | None = None

    def live(self, subject: str) -> int:
        """Streams of a subject in this process."""
        return self.mine.live(subject)

    async def admit(self, fixed: Sequence[Meter], ask: Ask, budget: Meter | None = None) -> SharedGrant | Refusal:
        """As :meth:`tidegate.policy.limits.Limits.admit`.

        :raises Overloaded: Redis is away, and then nobody is let in.
        """
        meters = fixed if budget is None else (*fixed, budget)
        unable = next((meter for meter in meters if meter.kind is Kind.TOKENS and ask.prompt > meter.limit), None)
        if unable is not None:
            return Refusal(unable, None, never=True)
        grant_id = os.urandom(8).hex()
        asked = [_row(meter, _amount(meter, ask)) for meter in meters]
        answer = await self._call("admit", {"id": grant_id, "meters": asked})
        if answer is None:
            return self._admit_alone(fixed, ask, budget)
        if not answer[0]:
            standings = _standings(meters, answer[3:])
            return Refusal(meters[answer[1] - 1], None if answer[2] < 0 else answer[2], standings=standings)
        grant = SharedGrant(self.mine.charge(fixed, ask, self._clock(), budget), local=False)
        grant.id = grant_id
        for index, meter in enumerate(grant.meters):
            amount, bucket = answer[1 + 2 * index], answer[2 + 2 * index]
            grant.charged[index] = amount
            if meter.kind is Kind.TOKENS:
                grant.marks.append((index, bucket, amount))
        grant.standings = _standings(meters, answer[1 + 2 * len(meters) :])
        self._grants[grant.id] = grant
        return grant

    def _admit_alone(self, meters: Sequence[Meter], ask: Ask, budget: Meter | None = None) -> SharedGrant | Refusal:
        self._refuse_if_closed()
        decided = self.mine.admit(meters, ask, self._clock(), budget)
        if isinstance(decided, Refusal):
            return decided
        grant = SharedGrant(decided, local=True)
        self._grants[grant.id] = grant
        return grant

    def _refuse_if_closed(self) -> None:
        self.fallbacks += 1
        if self._options.when_away == "closed":
            raise Overloaded(
                "The gateway cannot reach what it counts limits with; try again.",
                code="limits_unavailable",
                retry_after=1.0,
            )

    async def more(self, grant: SharedGrant, output: int) -> int | Refusal:
        """As :meth:`tidegate.policy.limits.Limits.more`.

        :raises Overloaded: Redis is away, and then nobody gets more.
        """
        indices = [index for index, meter in enumerate(grant.meters) if meter.kind in (Kind.TOKENS, Kind.BUDGET)]
        ask = grant.ask
        answer = await self._call(
            "more",
            {
                "output": output,
                "before": grant.allowance(),
                "prompt": ask.prompt,
                "base": ask.prompt_cost,
                "unit": ask.unit_cost,
                "meters": [_row(grant.meters[index], grant.charged[index]) for index in indices],
            },
        )
        if answer is None:
            return self.more_alone(grant, output)
        if not answer[0]:
            return Refusal(grant.meters[indices[answer[1] - 1]], None if answer[2] < 0 else answer[2])
        for position, index in enumerate(indices):
            amount, bucket = answer[2 + 2 * position], answer[3 + 2 * position]
            grant.charged[index] += amount
            if bucket:
                grant.marks.append((index, bucket, amount))
        return answer[1]

    def more_alone(self, grant: SharedGrant, output: int) -> int | Refusal:
        """Without Redis, by this process's own count.

        :raises Overloaded: nobody gets more without it.
        """
        self._refuse_if_closed()
        reached = output if grant.mine.allowance() >= output else self.mine.more(grant.mine, output, self._clock())
        if isinstance(reached, int):
            for index, meter in enumerate(grant.meters):
                if meter.kind is Kind.TOKENS or meter.kind is Kind.BUDGET:
                    grant.charged[index] = max(grant.charged[index], grant.ask.charge(meter.kind, reached))
        return reached

    def settle(self, grant: SharedGrant, tokens: int, cost: int) -> None:
        """As :meth:`tidegate.policy.limits.Limits.settle`; Redis is told a moment later."""
        if grant.settled:
            return
        grant.settled = True
        self.mine.settle(grant.mine, tokens, cost, self._clock())
        self._grants.pop(grant.id, None)
        if not self._up:
            return  # it will not be among the streams that Redis is told of when it is back
        pairs = list(zip(grant.meters, grant.charged, strict=True))
        told = {
            "id": grant.id,
            "back": [[grant.meters[index].subject, bucket, some] for index, bucket, some in grant.unused(tokens)],
            "over": [
                [meter.subject, tokens - charged]
                for meter, charged in pairs
                if meter.kind is Kind.TOKENS and tokens > charged
            ],
            "streams": [meter.subject for meter in grant.meters if meter.kind is Kind.STREAMS],
            "money": [[meter.subject, charged, cost] for meter, charged in pairs if meter.kind is Kind.BUDGET],
        }
        self._start(self._settle(told, self._name))

    async def _settle(self, told: dict[str, Any], name: str) -> None:
        await self._call("settle", told, only_as=name)

    @property
    def _name(self) -> str:
        return f"{self._process}.{self._number}"

    # The way to Redis.

    async def _call(
        self, operation: str, ask: Mapping[str, Any], *, only_as: str | None = None
    ) -> Sequence[int] | None:
        """The answer; ``None`` while Redis is away.

        :param only_as: not under a later name: whoever took it has said everything already.
        """
        for _ in range(2):
            if not self._up and not await self._found():
                return None
            name = self._name
            if only_as is not None and name != only_as:
                return None
            try:
                answer = await self._apart(self._ask(operation, {**ask, "me": name}))
            except asyncio.CancelledError:
                self._lost(name)
                raise
            except Exception as error:
                self._lost(name, error)
            else:
                if answer[0] != 2:
                    return answer
                self._lost(name)
        return None

    async def _apart(self, asking: Coroutine[Any, Any, Sequence[int]]) -> Sequence[int]:
        """In a task of its own, which goes on when this one is cancelled: a connection whose reply nobody has read
        must not be given to the next call.
        """
        task = asyncio.get_running_loop().create_task(asking)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked has heard of it, or has gone

    async def _ask(self, operation: str, ask: dict[str, Any]) -> Sequence[int]:
        if self._now is not None:
            ask["now"] = self._now()
        self._under_way += 1
        self._quiet.clear()
        try:
            return await self._script(operation, _encode(ask))
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()

    def _lost(self, name: str, error: Exception | None = None) -> None:
        """What was asked under that name may or may not have been done."""
        if self._name == name and self._up:
            self._up = False
            self.losses += 1
            if error is not None:
                _log.info("shared.lost", kind=type(error).__name__)

    async def _found(self) -> bool:
        """Whether Redis answers, after telling it everything anew if need be."""
        async with self._lock:
            if not self._up and not self.away:
                await self._restore()
            return self._up

    async def _restore(self) -> None:
        if self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._watch())
        # An answer that is still on its way may grant something that has to be told.
        await self._quiet.wait()
        self._number += 1
        told: dict[str, SharedGrant] = {}
        try:
            while True:
                fresh = [grant for grant in self._grants.values() if grant.id not in told]
                await self._tell(fresh)
                told.update((grant.id, grant) for grant in fresh)
                # Streams begin and end while it is told.
                ended = [told.pop(grant_id) for grant_id in list(told) if grant_id not in self._grants]
                for grant in ended:
                    await self._untell(grant)
                if all(grant_id in told for grant_id in self._grants):
                    break
        except Exception as error:
            if not self.away:
                self.away = True
                _log.warning("shared.away", kind=type(error).__name__, limits=self._options.when_away)
            return
        self._up = True
        if self.away:
            self.away = False
            _log.info("shared.back")

    async def _tell(self, grants: Sequence[SharedGrant]) -> None:
        streams: dict[str, list[str]] = {}
        money: dict[str, int] = {}
        for grant in grants:
            for meter, charged in zip(grant.meters, grant.charged, strict=True):
                if meter.kind is Kind.STREAMS:
                    streams.setdefault(meter.subject, []).append(grant.id)
                elif meter.kind is Kind.BUDGET:
                    money[meter.subject] = money.get(meter.subject, 0) + charged
        await self._ask("restore", {"me": self._name, "lease": self._lease(), "streams": streams, "money": money})

    async def _untell(self, grant: SharedGrant) -> None:
        pairs = list(zip(grant.meters, grant.charged, strict=True))
        ask = {
            "me": self._name,
            "id": grant.id,
            "back": [],
            "over": [],
            "streams": [meter.subject for meter in grant.meters if meter.kind is Kind.STREAMS],
            "money": [[meter.subject, charged, 0] for meter, charged in pairs if meter.kind is Kind.BUDGET],
        }
        await self._ask("settle", ask)

    def _lease(self) -> int:
        return max(1, round(self._options.lease * 1000))

    async def _watch(self) -> None:
        """Renew the lease; when Redis is away, look for it."""
        while True:
            await asyncio.sleep(min(AGAIN, self._options.lease / 4))
            if self._up:
                await self._call("beat", {"lease": self._lease()})
            else:
                async with self._lock:
                    if not self._up:
                        await self._restore()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    async def close(self) -> None:
        """Give back what this process holds."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._up:
            self._up = False
            try:
                await self._ask("leave", {"me": self._name})
            except Exception as error:
                _log.info("shared.lost", kind=type(error).__name__)  # the lease runs out by itself
        await self._script.close()


def _amount(meter: Meter, ask: Ask) -> int:
    if meter.kind is Kind.TOKENS:
        return min(ask.prompt + ask.output, meter.limit)
    return ask.cost(ask.output) if meter.kind is Kind.BUDGET else 1


def _row(meter: Meter, amount: int) -> list[Any]:
    return [_LETTER[meter.kind], meter.subject, meter.limit, amount, meter.spent, meter.resets]


def _standings(meters: Sequence[Meter], figures: Sequence[int]) -> tuple[tuple[Kind, Standing], ...]:
    """Of (used, reset) for each window, in the order of the meters."""
    rows = []
    windows = [meter for meter in meters if meter.kind is Kind.REQUESTS or meter.kind is Kind.TOKENS]
    for at, meter in enumerate(windows):
        rows.append((meter.kind, meter.limit, figures[2 * at], figures[2 * at + 1]))
    return tightest(rows)
