"""PURE. Ways in which a model server fails in its HTTP. The docstrings are as in ``faults``."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Final

from tidegate.simulator.script import Asked, Script, Step, script_of, whole_answer

__all__ = ["HTTP_FAULTS"]

_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _by_hand(asked: Asked, *, head: bytes = _HEAD, tokens: int | None = None) -> Script:
    """The answer, or its beginning, as chunks that a step writes itself; nothing ends it."""
    script = script_of(asked)
    steps = script.steps if tokens is None else script.steps[: 1 + tokens]
    script.steps = [step._replace(data=_chunk(step.data), after="go") for step in steps if step.data]
    script.steps[0] = script.steps[0]._replace(data=head + script.steps[0].data)
    script.framing = "raw"
    return script


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def cut_in_chunk(asked: Asked, _: int) -> Script:
    """Closes the connection inside a chunk -> an error event"""
    script = _by_hand(asked, tokens=3)
    script.steps.append(Step(0.0, b'400\r\ndata: {"choices":[{"delta":{"con', 0, "close"))
    return script


def no_last_chunk(asked: Asked, _: int) -> Script:
    """Sends everything up to [DONE], and closes without the last chunk -> the answer: it is complete"""
    script = _by_hand(asked)
    script.steps.append(Step(0.0, b"", 0, "close"))
    return script


def bad_chunk(asked: Asked, _: int) -> Script:
    """Sends a chunk size that is none -> an error event"""
    script = _by_hand(asked, tokens=3)
    script.steps.append(Step(0.0, b"zebra\r\n\r\n", 0, "close"))
    return script


def short_length(asked: Asked, _: int) -> Script:
    """Promises more bytes than it sends -> an error event"""
    script = script_of(asked)
    script.steps = script.steps[:4]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 100000\r\n\r\n"
    script.steps[0] = script.steps[0]._replace(data=head + script.steps[0].data)
    script.steps.append(Step(0.0, b"", 0, "close"))
    script.framing = "raw"
    return script


def short_gzip(asked: Asked, _: int) -> Script:
    """Ends its gzip in the middle -> an error event"""
    script = script_of(asked)
    body = gzip.compress(b"".join(step.data for step in script.steps))
    script.steps = [Step(asked.options.ttft, body[: len(body) // 2], 5, "end")]
    script.headers = (*script.headers, ("content-encoding", "gzip"))
    return script


def interim(asked: Asked, _: int) -> Script:
    """Sends a 100 and a 103 before its answer -> the answer"""
    first = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"
    script = _by_hand(asked, head=first + _HEAD)
    script.steps.append(Step(0.0, b"0\r\n\r\n", 0, "end"))
    script.linger = False
    return script


def redirect(_asked: Asked, _: int) -> Script:
    """Answers 307 to a port where nobody listens -> an error"""
    headers = (("location", "http://127.0.0.1:9/v1/chat/completions"),)
    return Script([Step(0.0, b"", 0, "end")], status=307, headers=headers, framing="length")


def no_content(_asked: Asked, _: int) -> Script:
    """Answers 204 -> an error"""
    return Script([Step(0.0, b"HTTP/1.1 204 No Content\r\n\r\n", 0, "close")], framing="raw")


def two_framings(_asked: Asked, _: int) -> Script:
    """Says both a length and chunked -> 502: where the answer ends is a guess"""
    head = _HEAD[:-2] + b"content-length: 5\r\n\r\n"
    return Script([Step(0.0, head + _chunk(b"data: {}\n\n") + b"0\r\n\r\n", 0, "close")], framing="raw")


def not_http(_asked: Asked, _: int) -> Script:
    """Answers with what is not HTTP -> 502"""
    return Script([Step(0.0, b"SSH-2.0-OpenSSH_9.2p1\r\n", 0, "close")], framing="raw")


def no_answer(_asked: Asked, _: int) -> Script:
    """Closes the connection instead of an answer -> retried, then 502"""
    return Script([Step(0.0, b"", 0, "close")], framing="raw")


def extra_answer(asked: Asked, _: int) -> Script:
    """Sends a second answer that nobody asked for -> the next request does not get it"""
    script = _by_hand(asked)
    intruder = b'data: {"choices":[{"index":0,"delta":{"content":"INTRUDER"},"finish_reason":"stop"}]}\n\n'
    script.steps.append(Step(0.0, b"0\r\n\r\n" + _HEAD + _chunk(intruder) + b"0\r\n\r\n", 0, "hang"))
    return script


def short_json(asked: Asked, _: int) -> Script:
    """Closes the connection in the middle of a JSON body -> 502"""
    body = whole_answer(asked)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    return Script([Step(asked.options.ttft, head + body[: len(body) // 2], 1, "close")], framing="raw")


def half_json(asked: Asked, _: int) -> Script:
    """Ends a JSON body cleanly in its middle -> 502"""
    body = whole_answer(asked)
    headers = (("content-type", "application/json"),)
    return Script([Step(asked.options.ttft, body[: len(body) // 2], 1, "end")], headers=headers)


HTTP_FAULTS: Final[dict[str, Callable[[Asked, int], Script]]] = {
    "cut-in-chunk": cut_in_chunk,
    "no-last-chunk": no_last_chunk,
    "bad-chunk": bad_chunk,
    "short-length": short_length,
    "short-gzip": short_gzip,
    "interim": interim,
    "redirect": redirect,
    "no-content": no_content,
    "two-framings": two_framings,
    "not-http": not_http,
    "no-answer": no_answer,
    "extra-answer": extra_answer,
    "short-json": short_json,
    "half-json": half_json,
}
