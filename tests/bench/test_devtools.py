"""bench/devtools.py, with a real Chromium, and with programs that are none."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.bench.browsers import the_chromium
from tidegate.bench.devtools import Browser, chromium
from tidegate.errors import GatewayFault

WRITES_A_PORT = """#!/bin/sh
for word; do case "$word" in --user-data-dir=*) folder=${word#--user-data-dir=};; esac; done
mkdir "$folder"
printf '%s\\n/devtools' 1 > "$folder/DevToolsActivePort"
exec sleep 60
"""
"""Nobody listens there."""


def processes(word: str) -> int:
    """How many have it in their command line."""
    listed = subprocess.run(["ps", "-wweo", "args"], capture_output=True, text=True, check=True).stdout
    return sum(word in line for line in listed.splitlines())


def test_windows_run_scripts_and_share_nothing() -> None:
    async def case() -> None:
        async with chromium(the_chromium()) as browser, browser.window() as one, browser.window() as other:
            assert await one.run("new Promise((done) => setTimeout(() => done(6 * 7), 10))") == 42
            assert await other.run("document.visibilityState") == "visible"
            assert await one.until("true", 0.0)
            assert not await one.until("false", 0.1)
            await one.run("globalThis.mine = 1")
            assert await other.run("typeof mine") == "undefined"
            with pytest.raises(GatewayFault, match="In the page: TypeError"):
                await one.run("null.x")
            with pytest.raises(GatewayFault, match="The browser refused"):
                await one.call("Page.noSuchThing")
            with pytest.raises(GatewayFault, match=r"did not answer to Runtime\.evaluate"):
                await one.run("new Promise(() => {})", within=0.1)

    asyncio.run(case())


def test_keys_and_events_reach_who_waits() -> None:
    async def case() -> None:
        async with chromium(the_chromium()) as browser, browser.window() as window:
            await window.run("addEventListener('keydown', (event) => (globalThis.pressed = event.key))")
            await window.press("Escape", 27)
            assert await window.until("globalThis.pressed === 'Escape'", 60.0)
            loaded = window.event("Page.frameNavigated", lambda event: event["frame"]["url"] == "data:text/html,tide")
            await window.call("Page.navigate", url="data:text/html,tide")
            async with asyncio.timeout(60.0):
                assert (await loaded)["frame"]["mimeType"] == "text/html"

    asyncio.run(case())


async def dies(browser: Browser) -> None:
    async with browser.window() as window:
        hanging = asyncio.ensure_future(window.run("new Promise(() => {})"))
        await asyncio.sleep(0)
        await browser.call("Browser.close")
        await hanging


def test_a_browser_that_dies_is_said_to_have_gone() -> None:
    async def case() -> None:
        async with chromium(the_chromium()) as browser:
            with pytest.raises(GatewayFault, match="has gone"):
                await dies(browser)
            with pytest.raises(GatewayFault, match="has gone"):
                await browser.call("Browser.getVersion")

    asyncio.run(case())


def test_it_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # A short path: it makes a socket there, whose name may have 107 bytes.
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)

        async def case() -> None:
            async with chromium(the_chromium()):
                assert processes(folder) >= 1

        asyncio.run(case())
        assert list(Path(folder).iterdir()) == []
        assert processes(folder) == 0


def script(folder: Path, text: str) -> str:
    file = folder / "browser"
    file.write_text(text)
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#!/bin/sh\nexit 0\n", "did not start as a browser does"),
        ("#!/bin/sh\nexec sleep 60\n", "did not start as a browser does"),
        ("no program", "did not start: Exec format error"),
        (WRITES_A_PORT, "does not speak the DevTools protocol"),
    ],
    ids=["ends", "hangs", "no program", "deaf"],
)
def test_what_is_no_browser_is_said_to_be_none(tmp_path: Path, text: str, message: str) -> None:
    program = script(tmp_path, text)

    async def case() -> None:
        async with chromium(program, patience=1.0 if text.endswith("/bin/sh\nexec sleep 60\n") else 60.0):
            pass

    with pytest.raises(GatewayFault, match=f"^{program} {message}"):
        asyncio.run(case())
