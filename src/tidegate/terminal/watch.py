"""``tidegate top`` at work: the gateway's live table in, keys in, the screen out."""

from __future__ import annotations

import asyncio
import codecs
import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from time import monotonic, time
from typing import Any, Final

import aiohttp

from tidegate.client.failure import refusal
from tidegate.errors import TidegateError, UpstreamCut, UpstreamProtocolError
from tidegate.terminal.board import Action, Board
from tidegate.terminal.keys import keys_of
from tidegate.wire.openai_chat.chunk import MalformedChunk, decode_object
from tidegate.wire.sse import SseDecoder

__all__ = ["GatewayApi", "watch"]

MAX_BODY: Final = 16 * 1024 * 1024
"""Of one answer: 20,000 streams at half a kilobyte are 10 MB."""

MAX_LOOKUPS: Final = 20
"""Ended streams that are asked for after one update."""

RECONNECT: Final = 1.0
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
SILENCE: Final = 40.0
"""The table's heartbeat is 15 s."""


class GatewayApi:
    """The gateway's calls about streams."""

    def __init__(self, session: aiohttp.ClientSession, base: str, key: str | None) -> None:
        self._session = session
        self._base = base
        self._key = key
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    async def streams(self) -> list[dict[str, Any]]:
        """The live streams that this key may see.

        :raises TidegateError: there is no such gateway, or it refuses.
        """
        return list((await self.listed())["data"])

    async def listed(self) -> dict[str, Any]:
        """The same with what readers reported, as the gateway says it."""
        return await self._call("GET", "/v1/streams")

    async def one(self, stream: str) -> dict[str, Any]:
        """One, live or ended."""
        return await self._call("GET", f"/v1/streams/{stream}")

    async def act(self, action: Action) -> dict[str, Any]:
        """Stop or cancel a stream; returns what became of it."""
        if action.what == "stop":
            return await self._call("POST", f"/v1/streams/{action.stream}/stop")
        return await self._call("DELETE", f"/v1/streams/{action.stream}")

    async def tables(self) -> AsyncIterator[dict[str, Any]]:
        """The live table, each time it changes.

        :raises TidegateError: as :meth:`streams`; or the connection is lost.
        """
        decoder = SseDecoder(max_event=MAX_BODY)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=SILENCE)
        try:
            async with self._session.get(
                f"{self._base}/v1/streams/events", headers=self._headers, timeout=timeout
            ) as response:
                await self._check(response)
                async for data in response.content.iter_any():
                    for event in decoder.feed(data):
                        if event.event == "streams":  # those that have ended are asked for one by one
                            yield _decoded(event.data)
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise UpstreamCut("the gateway cannot be reached") from None

    async def _call(self, method: str, path: str) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=10.0)
        try:
            async with self._session.request(
                method, self._base + path, headers=self._headers, timeout=timeout, allow_redirects=False
            ) as response:
                await self._check(response)
                return _decoded(await response.content.read(MAX_BODY))
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise UpstreamCut("the gateway cannot be reached") from None

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status != 200:
            body = await response.content.read(65536)
            headers = {name.lower(): value for name, value in response.headers.items()}
            raise refusal(response.status, headers, body, secret=self._key, now_epoch=time())


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        return decode_object(body)
    except MalformedChunk:
        raise UpstreamProtocolError("what answers there is no Tidegate gateway") from None


async def watch(api: GatewayApi, where: str) -> None:
    """Run the screen until ``q`` or Ctrl-C."""
    await api.streams()  # an address or a key that is wrong is said before the screen is taken
    await _Watch(api, Board(where)).run()


class _Watch:
    def __init__(self, api: GatewayApi, board: Board) -> None:
        self._api = api
        self._board = board
        self._done = asyncio.Event()
        self._shown: list[str] = []
        self._jobs: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        with _raw_terminal(self._keys), _signals(self._done.set, self._resized):
            self._draw()
            self._start(self._follow())
            self._start(self._age())
            try:
                await self._done.wait()
            finally:
                for job in self._jobs:
                    job.cancel()
                await asyncio.gather(*self._jobs, return_exceptions=True)

    def _start(self, work: Any) -> None:
        job = asyncio.ensure_future(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _follow(self) -> None:
        """Keep the table; after a loss, again and again."""
        while True:
            try:
                async for table in self._api.tables():
                    self._board.message = "" if self._board.message.startswith("!") else self._board.message
                    self._board.readers = table.get("readers", {})
                    self._board.partial = table.get("partial") is True
                    gone = self._board.update(int(table["live"]), table["streams"], monotonic())
                    for stream in gone[:MAX_LOOKUPS]:
                        self._start(self._look_up(stream))
                    self._draw()
                reason = "the gateway is shutting down"
            except TidegateError as error:
                reason = error.message
            self._board.message = f"! {reason}; trying again"
            self._draw()
            await asyncio.sleep(RECONNECT)

    async def _look_up(self, stream: str) -> None:
        with suppress(TidegateError):  # it may be forgotten already
            self._board.ended(await self._api.one(stream))
            self._draw()

    async def _age(self) -> None:
        """Ended streams leave also when nothing else happens."""
        while True:
            await asyncio.sleep(1.0)
            self._board.tick(monotonic())
            self._draw()

    def _keys(self, text: str) -> None:
        for key in keys_of(text):
            action = self._board.key(key)
            if action is None:
                continue
            if action.what == "quit":
                self._done.set()
                return
            self._start(self._act(action))
        self._draw()

    async def _act(self, action: Action) -> None:
        try:
            stream = await self._api.act(action)
        except TidegateError as error:
            self._board.message = f"{action.what}: {error.message}"
        else:
            self._board.message = f"{action.what}: {action.stream[-8:]} is {stream['reason'] or stream['state']}"
            self._board.ended(stream)
        self._draw()

    def _resized(self) -> None:
        self._shown = []
        self._draw()

    def _draw(self) -> None:
        """Write the lines that differ."""
        lines = self._board.screen(*shutil.get_terminal_size())
        old, self._shown = self._shown, lines
        out = ["\x1b[?2026h", "" if old else "\x1b[2J"]
        for place, line in enumerate(lines):
            if place >= len(old) or old[place] != line:
                out.append(f"\x1b[{place + 1};1H{line}\x1b[0m\x1b[K")
        sys.stdout.write("".join([*out, "\x1b[?2026l"]))
        sys.stdout.flush()


@contextmanager
def _raw_terminal(keys: Any) -> Iterator[None]:
    """The other screen, no cursor, keys as they are typed; everything put back at the end."""
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    loop = asyncio.get_running_loop()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    tty.setcbreak(number)
    sys.stdout.write(ENTER)
    sys.stdout.flush()
    loop.add_reader(number, lambda: keys(decoder.decode(os.read(number, 1024))))
    try:
        yield
    finally:
        loop.remove_reader(number)
        sys.stdout.write(LEAVE)
        sys.stdout.flush()
        termios.tcsetattr(number, termios.TCSADRAIN, before)


@contextmanager
def _signals(done: Any, resized: Any) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    handled = {signal.SIGINT: done, signal.SIGTERM: done, signal.SIGWINCH: resized}
    for number, call in handled.items():
        loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
