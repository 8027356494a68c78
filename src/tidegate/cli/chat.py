"""``tidegate chat``: talk to a model in the terminal, or in a pipe."""

from __future__ import annotations

import asyncio
import sys

import click

from tidegate.cli.endpoint import with_endpoint
from tidegate.client import StreamConfig, StreamResult, TidegateError
from tidegate.terminal.conversation import status_line

__all__ = ["chat"]

CUT = 3
"""Exit code of an answer that was cut: what is on stdout is not the whole."""


@click.command()
@with_endpoint
@click.option("-m", "--model", envvar="LLM_MODEL", default="default", show_default=True, help="[env: LLM_MODEL]")
@click.option("-s", "--system", metavar="TEXT", help="A system prompt.")
@click.option("--max-tokens", type=click.IntRange(1), default=2048, show_default=True, help="Of one answer.")
@click.option("--temperature", type=float, default=0.7, show_default=True)
@click.argument("prompt", nargs=-1)
def chat(
    url: str,
    key: str | None,
    model: str,
    system: str | None,
    max_tokens: int,
    temperature: float,
    prompt: tuple[str, ...],
) -> None:
    """Talk to a model. Markdown is rendered while it comes; Ctrl-C stops an answer and keeps it, twice leaves.

    With PROMPT, or "-" for stdin, it answers once and ends: plain text on stdout when that is no terminal, the
    figures on stderr. Exits 3 when the answer was cut.

    \b
      tidegate chat
      tidegate chat --model gpt-4o-mini --url https://api.openai.com/v1
      echo "Why is the sea salty?" | tidegate chat -
      tidegate chat "Summarise this: $(cat notes.txt)" > summary.md
    """
    config = StreamConfig(endpoint=url, api_key=key, model=model, max_tokens=max_tokens, temperature=temperature)
    question = " ".join(prompt)
    if question == "-" or (not question and not sys.stdin.isatty()):
        question = sys.stdin.read()
        if not question.strip():
            raise click.UsageError("there is no question on stdin")
    if sys.stdout.isatty():
        from tidegate.terminal.talk import talk

        result = asyncio.run(talk(config, system, question or None))
    else:
        if not question:
            raise click.UsageError('what comes out is not a terminal: give a PROMPT, or "-" to read it from stdin')
        result = asyncio.run(plain(config, system, question))
    if result is not None and not result.complete:
        raise click.exceptions.Exit(CUT)


async def plain(config: StreamConfig, system: str | None, question: str) -> StreamResult:
    """One answer as it comes: only its text on stdout, everything else on stderr."""
    from tidegate.client import AsyncStreamClient

    messages = [{"role": "user", "content": question}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    async with AsyncStreamClient(config) as client, client.stream(messages) as stream:
        try:
            async for piece in stream:
                sys.stdout.write(piece)
                sys.stdout.flush()
        except TidegateError as error:
            click.echo(f"\ntidegate: the answer was cut: {error.message}", err=True)
        if not stream.text.endswith("\n"):
            click.echo()
        click.echo(status_line(stream.result), err=True)
        return stream.result
