"""The run: every case, one after the other, each after the gateway has answered well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

from tidegate.errors import InvalidRequest
from tidegate.torture.cases import GOOD, Act, Case, Outcome, marker
from tidegate.torture.client import Client, Connection
from tidegate.torture.judge import Choices, Observed, judged
from tidegate.torture.upstream import LyingUpstream, meant

__all__ = ["Result", "Suite"]

_AHEAD: Final = 24 * 1024 * 1024
"""Bytes that may be on the way to a client that does not read: the kernel's buffers of two connections, and some."""
_MIDWAY: Final = 5


@dataclass(frozen=True, slots=True)
class Result:
    """One case, played."""

    case: Case
    outcome: Outcome
    detail: str
    seconds: float
    recovery: float
    """Seconds that the gateway needed before it answered well again after the case before."""

    @property
    def honest(self) -> bool:
        return self.outcome in self.case.honest

    @property
    def did(self) -> str:
        return f"{self.outcome} ({self.detail})" if self.detail else str(self.outcome)


class Suite:
    """Plays cases through a gateway.

    :param key: the client's own bearer key; the gateway's must be another one for a leak to be seen.
    :param patience: seconds of silence after which an answer is given up.
    :param stop_within: seconds within which a model must have been stopped after its client left.
    """

    def __init__(
        self,
        client: Client,
        upstream: LyingUpstream,
        *,
        key: str = "",
        patience: float = 10.0,
        recovery: float = 30.0,
        stop_within: float = 2.0,
    ) -> None:
        self._client = client
        self._upstream = upstream
        self._key = key
        self._patience = patience
        self._recovery = recovery
        self._stop_within = stop_within

    async def ready(self) -> None:
        """Wait until the gateway answers a good case.

        :raises InvalidRequest: it does not; the text says how far it came.
        """
        outcome, detail = await self._until_good(self._recovery)
        if outcome is Outcome.ANSWER:
            return
        asked = bool(self._upstream.truths)
        where = "although it was asked" if asked else "and it never asked this model server"
        raise InvalidRequest(
            f"the gateway did not pass on a good answer within {self._recovery:g} s, {where}: {outcome}"
            + (f" ({detail})" if detail else "")
        )

    async def run(self, cases: Sequence[Case], tell: Callable[[Result], None]) -> list[Result]:
        """All of them, in order."""
        results = []
        for case in cases:
            began = monotonic()
            await self._until_good(self._recovery)
            recovered = monotonic()
            outcome, detail = await self._play(case)
            result = Result(case, outcome, detail, monotonic() - recovered, recovered - began)
            tell(result)
            results.append(result)
        return results

    async def _until_good(self, seconds: float) -> tuple[Outcome, str]:
        deadline = monotonic() + seconds
        while True:
            found = await self._read(GOOD)
            if found[0] is Outcome.ANSWER or monotonic() > deadline:
                return found
            await asyncio.sleep(0.25)

    async def _play(self, case: Case) -> tuple[Outcome, str]:
        match case.act:
            case Act.READ:
                return await self._read(case)
            case Act.WHOLE:
                return await self._read(case, stream=False)
            case Act.TWICE:
                first = await self._read(case)
                return first if first[0] not in case.honest else await self._read(case)
            case Act.THEN_GOOD:
                return await self._then_good(case)
            case Act.LEAVE_WAITING | Act.LEAVE_MIDWAY | Act.LEAVE_WHOLE:
                return await self._leave(case)
            case Act.HALF_CLOSE:
                return await self._read(case, half_close=True)
            case Act.NEVER_READ:
                return await self._never_read(case)
            case Act.BAD_BODY:
                return await self._read(case, body=b'{"model": "torture", "messages": [')
            case Act.NO_UPSTREAM:
                await self._upstream.stop_listening()
                return await self._read(case)

    async def _open(self, request: bytes) -> Connection | None:
        try:
            connection = await self._client.connect(self._patience)
        except (OSError, TimeoutError):
            return None
        connection.transport.write(request)
        return connection

    async def _read(
        self, case: Case, *, stream: bool = True, half_close: bool = False, body: bytes | None = None
    ) -> tuple[Outcome, str]:
        connection = await self._open(self._client.request(f"Tell me. {marker(case)}", stream=stream, body=body))
        if connection is None:
            return Outcome.BROKEN, "no connection to the gateway"
        try:
            if half_close:
                connection.transport.write_eof()
            got = await connection.read(self._patience)
        finally:
            connection.abort()
        return self._judged(case, got, stream=stream)

    def _judged(self, case: Case, got: Observed, *, stream: bool = True) -> tuple[Outcome, str]:
        wanted: Choices = meant(case)
        used = self._upstream.authorizations.get(case.name, "").removeprefix("Bearer ")
        return judged(got, wanted, stream=stream, secret=used if used != self._key and len(used) >= 8 else "")

    async def _then_good(self, case: Case) -> tuple[Outcome, str]:
        """A few good answers must be good: one of them may meet the connection that was spoiled."""
        for _ in range(3):
            first = await self._read(case)
            if first[0] not in (Outcome.ANSWER, Outcome.ERROR_EVENT, Outcome.ERROR_STATUS, Outcome.BROKEN):
                return first
            after = await self._read(GOOD)
            if after[0] is not Outcome.ANSWER:
                return after
        return Outcome.ANSWER, ""

    async def _leave(self, case: Case) -> tuple[Outcome, str]:
        began = monotonic()
        connection = await self._open(self._client.request(marker(case), stream=case.act is not Act.LEAVE_WHOLE))
        if connection is None:
            return Outcome.BROKEN, "no connection to the gateway"
        try:
            if case.act is Act.LEAVE_MIDWAY:
                midway = lambda: connection.body.count(b'"delta"') > _MIDWAY  # noqa: E731 - read once, below
                if not await connection.until(midway, self._patience):
                    return self._judged(case, await connection.read(0.1))
            elif not await self._asked(case, began):
                return Outcome.HANG, "the model server was not asked"
        finally:
            connection.abort()
        return await self._stopped(case, began, monotonic())

    async def _asked(self, case: Case, since: float) -> bool:
        for _ in range(int(self._patience / 0.05)):
            if self._upstream.generations(case, since):
                await asyncio.sleep(0.2)
                return True
            await asyncio.sleep(0.05)
        return False

    async def _stopped(self, case: Case, since: float, left_at: float) -> tuple[Outcome, str]:
        while monotonic() < left_at + self._stop_within:
            lives = self._upstream.generations(case, since)
            if lives and all(life.ended_at is not None for life in lives):
                last = max(life.ended_at or 0.0 for life in lives)
                return Outcome.STOPPED, f"{max(0.0, last - left_at) * 1e3:.0f} ms"
            await asyncio.sleep(0.01)
        return Outcome.RAN_ON, f"for {self._stop_within:g} s and more"

    async def _never_read(self, case: Case) -> tuple[Outcome, str]:
        began = monotonic()
        connection = await self._open(self._client.request(marker(case)))
        if connection is None:
            return Outcome.BROKEN, "no connection to the gateway"
        connection.transport.pause_reading()
        try:
            sent, quiet = -1, 0
            while quiet < 10 and monotonic() < began + self._patience:
                await asyncio.sleep(0.1)
                now = sum(life.tokens for life in self._upstream.generations(case, began)) * 16_000
                sent, quiet = now, quiet + 1 if now == sent and now else 0
        finally:
            connection.abort()
        await self._stopped(case, began, monotonic())
        return (Outcome.HELD_UP if 0 < sent < _AHEAD else Outcome.SWALLOWED), f"after {sent / 1e6:.1f} MB"
