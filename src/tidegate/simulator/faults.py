"""PURE. Ways in which a model server fails, by the name of the model: one function each, listed in ``TABLE``.

The first line of each docstring says what the server does and, behind the arrow, what an honest gateway makes of it.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from typing import Final

from tidegate.simulator.event_faults import EVENT_FAULTS
from tidegate.simulator.http_faults import HTTP_FAULTS
from tidegate.simulator.script import (
    Asked,
    Script,
    Step,
    chunk,
    cut_script,
    error_script,
    place_of_finish,
    script_of,
    script_with,
    usage_of,
    whole_answer,
    whole_script,
)
from tidegate.wire.openai_chat import encode_json
from tidegate.wire.sse import DONE, encode_sse

__all__ = ["TABLE", "Fault", "fault_of"]

Fault = Callable[[Asked, int], Script]
"""``(what was asked, the number in the model's name) -> the response``."""

AWAY: Final = -1.0
"""A wait that never ends."""


def cut_after(asked: Asked, count: int) -> Script:
    """Closes the connection after N tokens -> an error event, never [DONE]"""
    script = cut_script(asked, count)
    script.steps.append(Step(0.0, b"", 0, "close"))
    return script


def cut_clean_after(asked: Asked, count: int) -> Script:
    """Ends the body cleanly after N tokens, without a finish reason -> an error event"""
    script = cut_script(asked, count)
    script.steps.append(Step(0.0, b"", 0, "end"))
    return script


def rst_after(asked: Asked, count: int) -> Script:
    """Resets the connection after N tokens -> an error event"""
    script = cut_script(asked, count)
    script.steps.append(Step(0.05, b"", 0, "reset"))
    return script


def stall(asked: Asked, _: int) -> Script:
    """Takes the request and never answers -> 504 after first_token_timeout"""
    script = script_of(asked)
    script.head_wait = AWAY
    return script


def silent(asked: Asked, _: int) -> Script:
    """Sends a head and then nothing -> 504 after first_token_timeout"""
    script = script_of(asked)
    script.steps = [Step(0.0, b"", 0, "hang")]
    return script


def stall_after(asked: Asked, count: int) -> Script:
    """Falls silent after N tokens -> an error event after idle_timeout"""
    script = cut_script(asked, count)
    script.steps.append(Step(0.0, b"", 0, "hang"))
    return script


def slow_head(asked: Asked, _: int) -> Script:
    """Waits a second before its head -> the answer"""
    script = script_of(asked)
    script.head_wait = 1.0
    return script


def refused(status: int, message: str, code: str, headers: tuple[tuple[str, str], ...] = ()) -> Fault:
    """Answers with a status."""

    def fault(_asked: Asked, _: int) -> Script:
        return error_script(status, message, code, headers)

    passes = "its status passes on" if status < 500 else "retried, then 502"
    fault.__doc__ = f"Answers {status} -> {passes}"
    return fault


def then_ok(first: Fault, what: str) -> Fault:
    """Fails every other request."""

    def fault(asked: Asked, number: int) -> Script:
        if asked.turn % 2 == 0:
            return first(asked, number)
        return script_of(asked) if asked.stream else whole_script(asked)

    fault.__doc__ = f"Answers {what} to every first of two requests -> the answer, after a retry"
    return fault


def _instead(asked: Asked, place: int, *events: bytes) -> Script:
    """The good answer with ``events`` put in after ``place`` tokens."""
    script = script_of(asked)
    script.steps[1 + place : 1 + place] = [Step(0.0, event) for event in events]
    return script


def garbage(asked: Asked, _: int) -> Script:
    """Sends an event that is not JSON in the middle -> skipped and counted"""
    return _instead(asked, 3, encode_sse(b'{"choices":[{"delta":{"content":"brok'))


def invalid_utf8(asked: Asked, _: int) -> Script:
    """Sends an event that is not UTF-8 in the middle -> skipped and counted"""
    return _instead(asked, 3, encode_sse(chunk(asked, {"content": "~"}).replace(b"~", b"\xc3\x28")))


def split_utf8(asked: Asked, _: int) -> Script:
    """Cuts its characters, in chunks of three bytes -> the answer"""
    script = script_of(Asked("emoji", asked.model, asked.options, asked.usage, asked.prompt_tokens, "", asked.turn))
    steps = []
    for step in script.steps:
        pieces = [step.data[at : at + 3] for at in range(0, len(step.data), 3)] or [b""]
        steps += [Step(step.wait if at == 0 else 0.0, piece) for at, piece in enumerate(pieces)]
        steps[-1] = steps[-1]._replace(tokens=step.tokens, after=step.after)
    script.steps = steps
    return script


def dribble(asked: Asked, _: int) -> Script:
    """Sends every byte by itself -> the answer"""
    good = script_of(asked)
    script = script_with(asked, good.steps[1 : place_of_finish(good)][:11])
    script.framing = "close"
    steps = []
    for step in script.steps:
        pieces = [step.data[at : at + 1] for at in range(len(step.data))]
        steps += [Step(step.wait if at == 0 else 0.0005, piece) for at, piece in enumerate(pieces)]
        steps[-1] = steps[-1]._replace(tokens=step.tokens, after=step.after)
    script.steps = steps
    return script


def no_finish(asked: Asked, _: int) -> Script:
    """Ends cleanly without finish reason or [DONE] -> an error event"""
    script = script_of(asked)
    script.steps = [step for step in script.steps if step.tokens or step is script.steps[0]]
    script.steps.append(Step(0.0, b"", 0, "end"))
    return script


def done_only(asked: Asked, _: int) -> Script:
    """Sends [DONE] without a finish reason -> an error event: that is a cut"""
    script = no_finish(asked, 0)
    script.steps[-1] = Step(0.0, DONE, 0, "end")
    return script


def no_done(asked: Asked, _: int) -> Script:
    """Sends a finish reason and no [DONE] -> a success, with [DONE]"""
    script = script_of(asked)
    script.steps[-1] = Step(0.0, b"", 0, "end")
    return script


def finish_then_hang(asked: Asked, _: int) -> Script:
    """Sends a finish reason, and then neither [DONE] nor an end -> a success, after a short grace"""
    script = script_of(asked)
    script.steps[-1] = Step(0.0, b"", 0, "hang")
    return script


ERROR: Final = b'{"error":{"message":"The server is on fire.","type":"server_error","code":"fire"}}'


def error_event(asked: Asked, _: int) -> Script:
    """Reports an error after three tokens -> an error event"""
    script = cut_script(asked, 3)
    script.steps += [Step(0.0, encode_sse(ERROR)), Step(0.0, b"", 0, "end")]
    return script


def late_error(asked: Asked, _: int) -> Script:
    """Reports an error after its finish reason -> an error event"""
    script = script_of(asked)
    script.steps.insert(len(script.steps) - 1, Step(0.0, encode_sse(ERROR)))
    return script


def half_event(asked: Asked, _: int) -> Script:
    """Ends cleanly in the middle of an event -> an error event"""
    script = cut_script(asked, 3)
    script.steps.append(Step(0.0, encode_sse(chunk(asked, {"content": "half"}))[:60], 0, "end"))
    return script


def html(_asked: Asked, _: int) -> Script:
    """Answers 200 with a page -> 502"""
    page = b"<!doctype html><title>Welcome</title><h1>It works!</h1>"
    return Script([Step(0.0, page, 0, "end")], headers=(("content-type", "text/html"),), framing="length")


def json_body(asked: Asked, _: int) -> Script:
    """Ignores stream: true and answers one JSON body -> the answer as a stream"""
    body = whole_answer(asked)
    return Script(
        [Step(asked.options.ttft, body, 1, "end")], headers=(("content-type", "application/json"),), framing="length"
    )


def big_event(asked: Asked, megabytes: int) -> Script:
    """Sends one event of N MiB -> the answer up to 8 MiB, an error above"""
    text = "x" * (megabytes * 1024 * 1024 - 200)
    return _instead(asked, 2, encode_sse(chunk(asked, {"content": text})))


def flood(asked: Asked, megabytes: int) -> Script:
    """Sends N MiB of tokens as fast as they are taken -> held up while the reader is slow"""
    event = encode_sse(chunk(asked, {"content": "x" * 16000}))
    return script_with(asked, [Step(0.0, event, 1)] * (megabytes * 1024 * 1024 // len(event) + 1))


def head_bomb(_asked: Asked, _: int) -> Script:
    """Sends 2 MiB of headers -> 502"""
    filler = b"".join(b"x-filler-%d: %b\r\n" % (number, b"y" * 1000) for number in range(2000))
    return Script([Step(0.0, b"HTTP/1.1 200 OK\r\n" + filler + b"\r\n", 0, "close")], framing="raw")


def two_lengths(_asked: Asked, _: int) -> Script:
    """Says two different lengths -> 502"""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 5\r\ncontent-length: 50\r\n\r\n"
    return Script([Step(0.0, head + b"data: {}\n\n", 0, "close")], framing="raw")


def _rewritten(asked: Asked, change: Callable[[bytes], bytes]) -> Script:
    script = script_of(asked)
    script.steps = [step._replace(data=change(step.data)) for step in script.steps]
    return script


def crlf(asked: Asked, _: int) -> Script:
    """Ends its lines with CRLF -> the answer"""
    return _rewritten(asked, lambda data: data.replace(b"\n", b"\r\n"))


def cr(asked: Asked, _: int) -> Script:
    """Ends its lines with CR -> the answer"""
    return _rewritten(asked, lambda data: data.replace(b"\n", b"\r"))


def comments(asked: Asked, _: int) -> Script:
    """Sends comments between its events -> the answer without them"""
    return _rewritten(asked, lambda data: b": PROCESSING\n\n" + data)


def ids(asked: Asked, _: int) -> Script:
    """Gives its events ids, and repeats three of them as after a reconnect -> the answer, each token once"""
    script = script_of(asked)
    named = [step._replace(data=b"id: %d\n" % number + step.data) for number, step in enumerate(script.steps)]
    script.steps = named[:8] + [step._replace(wait=0.0, tokens=0) for step in named[5:8]] + named[8:]
    return script


def no_role(asked: Asked, _: int) -> Script:
    """Leaves out the role -> the answer with it"""
    script = script_of(asked)
    script.steps[1] = script.steps[1]._replace(wait=script.steps[0].wait)
    del script.steps[0]
    return script


def gzipped(asked: Asked, _: int) -> Script:
    """Compresses although it was asked not to -> the answer"""
    script = script_of(asked)
    body = gzip.compress(b"".join(step.data for step in script.steps))
    middle = len(body) // 2
    script.steps = [Step(asked.options.ttft, body[:middle]), Step(0.05, body[middle:], script.tokens, "end")]
    script.headers = (*script.headers, ("content-encoding", "gzip"))
    return script


def http10(asked: Asked, _: int) -> Script:
    """Answers as HTTP/1.0, and ends by closing -> the answer"""
    script = script_of(asked)
    head = b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    script.steps[0] = script.steps[0]._replace(data=head + script.steps[0].data)
    script.steps[-1] = script.steps[-1]._replace(after="close")
    script.framing = "raw"
    return script


def length_framed(asked: Asked, _: int) -> Script:
    """Says the length of its stream -> the answer"""
    script = script_of(asked)
    script.framing = "length"
    return script


def keepalive_close(asked: Asked, _: int) -> Script:
    """Closes the kept connection right after its answer, without saying so -> the next request goes over a fresh one"""
    script = script_of(asked)
    script.linger = False
    return script


def echo_key(asked: Asked, _: int) -> Script:
    """Answers 401 and repeats the key that it got -> 401, without the key"""
    return error_script(
        401, f"Incorrect API key provided: {asked.authorization.removeprefix('Bearer ')}.", "invalid_api_key"
    )


def echo_key_stream(asked: Asked, _: int) -> Script:
    """Repeats the key that it got in a token and in an error event -> neither holds the key"""
    key = asked.authorization.removeprefix("Bearer ")
    script = cut_script(asked, 2)
    error = encode_json({"error": {"message": f"Bad key {key}", "type": "server_error", "code": "bad"}})
    said = encode_sse(chunk(asked, {"content": f"Your key is {key}."}))
    script.steps += [Step(0.0, said, 1), Step(0.0, encode_sse(error)), Step(0.0, b"", 0, "end")]
    return script


def usage_beside(asked: Asked, _: int) -> Script:
    """Reports usage beside the finish reason, unasked -> the answer, and its usage in the ledger"""
    script = script_of(asked)
    last = chunk(asked, {}, "stop", usage=usage_of(asked, script.tokens))
    script.steps[place_of_finish(script) : -1] = [Step(0.0, encode_sse(last))]
    return script


def strawberry(asked: Asked, _: int) -> Script:
    """Says "strawberry" letter by letter, equal neighbours and all -> each of them"""
    return script_with(
        asked, [Step(0.0, encode_sse(chunk(asked, {"content": f"-{letter}"})), 1) for letter in "strawberry"]
    )


TABLE: Final[dict[str, Fault]] = {
    "401": refused(401, "Incorrect API key provided.", "invalid_api_key"),
    "403": refused(403, "You may not use this model.", "forbidden"),
    "404": refused(404, "The model does not exist.", "model_not_found"),
    "429": refused(429, "Rate limit reached.", "rate_limit_exceeded", (("retry-after", "30"),)),
    "500": refused(500, "The server had an error.", "server_error"),
    "503": refused(503, "The server is overloaded.", "overloaded"),
    "429-then-ok": then_ok(refused(429, "Rate limit reached.", "rate_limit_exceeded", (("retry-after", "0"),)), "429"),
    "500-then-ok": then_ok(refused(500, "The server had an error.", "server_error"), "500"),
    "503-then-ok": then_ok(refused(503, "The server is overloaded.", "overloaded"), "503"),
    "stall": stall,
    "silent": silent,
    "stall-after-N": stall_after,
    "slow-head": slow_head,
    "cut-after-N": cut_after,
    "cut-clean-after-N": cut_clean_after,
    "rst-after-N": rst_after,
    "no-finish": no_finish,
    "no-done": no_done,
    "done-only": done_only,
    "finish-then-hang": finish_then_hang,
    "error-event": error_event,
    "late-error-after-finish": late_error,
    "half-event": half_event,
    "garbage": garbage,
    "invalid-utf8": invalid_utf8,
    "split-utf8": split_utf8,
    "dribble": dribble,
    "html": html,
    "json": json_body,
    "big-event-N": big_event,
    "flood-N": flood,
    "head-bomb": head_bomb,
    "two-lengths": two_lengths,
    "crlf": crlf,
    "cr": cr,
    "comments": comments,
    "ids": ids,
    "no-role": no_role,
    "gzip": gzipped,
    "http10": http10,
    "length-framed": length_framed,
    "keepalive-close": keepalive_close,
    "echo-key": echo_key,
    "echo-key-stream": echo_key_stream,
    "usage-beside": usage_beside,
    "strawberry": strawberry,
    **EVENT_FAULTS,
    **HTTP_FAULTS,
}

_NUMBERED: Final = re.compile(r"(?P<name>.*)-(?P<number>\d{1,6})")


def fault_of(name: str) -> tuple[Fault, int] | None:
    """The fault behind ``sim/name`` and its number; ``None`` for an ordinary answer."""
    if name in TABLE:
        return TABLE[name], 0
    match = _NUMBERED.fullmatch(name)
    if match is None or f"{match['name']}-N" not in TABLE:
        return None
    return TABLE[f"{match['name']}-N"], int(match["number"])
