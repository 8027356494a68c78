"""A Chromium of our own, headless, driven over the DevTools protocol (https://chromedevtools.github.io/devtools-protocol).

Only what a measurement needs: windows, their scripts, their keyboard, their requests. Each window has a browser context
of its own: what one has stored, cached or connected is nothing to the next.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, WSMsgType

from tidegate.errors import GatewayFault

__all__ = ["Browser", "Event", "Window", "chromium"]

FLAGS: Final = (
    *("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--remote-debugging-port=0"),
)
_ANSWER: Final = 30.0
"""Seconds for one command."""
_LARGEST: Final = 16 * 1024 * 1024
"""Bytes of one message."""

Event: TypeAlias = Mapping[str, Any]
"""The parameters of one, or the result of a command."""


@asynccontextmanager
async def chromium(program: str, patience: float = 30.0) -> AsyncIterator[Browser]:
    """Start it with an empty profile, and end it with everything that it started.

    :param patience: seconds until it must be there.
    :raises GatewayFault: it is no Chromium, or does not start.
    """
    flags = (*FLAGS, "--no-sandbox") if os.geteuid() == 0 else FLAGS  # as root it has no sandbox to start
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            process = await asyncio.create_subprocess_exec(
                *(program, *flags, f"--user-data-dir={folder}/profile", "about:blank"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={**os.environ, "TMPDIR": folder},  # where it leaves things
                start_new_session=True,
            )
        except OSError as error:
            raise GatewayFault(f"{program} did not start: {error.strerror}.") from error
        try:
            port, path = await _ready(Path(folder) / "profile" / "DevToolsActivePort", process, program, patience)
            async with _connected(f"ws://127.0.0.1:{port}{path}", program) as browser:
                yield browser
        finally:
            await _end(process)


async def _ready(file: Path, process: asyncio.subprocess.Process, program: str, patience: float) -> tuple[int, str]:
    """Where it listens, as it writes into its profile."""
    deadline = asyncio.get_running_loop().time() + patience
    while asyncio.get_running_loop().time() < deadline and process.returncode is None:
        lines = await asyncio.to_thread(_lines_of, file)
        if len(lines) == 2:
            return int(lines[0]), lines[1]
        await asyncio.sleep(0.05)
    raise GatewayFault(f"{program} did not start as a browser does.")


def _lines_of(file: Path) -> list[str]:
    try:
        return file.read_text().split("\n")
    except FileNotFoundError:
        return []


async def _end(process: asyncio.subprocess.Process) -> None:
    # The group: it is some ten processes, and a wrapper script may stand before them.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    await process.wait()


@asynccontextmanager
async def _connected(url: str, program: str) -> AsyncIterator[Browser]:
    async with ClientSession() as session:
        try:
            socket = await session.ws_connect(url, max_msg_size=_LARGEST)
        except (ClientError, OSError) as error:
            raise GatewayFault(f"{program} does not speak the DevTools protocol.") from error
        browser = Browser(socket)
        reading = asyncio.ensure_future(browser.read())
        try:
            yield browser
        finally:
            reading.cancel()
            await socket.close()


class Browser:
    """One connection, over which all windows are driven."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Event]] = {}
        self._heard: dict[str, Callable[[str, Event], None]] = {}

    async def call(self, method: str, *, window: str | None = None, within: float = _ANSWER, **params: Any) -> Event:
        """One command and its result.

        :raises GatewayFault: it failed, took longer than ``within`` seconds, or the browser has gone.
        """
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if window is not None:
            message["sessionId"] = window
        answer: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            if self._socket.closed:
                raise GatewayFault("The browser has gone.")
            await self._socket.send_json(message)
            async with asyncio.timeout(within):
                return await answer
        except (TimeoutError, ConnectionError) as error:
            raise GatewayFault(f"The browser did not answer to {method}.") from error
        finally:
            del self._asked[number]

    @asynccontextmanager
    async def window(self) -> AsyncIterator[Window]:
        """An empty one, seen and focused as far as its page can tell."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        try:
            target = await self.call("Target.createTarget", url="about:blank", browserContextId=context, newWindow=True)
            session = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
            found = Window(self, session["sessionId"])
            self.listen(session["sessionId"], found.heard)
            for method in ("Page.enable", "Network.enable"):
                await found.call(method)
            await found.call("Emulation.setFocusEmulationEnabled", enabled=True)
            await found.call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=True, flatten=True)
            yield found
        finally:
            if not self._socket.closed:
                await self.call("Target.disposeBrowserContext", within=5.0, browserContextId=context)

    def listen(self, session: str, heard: Callable[[str, Event], None]) -> None:
        """Tell ``heard`` what happens in this session."""
        self._heard[session] = heard

    async def read(self) -> None:
        """Hand on what the browser says, until it says no more."""
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                break
            said = message.json()
            if "method" in said:
                heard = self._heard.get(said.get("sessionId", ""))
                if heard is not None:
                    heard(said["method"], said.get("params", {}))
            elif (asked := self._asked.get(said["id"])) is not None and not asked.done():
                if "error" in said:
                    asked.set_exception(GatewayFault(f"The browser refused: {said['error'].get('message', '')}"))
                else:
                    asked.set_result(said.get("result", {}))
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(GatewayFault("The browser has gone."))


class Window:
    """One page. ``session`` is its DevTools session."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self._headers: dict[str, str] = {}
        self._attaching: set[asyncio.Future[None]] = set()
        self._waiting: list[tuple[str, Callable[[Event], bool], asyncio.Future[Event]]] = []

    async def call(self, method: str, **params: Any) -> Event:
        """A command for this page."""
        return await self._browser.call(method, window=self._session, **params)

    async def send_headers(self, headers: Mapping[str, str]) -> None:
        """Put these into each request of the page, and of the workers that it starts from now on."""
        self._headers = dict(headers)
        await self.call("Network.setExtraHTTPHeaders", headers=self._headers)

    async def run(self, script: str, within: float = _ANSWER) -> Any:
        """The value of an expression in the page, awaited if it is a promise.

        :raises GatewayFault: it threw.
        """
        found = await self.call(
            "Runtime.evaluate", within=within, expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in found:
            thrown = found["exceptionDetails"]
            raise GatewayFault(f"In the page: {thrown.get('exception', {}).get('description') or thrown['text']}")
        return found["result"].get("value")

    async def until(self, script: str, seconds: float) -> bool:
        """Whether the expression becomes true in time. It looks 20 times a second: more would keep the page awake."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not await self.run(script):
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    def event(self, method: str, wanted: Callable[[Event], bool]) -> asyncio.Future[Event]:
        """The next event of this kind that is ``wanted``: ask for it before you do what causes it."""
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._waiting.append((method, wanted, future))
        return future

    async def press(self, key: str, code: int, text: str = "") -> None:
        """One key, down and up; ``code`` is its ``keyCode``."""
        known = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **known, **({"text": text} if text else {}))
        await self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    def heard(self, method: str, params: Event) -> None:
        """The browser says that something has happened here, or in a worker of this page."""
        if method == "Target.attachedToTarget":
            task = asyncio.ensure_future(self._attach(params["sessionId"]))
            self._attaching.add(task)
            task.add_done_callback(self._attaching.discard)
        for waiting in list(self._waiting):
            kind, wanted, future = waiting
            if future.done():
                self._waiting.remove(waiting)
            elif kind == method and wanted(params):
                self._waiting.remove(waiting)
                future.set_result(params)

    async def _attach(self, session: str) -> None:
        """A worker that was just made, and waits for us: its requests are its own, and so are their headers."""
        self._browser.listen(session, self.heard)
        try:
            await self._browser.call("Network.enable", window=session)
            await self._browser.call("Network.setExtraHTTPHeaders", window=session, headers=self._headers)
            await self._browser.call("Runtime.runIfWaitingForDebugger", window=session)
        except GatewayFault:
            pass  # it went with its page; who waits for an answer through it will say so
