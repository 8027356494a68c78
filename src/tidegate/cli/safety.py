"""``tidegate safety``: what a profile does to a text, what it costs, and which rules there are."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from tidegate.errors import ConfigError
from tidegate.safety import Action, Hit, Machine, TextFilter
from tidegate.safety.classifier import ClassifierOptions
from tidegate.safety.profile import SETS, Channel, Profile, ProfileError, Profiles, SafetyOptions
from tidegate.safety.validation import UserRules

__all__ = ["safety"]

_TOKEN = re.compile(r" ?[A-Za-z]{1,8}| ?[^\W\d_]+|\d{1,3}| ?[^\w\s]{1,3}|\s+|_+")
"""About how a tokenizer cuts."""

_COLOURS = {Action.TAG: "yellow", Action.REDACT: "green", Action.BLOCK: "red"}

_profile = click.option("--profile", default="default", show_default=True, help="A profile's name.")
_config = click.option(
    "-c", "--config", "config", metavar="FILE", help="The TOML file, for its [safety] with profiles of your own."
)
_channel = click.option(
    "--channel",
    type=click.Choice([channel.value for channel in Channel]),
    default=Channel.OUTPUT.value,
    show_default=True,
    help="What the text is taken for.",
)


@click.group()
def safety() -> None:
    """See what a safety profile does to a text, what it costs, and which rules there are.

    \b
      tidegate safety test answer.txt                 the text as a reader would get it
      grep -r . docs | tidegate safety test - --profile strict --quiet
      tidegate safety test prompt.txt --channel input --profile mine --config tidegate.toml
      tidegate safety bench answer.txt                what it costs a token
      tidegate safety rules                           every rule that comes along
    """


@safety.command("test", short_help="Show what a profile does to a text.")
@click.argument("file")
@_profile
@_config
@_channel
@click.option("--quiet", is_flag=True, help="Only the table of what was found.")
@click.option("--check", is_flag=True, help="Exit 1 when something was found.")
def test(file: str, profile: str, config: str | None, channel: str, quiet: bool, check: bool) -> None:
    """Show what a profile does to FILE ("-" for stdin): the text as a reader would get it, and what was found.

    The table has rule, action, position and length, and never the value. Scores and classifiers of the profile have a
    line each.
    """
    text = _read(file)
    hits: list[Hit] = []
    options = _options(config)
    chosen = _named(profile, options)
    machine = chosen.machine(Channel(channel))
    if machine is not None:
        stream = TextFilter(machine, key=secrets.token_bytes(16), on_hit=hits.append)
        stream.feed(text)
        stream.close()
        hits.sort(key=lambda hit: hit.position)
    lines = list(_judged(text, chosen, Channel(channel), options))
    if not quiet:
        click.echo(_shown(text, hits, machine), nl=False)
        if not text.endswith("\n"):
            click.echo()
    for hit in hits:
        line = f"{hit.rule:<28} {hit.action:<7} at {hit.position}, {hit.length} characters, {hit.digest}"
        click.echo(click.style(line, fg=_COLOURS[hit.action]), err=not quiet)
    for counts, line in lines:
        click.echo(click.style(line, fg="red" if counts else "green"), err=not quiet)
    count = Counter(hit.rule for hit in hits)
    click.echo(", ".join(f"{number} × {rule}" for rule, number in count.most_common()) or "nothing found", err=True)
    if check and (hits or any(counts for counts, _ in lines)):
        click.get_current_context().exit(1)


def _judged(text: str, profile: Profile, channel: Channel, options: SafetyOptions) -> Iterator[tuple[bool, str]]:
    """What scores and classifiers say: whether it counts, and a line."""
    if profile.profanity is not None and channel in profile.profanity.channels:
        from tidegate.relay.weights import profanity
        from tidegate.safety.profanity import ProfanityFilter

        hits: list[Hit] = []
        limit = profile.profanity.threshold
        words = ProfanityFilter(
            profanity(), threshold=limit, action=Action.TAG, key=secrets.token_bytes(16), on_hit=hits.append
        )
        words.feed(text)
        words.close()
        ends = " (the answer ends before the first)" if hits and profile.profanity.strict else ""
        yield bool(hits), f"profanity: {len(hits)} sentences reach {limit:g}{ends}"
    if profile.injection is not None and channel is Channel.INPUT:
        from tidegate.relay.weights import injection

        score = injection().score(text)
        counts = score >= profile.injection.threshold
        yield counts, f"prompt injection: {score:.3f}, and {profile.injection.threshold:g} counts"
    if options.validation.rules and channel is Channel.OUTPUT:
        rules = UserRules(options.validation.rules)
        for finding in rules.broken(text, 0):
            if finding is not None:
                must = next(rule.must for rule in options.validation.rules if rule.name == finding.detail)
                yield True, f"validation: {finding.detail}: must {must.replace('-', ' ')} its pattern"
    for each in options.classifiers:
        if each.name in profile.classifiers and channel.value in each.where:
            yield from asyncio.run(_asked(text, each))


async def _asked(text: str, options: ClassifierOptions) -> list[tuple[bool, str]]:
    from tidegate.relay.classifiers import ClassifierError, close, make
    from tidegate.safety.sentences import Sentences

    try:
        classifier = make(options, os.environ)
    except ClassifierError as error:
        raise click.UsageError(str(error)) from None
    sentences = Sentences(options.longest)
    lines = []
    try:
        for number, sentence in enumerate([*sentences.feed(text), *sentences.close()], 1):
            try:
                async with asyncio.timeout(options.deadline):
                    verdict = await classifier.check(sentence)
            except Exception as error:
                why = f"{options.name}: sentence {number}: no verdict ({type(error).__name__})"
                lines.append((options.on_failure == "closed", why))
                continue
            if verdict.flagged:
                lines.append((True, f"{options.name}: sentence {number}: {verdict.label or 'flagged'}"))
    finally:
        await close(classifier)
    return lines or [(False, f"{options.name}: nothing flagged")]


def _shown(text: str, hits: list[Hit], machine: Machine | None) -> str:
    """The output, with what was replaced in colour."""
    rules = {rule.name: rule for rule in machine.rules} if machine is not None else {}
    parts = []
    at = 0
    for hit in hits:
        value = text[hit.position : hit.position + hit.length] if hit.action is Action.TAG else rules[hit.rule].shown
        parts += [text[at : hit.position], click.style(value, fg=_COLOURS[hit.action], bold=True)]
        at = hit.position + hit.length
        if hit.action is Action.BLOCK:
            return "".join(parts)
    return "".join([*parts, text[at:]])


@safety.command("bench", short_help="Measure what a profile costs a token.")
@click.argument("file")
@_profile
@_config
@_channel
def bench(file: str, profile: str, config: str | None, channel: str) -> None:
    """Measure what a profile costs on FILE ("-" for stdin), cut about as a tokenizer would."""
    text = _read(file)
    tokens = _TOKEN.findall(text)
    if not tokens:
        raise click.UsageError("the text is empty")
    chosen = _named(profile, _options(config))
    began = time.process_time()
    machine = chosen.machine(Channel(channel))
    ready = time.process_time() - began
    if machine is None:
        click.echo(f"{profile} has no rules for {channel}")
        return
    first = _pass(machine, tokens)
    again = min(_pass(machine, tokens) for _ in range(3))
    click.echo(f"rules     {len(machine.rules)}, ready in {ready * 1e3:.0f} ms")
    click.echo(f"text      {len(text)} characters, {len(tokens)} tokens")
    click.echo(f"new       {first[0]:.2f} µs a token")
    click.echo(f"known     {again[0]:.2f} µs a token")
    click.echo(f"held      {first[1]:.1f} characters on average, {first[2]} at most")


def _pass(machine: Machine, tokens: list[str]) -> tuple[float, float, int]:
    """Microseconds of CPU a token; characters held after each, on average and at most."""
    feed = TextFilter(machine, key=b"bench").feed
    began = time.process_time()
    for token in tokens:
        feed(token)
    cost = (time.process_time() - began) / len(tokens) * 1e6
    stream = TextFilter(machine, key=b"bench")
    held = [stream.held for token in tokens if stream.feed(token) is not None]
    return cost, sum(held) / len(held), max(held)


@safety.command("rules", short_help="List every rule that comes along.")
def rules() -> None:
    """List every rule that comes along, by its set: names that a profile may use."""
    for name, each in SETS.items():
        click.echo(click.style(f"{name} ({len(each)})", bold=True))
        for rule in each.values():
            click.echo(f"  {rule.name:<44} {rule.shown}")


def _options(config: str | None) -> SafetyOptions:
    if config is None:
        return SafetyOptions()
    from tidegate.config import load

    try:
        return load(config, os.environ, require_upstream=False).safety
    except ConfigError as error:
        raise click.UsageError(error.message) from None


def _named(profile: str, options: SafetyOptions) -> Profile:
    try:
        return Profiles(options).named(profile)
    except ProfileError as error:
        raise click.UsageError(str(error)) from None


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    return Path(file).read_text("utf-8", "replace")
