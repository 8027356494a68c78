"""Between the supervisor and a worker: messages, questions and answers, over a pair of sockets that both inherited.

Nobody else can reach it, and its end is the end of the process on the other side, noticed at once. A frame is its
length (four bytes, big-endian) and a MessagePack array: ``[0, kind, payload]`` is a message, ``[number, kind,
payload]`` a question and ``[-number, "", payload]`` its answer; with a kind, the answer is that there is none.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

import msgspec
import structlog

from tidegate.errors import LinkLost, NoAnswer
from tidegate.telemetry.log import place_of

__all__ = ["Handler", "Link"]

MOST: Final = 64 * 1024 * 1024
"""Bytes of a frame, and bytes that may wait for the other side to take them."""

_HEAD: Final = 4

Handler = Callable[[Any], Any]
"""What is done with the payload of a kind; returns the answer, or something to wait for that does."""

_log = structlog.get_logger()
_encode = msgspec.msgpack.Encoder(enc_hook=str).encode
_decode = msgspec.msgpack.decode


class Link(asyncio.Protocol):
    """Use it on one event loop.

    :param handlers: by kind.
    :param lost: called once, when the other side has gone.
    """

    def __init__(self, handlers: Mapping[str, Handler], lost: Callable[[], None]) -> None:
        self._handlers = handlers
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._rest = bytearray()
        self._number = 0
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._gone = asyncio.Event()

    @classmethod
    async def over(cls, sock: socket.socket, handlers: Mapping[str, Handler], lost: Callable[[], None]) -> Link:
        """On one end of a pair, which is then the link's own."""
        _, link = await asyncio.get_running_loop().create_unix_connection(lambda: cls(handlers, lost), sock=sock)
        return link

    def tell(self, kind: str, payload: Any = None) -> bool:
        """Whether the message is on its way."""
        return self._send([0, kind, payload])

    async def ask(self, kind: str, payload: Any = None, *, timeout: float) -> Any:
        """The answer.

        :raises NoAnswer: there is none within ``timeout`` seconds.
        :raises LinkLost: there will be none.
        """
        self._number += 1
        number, answer = self._number, asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            if not self._send([number, kind, payload]):
                raise LinkLost("The other process does not take anything.")
            async with asyncio.timeout(timeout):
                return await answer
        except TimeoutError:
            raise NoAnswer(f"The other process did not answer within {timeout:g} s.") from None
        finally:
            self._asked.pop(number, None)

    def close(self) -> None:
        """The end; what has been said is still sent."""
        if self._transport is not None:
            self._transport.close()

    async def closed(self) -> None:
        """Until it is over."""
        await self._gone.wait()

    def _send(self, message: list[Any]) -> bool:
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() > MOST:
            return False
        data = _encode(message)
        transport.write(len(data).to_bytes(_HEAD, "big") + data)
        return True

    # As the event loop tells it.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        rest = self._rest
        rest += data
        while len(rest) >= _HEAD:
            end = _HEAD + int.from_bytes(rest[:_HEAD], "big")
            if end > MOST:
                _log.error("workers.link_bug", kind="frame", size=end)
                self.close()
                return
            if len(rest) < end:
                return
            frame = bytes(rest[_HEAD:end])
            del rest[:end]
            self._take(*_decode(frame))

    def _take(self, number: int, kind: str, payload: Any) -> None:
        if number >= 0:
            self._handle(number, kind, payload)
            return
        answer = self._asked.pop(-number, None)
        if answer is None or answer.done():
            return
        if kind:
            answer.set_exception(LinkLost(str(payload)))
        else:
            answer.set_result(payload)

    def _handle(self, number: int, kind: str, payload: Any) -> None:
        try:
            found = self._handlers[kind](payload)
        except Exception as error:
            self._failed(number, kind, error)
            return
        if asyncio.iscoroutine(found):
            task = asyncio.get_running_loop().create_task(self._later(number, kind, found))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif number:
            self._send([-number, "", found])

    async def _later(self, number: int, kind: str, found: Awaitable[Any]) -> None:
        try:
            answer = await found
        except Exception as error:
            self._failed(number, kind, error)
            return
        if number:
            self._send([-number, "", answer])

    def _failed(self, number: int, kind: str, error: Exception) -> None:
        """Without the error's text, which may hold a value of a request."""
        _log.error("workers.link_bug", kind=kind, error=type(error).__name__, where=place_of(error))
        if number:
            self._send([-number, "error", f"The other process could not answer ({type(error).__name__})."])

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(LinkLost("The other process has gone."))
        for task in self._tasks:
            task.cancel()
        self._gone.set()
        self._lost()
