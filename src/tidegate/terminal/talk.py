"""The conversation at a terminal: prompt, answer, status line, and again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidegate.client import AsyncStream, AsyncStreamClient, Cancelled, StreamConfig, StreamResult, TidegateError
from tidegate.terminal.cells import clean
from tidegate.terminal.conversation import COMMANDS, Conversation, Figures, status_line
from tidegate.terminal.view import AnswerView, Painter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prompt_toolkit import PromptSession

__all__ = ["talk"]

DIM, YELLOW, PLAIN = "\x1b[2m", "\x1b[33m", "\x1b[0m"


async def talk(config: StreamConfig, system: str | None, question: str | None) -> StreamResult | None:
    """Talk until the person leaves; with a ``question``, one answer, whose result is returned."""
    async with AsyncStreamClient(config) as client:
        talking = _Talk(client, Conversation(system), config.model)
        if question is not None:
            return await talking.answer(question)
        _say(f"{DIM}{config.model} at {_host(config)}\n/help for commands, Esc Enter for a new line{PLAIN}")
        await talking.loop(_prompt_session())
        return None


class _Talk:
    def __init__(self, client: AsyncStreamClient, conversation: Conversation, model: str) -> None:
        self._client = client
        self._conversation = conversation
        self._model = model
        self._figures = Figures()

    async def loop(self, session: PromptSession[str]) -> None:
        """Until Ctrl-D, /quit, or Ctrl-C twice."""
        interrupted = False
        while True:
            try:
                text = (await session.prompt_async("› ")).strip()
            except EOFError:
                return
            except KeyboardInterrupt:
                if interrupted:
                    return
                interrupted = True
                _say(f"{DIM}Ctrl-C again leaves.{PLAIN}")
                continue
            interrupted = False
            if not text:
                continue
            if text.startswith("/"):
                if text.split()[0] in ("/quit", "/exit"):
                    return
                again = self._command(text)
                if again is None:
                    continue
                text = again
            result = await self.answer(text)
            if result is None:
                return

    async def answer(self, question: str) -> StreamResult | None:
        """One answer; ``None`` when the person left in it."""
        self._conversation.ask(question)
        stream = self._client.stream(self._conversation.messages, model=self._model)
        _say("")
        view = AnswerView(_write, *shutil.get_terminal_size())
        failure: TidegateError | None = None
        with _interrupts(stream) as presses, _resizes(view):
            view.wait()
            try:
                await _show(stream, view)
            except TidegateError as error:
                failure = error
            finally:
                view.close()
                await stream.close()
        result = stream.result
        self._conversation.answer(stream.text)
        self._figures.add(result)
        if len(presses) > 1:
            return None
        if failure is not None and not isinstance(failure, Cancelled):
            _say(f"{YELLOW}✂ {'cut' if stream.text else 'no answer'}: {clean(failure.message)}{PLAIN}")
        _say(f"{DIM}{status_line(result)}{PLAIN}\n")
        return result

    def _command(self, text: str) -> str | None:
        """Obey; returns a question to ask, if one follows from it."""
        name, _, argument = text.partition(" ")
        argument = argument.strip()
        if name == "/model":
            self._model = argument or self._model
            _say(f"{DIM}model: {clean(self._model)}{PLAIN}")
        elif name == "/retry":
            question = self._conversation.again()
            if question is not None:
                return question
            _say(f"{DIM}nothing was asked yet{PLAIN}")
        elif name == "/save":
            _say(f"{DIM}{self._save(argument)}{PLAIN}")
        elif name == "/stats":
            _say("\n".join(f"{DIM}{line}{PLAIN}" for line in self._figures.lines()))
        elif name == "/help":
            _say("\n".join(f"{DIM}{command:8}{about}{PLAIN}" for command, about in COMMANDS.items()))
        else:
            _say(f"{DIM}no command {clean(name)}; there are {', '.join(COMMANDS)}{PLAIN}")
        return None

    def _save(self, name: str) -> str:
        if not name:
            return "where to? /save FILE"
        try:
            with open(Path(name).expanduser(), "x", encoding="utf-8") as file:
                file.write(self._conversation.saved(name, self._model))
        except OSError as error:
            return f"{name}: {error.strerror}"
        return f"saved in {name}"


async def _show(stream: AsyncStream[str], view: AnswerView) -> None:
    painter = Painter(view)
    try:
        async for piece in stream:
            painter.feed(piece)
    finally:
        painter.close()


@contextmanager
def _interrupts(stream: AsyncStream[Any]) -> Iterator[list[int]]:
    """Ctrl-C stops the answer softly and keeps it; the second one gives up on it. Yields the presses so far."""
    presses: list[int] = []
    stopping: set[asyncio.Task[None]] = set()

    async def stop() -> None:
        try:
            await stream.stop()
        except TidegateError:
            stream.cancel()

    def pressed() -> None:
        presses.append(1)
        if len(presses) == 1 and stream.text:
            stopping.add(asyncio.ensure_future(stop()))
        else:
            stream.cancel()

    with _handled(signal.SIGINT, pressed):
        yield presses
    for task in stopping:
        task.cancel()


def _resizes(view: AnswerView) -> Any:
    return _handled(signal.SIGWINCH, lambda: view.resize(*shutil.get_terminal_size()))


@contextmanager
def _handled(number: int, call: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        loop.remove_signal_handler(number)


def _prompt_session() -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("enter")
    def _(event: Any) -> None:
        event.current_buffer.validate_and_handle()

    return PromptSession(history=FileHistory(str(_history_file())), key_bindings=keys, multiline=True)


def _history_file() -> Path:
    """In the state folder (XDG Base Directory Specification); readable by its owner only."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "tidegate"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / "chat-history"
    file.touch(mode=0o600)
    return file


def _host(config: StreamConfig) -> str:
    from tidegate.client.config import endpoint_of

    return endpoint_of(config.endpoint).url


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _say(text: str) -> None:
    _write(text.replace("\n", "\r\n") + "\r\n")
