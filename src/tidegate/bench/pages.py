"""The gateway's own page in real windows: perceived latency as the page itself measures and reports it.

A streaming answer is asked for through the page's form, by keyboard. What is taken is the ``first_paint`` of the report
that the page sends to the gateway (``POST /v1/streams/{id}/seen``): from the submission to the second animation frame
after the first token came, by which it has been painted. The page has no blocking way: there, a script in the same page
asks for the whole answer, puts it below the others as plain text, and stops its clock in the same way.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

from tidegate.bench.abandonment import Reader
from tidegate.bench.devtools import Browser, Event, Window
from tidegate.bench.ways import Way, question
from tidegate.errors import GatewayFault, TidegateError

__all__ = ["AT_ONCE", "perceived"]

AT_ONCE: Final = 5
"""Windows at a time: each is a process that draws, and with more of them than cores they would measure the machine."""
_PATIENCE: Final = 25.0
"""Seconds for anything that a page has to do."""
# Of the second answer.
_TEXT: Final = "document.querySelectorAll('.turn.assistant .answer')[1]?.textContent.trim().length > 0"
_TYPE: Final = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}

_WHOLE: Final = """
(async (body) => {
  const began = performance.now();
  const headers = { "content-type": "application/json", accept: "application/json" };
  const address = new URL("v1/chat/completions", document.baseURI);
  const answer = await fetch(address, { method: "POST", headers, body: JSON.stringify(body) });
  const whole = await answer.json();
  const text = document.createElement("div");
  text.className = "answer";
  text.textContent = whole.choices[0].message.content;
  document.querySelector(".log").append(text);
  await new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)));
  return (performance.now() - began) / 1000;
})
"""


async def perceived(
    browser: Browser, url: str, way: Way, people: Sequence[Reader], tell: Callable[[int], None]
) -> list[float]:
    """Seconds from the submission to the first paint, of every reader who saw one.

    :param url: of the gateway.
    :param tell: told how many pages are through.
    :raises GatewayFault: there is no page, or it cannot be asked anything.
    """
    seen: list[float] = []
    for first in range(0, len(people), AT_ONCE):
        some = people[first : first + AT_ONCE]
        async with AsyncExitStack() as stack:
            windows = [await stack.enter_async_context(browser.window()) for _ in some]
            for window, reader in zip(windows, some, strict=True):
                await _open(window, url, way)
                await _type(window, *_question(reader))
            # Everything that takes the processor is done; people do not come in step.
            asked = [_look(windows[at], way, reader, 0.2 * at) for at, reader in enumerate(some)]
            seen += [time for time in await asyncio.gather(*asked) if time is not None]
        tell(first + len(some))
    return seen


def _question(reader: Reader) -> tuple[str, str]:
    return question(reader, f"page-{reader.number}")


async def _open(window: Window, url: str, way: Way) -> None:
    """The page, with a first question behind it: that one starts the page's worker and opens its connection."""
    if way.kind in _TYPE:
        await window.send_headers({"accept": _TYPE[way.kind]})
    await window.call("Page.navigate", url=f"{url}/")
    if not await window.until("document.visibilityState === 'visible' && !!document.querySelector('.ask')", _PATIENCE):
        raise GatewayFault("The gateway's page did not come up.")
    await _type(window, "sim/prose?ttft=0&tps=1000&tokens=5", "Hello")
    report = _report(window)
    await window.press("Enter", 13, "\r")
    await _within(report, _PATIENCE)


async def _look(window: Window, way: Way, reader: Reader, wait: float) -> float | None:
    """Send what was typed, ``wait`` seconds from now; ``None`` if nothing was to be seen."""
    patience = _PATIENCE + reader.ttft + reader.tokens / reader.tps
    try:
        await asyncio.sleep(wait)
        if way.kind == "json":
            model, prompt = _question(reader)
            body = {"model": model, "stream": False, "messages": [{"role": "user", "content": prompt}]}
            return float(await window.run(f"({_WHOLE})({json.dumps(body)})", patience))
        return await _ask(window, way, patience)
    except TidegateError:
        return None


async def _type(window: Window, model: str, prompt: str) -> None:
    await window.run(
        "(() => { const box = document.querySelector('input[list=models]');"
        f"box.value = {json.dumps(model)}; box.dispatchEvent(new Event('change', {{ bubbles: true }}));"
        "document.querySelector('#prompt').focus(); })()"
    )
    await window.call("Input.insertText", text=prompt)
    if not await window.until("document.querySelector('.ask .main[type=submit]')?.disabled === false", _PATIENCE):
        raise GatewayFault("The page takes no question.")


async def _ask(window: Window, way: Way, patience: float) -> float:
    """Through the form. The answer is stopped once it is seen, for the report comes at the end."""
    head = window.event("Network.responseReceived", lambda event: event["response"]["url"].endswith("/chat/stream"))
    report = _report(window)
    await window.press("Enter", 13, "\r")
    if not await window.until(_TEXT, patience):
        raise GatewayFault("The page showed no answer.")
    kind = (await _within(head, _PATIENCE))["response"]["mimeType"]
    if kind != _TYPE[way.kind]:
        raise GatewayFault(f"The page got {kind}.")
    await asyncio.sleep(0.2)  # a few frames
    await window.press("Escape", 27)
    sent = await _within(report, _PATIENCE)
    try:
        return float(json.loads(sent["request"]["postData"])["first_paint"])
    except (KeyError, ValueError, TypeError) as error:
        raise GatewayFault("The page reported no first paint.") from error


def _report(window: Window) -> asyncio.Future[Event]:
    return window.event("Network.requestWillBeSent", lambda event: event["request"]["url"].endswith("/seen"))


async def _within(event: asyncio.Future[Event], seconds: float) -> Event:
    try:
        async with asyncio.timeout(seconds):
            return await event
    except TimeoutError as error:
        raise GatewayFault("The page did not do what it was asked.") from error
