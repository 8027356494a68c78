"""What a server's own connection offers past ASGI, and the endpoints that use it: a stream begins in one callback."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from enum import Enum
from time import monotonic
from typing import Any, Final, Protocol

import structlog

from tidegate.relay.deadlines import LATE
from tidegate.relay.downstream import Downstream, Reader

__all__ = ["EXTENSION", "AtOnce", "Awaited", "CoroutineSend", "Later", "OwnConnection", "OwnDownstream", "ran"]

EXTENSION: Final = "tidegate.direct"
"""In the ASGI scope's ``extensions``: the :class:`OwnConnection` that this request came on."""

_log = structlog.get_logger()


class CoroutineSend(Protocol):
    """An ASGI ``send`` that is a coroutine function, as servers' are."""

    def __call__(self, message: Any, /) -> Coroutine[Any, Any, None]: ...


class OwnDownstream(Downstream, Protocol):
    """A downstream that an endpoint can wait for."""

    async def closed(self) -> None:
        """Until the response is finished, aborted or the reader gone."""

    async def __aenter__(self) -> OwnDownstream: ...

    async def __aexit__(self, *_: object) -> None: ...


class OwnConnection(Protocol):
    """One request on a connection of our own server."""

    @property
    def whole(self) -> bool:
        """The request body is there."""

    def body(self) -> bytes | None:
        """The request body when it has arrived whole already, which is the rule; else ``None``: ask ``receive``."""

    def close_after(self) -> None:
        """Do not keep the connection when this answer has ended (HTTP/1.1)."""

    def usable(self) -> bool:
        """Whether the answer may be written to the connection itself."""

    def usable_with(self, send: Any) -> bool:
        """The same, for an application that was called with ``send``: nothing of somebody else's stands between."""

    def downstream(self, send: CoroutineSend | None, *, high_water: int, stall_timeout: float) -> OwnDownstream:
        """The relay's downstream on this connection.

        :param send: the ASGI ``send`` as the route got it, when it is not the connection's own: heads and ends go
            through it, so that middleware of the application itself (CORS) sees them.
        :param high_water: unsent bytes above which the reader counts as behind.
        :param stall_timeout: seconds after which what a finished response still has unsent is given up, if its reader
            has taken nothing of it.
        """


class Later(Enum):
    """What cannot begin at once."""

    LATER = 1


class AtOnce(Protocol):
    """An endpoint that can begin without waiting for anything."""

    def ready(self, scope: Any, connection: OwnConnection) -> bool:
        """Whether the request is there as a whole, and nothing has to be waited for."""

    def at_once(self, scope: Any, connection: OwnConnection) -> Any:
        """Begin. Returns an ASGI application that has to answer instead; ``None`` when the answer is on its way.

        ``Later.LATER``: nothing was done, and it takes a task that can wait.
        """


class Awaited:
    """The half of an :class:`OwnDownstream` that is the same on every connection: its end.

    :param stall_timeout: as of :meth:`OwnConnection.downstream`.
    """

    __slots__ = ("_closed", "_over", "_stall", "reader")

    coded: None = None

    def __init__(self, stall_timeout: float) -> None:
        self._stall = stall_timeout
        self.reader: Reader | None = None
        self._closed: asyncio.Future[None] | None = None
        self._over = False

    async def closed(self) -> None:
        """Until the response is finished, aborted or the reader gone."""
        if not self._over:
            self._closed = asyncio.get_running_loop().create_future()
            await self._closed

    async def __aexit__(self, *_: object) -> None:
        return None

    def _unsent(self) -> int:
        """Bytes of this response that have not left."""
        raise NotImplementedError

    def _give_up(self) -> None:
        """Send no more of them, so that the reader can see that they are missing."""
        raise NotImplementedError

    def _wait_for(self, before: float = math.inf, due: float = math.inf) -> None:
        """Give up on a reader who has taken nothing for ``stall_timeout`` of what is left of a response that has ended.

        :param before: unsent bytes at the last look.
        :param due: when this look was to be. One that comes too late tells more of this process than of the reader
            (:data:`tidegate.relay.deadlines.LATE`), and is taken once more.
        """
        unsent, now = self._unsent(), monotonic()
        if not unsent:
            return
        if unsent < before:
            wait, due = self._stall, now + self._stall
        elif now - due > LATE:
            wait, due = LATE, math.inf
        else:
            self._give_up()
            return
        asyncio.get_running_loop().call_later(wait, self._wait_for, unsent, due)

    def _is_over(self) -> None:
        self.reader = None
        self._over = True
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)


def ran(step: Coroutine[Any, Any, None]) -> bool:
    """Run a ``send`` that has nothing to wait for. ``False``: it failed, which is logged, or waits all the same."""
    try:
        step.send(None)
    except StopIteration:
        return True
    except Exception as error:
        _log.error("server.send_failed", kind=type(error).__name__)
    else:
        step.close()
    return False
